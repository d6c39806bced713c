"""How many records of the events topic the fleet has not taken in yet, as the cluster counts them."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from confluent_kafka import Consumer, KafkaException, TopicPartition

from langgraph_worker.broker.kafka.client_configs import lag_config
from langgraph_worker.broker.kafka.error_hints import explain, refused_settings
from langgraph_worker.errors import BrokerError
from langgraph_worker.settings.model import WorkerSettings

THREAD = "events-lag"
"""How the name of its thread begins."""

_ASK_SECONDS = 10.0


class EventsLag:
    """A client of its own, in a thread of its own: that it gets an answer also shows that the cluster is reachable.

    It is a consumer that joins no group. An admin client must not ask for a group's offsets: librdkafka then ends the
    process with a segmentation fault when the group's coordinator has moved (confluent-kafka-javascript#374).

    :raises SettingsError: librdkafka does not take KAFKA_CONFIG.
    """

    def __init__(self, settings: WorkerSettings) -> None:
        self._topic = settings.kafka_workflow_events_topic
        self._servers = settings.kafka_bootstrap_servers
        try:
            # librdkafka writes what goes wrong to stderr if nothing takes it; here each call reports its error.
            self._consumer = Consumer(lag_config(settings) | {"error_cb": lambda error: None})
        except KafkaException as error:
            raise refused_settings(error) from None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=THREAD)

    async def read(self) -> int:
        """The records of all partitions between the offset that the group has committed and the end.

        :raises BrokerError: the cluster does not say.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._read)

    def close(self) -> None:
        """Ask no more; does not wait for an answer that is still to come."""
        self._thread.submit(self._consumer.close)
        self._thread.shutdown(wait=False)

    def _read(self) -> int:
        try:
            found = self._consumer.list_topics(self._topic, timeout=_ASK_SECONDS).topics[self._topic]
            if found.error is not None:
                raise KafkaException(found.error)
            partitions = [TopicPartition(self._topic, number) for number in found.partitions]
            committed = self._consumer.committed(partitions, timeout=_ASK_SECONDS)
            return sum(self._waiting(partition) for partition in committed)
        except KafkaException as error:
            raise BrokerError(explain(error.args[0], self._servers)) from None

    def _waiting(self, committed: TopicPartition) -> int:
        if committed.error is not None:
            raise KafkaException(committed.error)
        begin, end = self._consumer.get_watermark_offsets(committed, timeout=_ASK_SECONDS)
        # A group that has committed nothing begins at the earliest record, and so does one whose place is gone.
        return max(0, end - max(committed.offset, begin))
