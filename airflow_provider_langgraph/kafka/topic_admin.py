"""What a cluster says of its topics: whether they exist, where they end; and creating them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_langgraph.exceptions import KafkaError, KafkaSettingsError
from airflow_provider_langgraph.kafka.connection import KafkaConnection
from airflow_provider_langgraph.kafka.error_hints import explain, with_errors
from workflow_events.topics import TopicSpec

if TYPE_CHECKING:
    from concurrent.futures import Future

    from confluent_kafka.admin import AdminClient, TopicDescription  # type: ignore[attr-defined]

log = logging.getLogger(__name__)

_T = TypeVar("_T")

# A topic that was just created, or whose broker restarts; confluent-kafka does not mark these as retriable everywhere.
_PASSING = frozenset(
    {
        "NOT_LEADER_FOR_PARTITION",
        "LEADER_NOT_AVAILABLE",
        "UNKNOWN_LEADER_EPOCH",  # the broker does not know its newest leader yet
        "FENCED_LEADER_EPOCH",
        "OFFSET_NOT_AVAILABLE",
        "COORDINATOR_LOAD_IN_PROGRESS",
    }
)
_NEW_TOPIC = _PASSING | {"UNKNOWN_TOPIC_OR_PART"}

_RETRY_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class EndOffsets:
    """The next offset of every partition of a topic at one moment.

    :param cluster: id of the Kafka cluster; empty where the broker has none.
    :param topic_id: id of the topic: another one of the same name has another. Empty where the broker has none.
    """

    cluster: str
    offsets: dict[int, int]
    topic_id: str = ""


class TopicAdmin:
    """Asks a cluster that it has reached. Every call waits for the broker as long as the connection allows.

    :ivar cluster: the cluster's id; empty where it has none.
    :raises KafkaSettingsError: the client does not take the connection's settings.
    :raises KafkaError: the cluster cannot be reached, or (from a call) does not answer; says why.
    """

    def __init__(self, connection: KafkaConnection) -> None:
        self._connection = connection
        self._seconds = connection.timeout_seconds
        self._client, self.cluster = self._connect()

    def count_brokers(self) -> int:
        """How many brokers the cluster has."""
        return len(self._client.list_topics(timeout=self._seconds).brokers)

    def require(self, topic: str) -> TopicDescription:
        """Describe a topic, without creating it by asking."""
        return self._retry(partial(self._described, topic), f"use topic {topic}")

    def end_offsets(self, topic: str) -> EndOffsets:
        """The end offsets of a topic: what is published from now on lies at or after them."""
        found = self.require(topic)
        numbers = [partition.id for partition in found.partitions]
        offsets = self._retry(partial(self._latest, topic, numbers), f"read {topic}")
        return EndOffsets(self.cluster, offsets, str(found.topic_id or ""))

    def create(self, specs: Iterable[TopicSpec]) -> list[str]:
        """Create those topics that are missing; return their names once they can be used."""
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]

        created = []
        new = [NewTopic(spec.name, spec.partitions, config=spec.config) for spec in specs]
        for name, future in self._client.create_topics(new, request_timeout=self._seconds).items():
            try:
                future.result()
                created.append(name)
            except KafkaException as error:
                if error.args[0].name() != "TOPIC_ALREADY_EXISTS":
                    raise self._error(f"create topic {name}", explain(error.args[0])) from None
        for name in created:
            # The controller has it; for a moment the broker that we ask may not.
            self._retry(partial(self._described, name), f"use topic {name}", _NEW_TOPIC)
        return created

    def _connect(self) -> tuple[AdminClient, str]:
        """A client that has reached the cluster, and the cluster's id."""
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import AdminClient

        settings, errors = with_errors(self._connection.settings)
        began = time.monotonic()
        try:
            client = AdminClient(settings, logger=log)
            while True:
                try:
                    # Short tries: why a broker cannot be reached goes to error_cb, which only poll() serves.
                    cluster = client.describe_cluster(request_timeout=min(self._seconds, 1.0)).result()
                except KafkaException:
                    client.poll(0)
                    if errors.refused or time.monotonic() - began >= self._seconds:
                        raise
                else:
                    return client, cluster.cluster_id or ""
        except KafkaException as error:
            if error.args[0].name() == "_INVALID_ARG":
                what = "use the settings in its extra"
                raise KafkaSettingsError(self._connection.cannot(what, explain(error.args[0]))) from None
            raise self._error(f"reach {settings['bootstrap.servers']}", errors.explain(error.args[0])) from None

    def _described(self, topic: str) -> TopicDescription:
        from confluent_kafka import TopicCollection

        found: dict[str, Future[TopicDescription]] = self._client.describe_topics(
            TopicCollection([topic]), request_timeout=self._seconds
        )
        return found[topic].result()

    def _latest(self, topic: str, numbers: list[int]) -> dict[int, int]:
        from confluent_kafka import TopicPartition
        from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]

        wanted = {TopicPartition(topic, number): OffsetSpec.latest() for number in numbers}
        found = self._client.list_offsets(wanted, request_timeout=self._seconds)
        return {place.partition: future.result().offset for place, future in found.items()}

    def _retry(self, call: Callable[[], _T], what: str, passing: frozenset[str] = _PASSING) -> _T:
        """Repeat a call while the broker's error passes by itself: a partition has no leader just now, for example."""
        from confluent_kafka import KafkaException

        ends = time.monotonic() + self._seconds
        while True:
            try:
                return call()
            except KafkaException as error:
                if error.args[0].name() not in passing or time.monotonic() >= ends:
                    raise self._error(what, explain(error.args[0])) from None
                time.sleep(_RETRY_SECONDS)

    def _error(self, what: str, why: str) -> KafkaError:
        return KafkaError(self._connection.cannot(what, why))
