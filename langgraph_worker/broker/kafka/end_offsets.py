"""Where a topic ends now: a reader that begins there misses nothing that is written from now on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from confluent_kafka import Consumer, KafkaException, TopicPartition

from langgraph_worker.broker.kafka.admin import ClusterAdmin
from langgraph_worker.broker.kafka.client_configs import lag_config
from langgraph_worker.broker.kafka.error_hints import explain, refused_settings
from langgraph_worker.errors import BrokerError
from langgraph_worker.settings.model import WorkerSettings

_ASK_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class TopicEnd:
    """Where a topic ended.

    :param offsets: by partition, the offset behind its last record.
    :param topic_id: which topic of that name it is; empty where the broker has none.
    :param cluster: the id of the cluster; empty where it has none.
    """

    topic: str
    offsets: Mapping[int, int] = field(default_factory=dict)
    topic_id: str = ""
    cluster: str = ""


def end_of(settings: WorkerSettings, topic: str) -> TopicEnd:
    """Ask the cluster. Blocks, at most some ten seconds for each question.

    :raises SettingsError: librdkafka does not take KAFKA_CONFIG.
    :raises BrokerError: the cluster does not say.
    """
    try:
        consumer = Consumer(lag_config(settings) | {"error_cb": lambda error: None})
    except KafkaException as error:
        raise refused_settings(error) from None
    try:
        metadata = consumer.list_topics(topic, timeout=_ASK_SECONDS)
        found = metadata.topics[topic]
        if found.error is not None:
            raise KafkaException(found.error)
        places = [TopicPartition(topic, number) for number in found.partitions]
        ends = {place.partition: consumer.get_watermark_offsets(place, timeout=_ASK_SECONDS)[1] for place in places}
        return TopicEnd(topic, ends, ClusterAdmin(settings).topic_id(topic), metadata.cluster_id or "")
    except KafkaException as error:
        raise BrokerError(f"topic {topic}: {explain(error.args[0], settings.kafka_bootstrap_servers)}") from None
    finally:
        consumer.close()
