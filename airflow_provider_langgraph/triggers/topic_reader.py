"""A consumer that stands somewhere in every partition of one topic, and keeps standing there whatever happens.

Belongs to one thread, like every consumer of confluent-kafka.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from airflow_provider_langgraph.hooks.broker_errors import BrokerErrors, explain, with_errors
from airflow_provider_langgraph.hooks.settings import listener_settings
from workflow_events import headers
from workflow_events.codec import Record

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message
    from confluent_kafka.admin import AdminClient

log = logging.getLogger(__name__)

_T = TypeVar("_T")

Headers = Sequence[tuple[str, bytes | str | None]]

BATCH = 1000
CALL_SECONDS = 2.0


class Reader(Protocol):
    """What a listener needs of a topic. Every call that asks the broker may raise ``confluent_kafka.KafkaException``.

    :ivar next: by partition, the offset of the record that comes next.
    :ivar cluster: the Kafka cluster's id, once it has answered; empty where it has none.
    :ivar topic_id: which topic of that name it is, as of the last :meth:`partitions`; empty where the broker has none.
    :ivar errors: what the client heard of its broker.
    :ivar refusals: by partition, the error with which the broker does not let us read it; until it does.
    :ivar lost: partitions whose next record is gone; whoever reads decides where to go on.
    """

    next: dict[int, int]
    cluster: str
    topic_id: str
    errors: BrokerErrors
    refusals: dict[int, KafkaError]
    lost: set[int]

    def partitions(self) -> list[int]:
        """The topic's partitions."""

    def watermarks(self, partition: int) -> tuple[int, int]:
        """The first offset that is there, and the one after the last."""

    def stand_at(self, offsets: dict[int, int]) -> None:
        """Read on from these offsets; partitions that are not named are left as they are."""

    def forget(self) -> None:
        """The topic is another one by now: no partition of the old one counts any more. Then :meth:`stand_at`."""

    def read(self, seconds: float) -> Sequence[Message]:
        """Up to a batch of records; empty when none came within ``seconds``. Errors are noted, never raised."""

    def skip_gaps(self) -> None:
        """Move :attr:`next` over offsets that hold no record (transaction markers), as the consumer has."""

    def close(self) -> None:
        """Let go of the topic."""


class TopicReader(Reader):
    """Reads a topic of Kafka, without a group.

    :param settings: librdkafka settings of the connection.
    """

    def __init__(self, settings: dict[str, Any], topic: str) -> None:
        from confluent_kafka import Consumer

        self.topic = topic
        self.next = {}
        self.cluster = ""
        self.topic_id = ""
        configured, self.errors = with_errors(listener_settings(settings))
        self.lost = set()
        self.refusals = {}
        self._told: dict[int, str] = {}
        self._settings = settings | {"error_cb": configured["error_cb"]}
        self._consumer = Consumer(configured, logger=log)
        self._admin: AdminClient | None = None

    def close(self) -> None:
        self._consumer.close()
        self._admin = None

    def partitions(self) -> list[int]:
        from confluent_kafka import KafkaException

        metadata = self._asked(lambda: self._consumer.list_topics(self.topic, timeout=CALL_SECONDS))
        found = metadata.topics[self.topic]
        if found.error is not None:
            raise KafkaException(found.error)
        self.cluster = metadata.cluster_id or ""
        self.topic_id = self._asked(self._identity)
        return sorted(found.partitions)

    def watermarks(self, partition: int) -> tuple[int, int]:
        from confluent_kafka import TopicPartition

        place = TopicPartition(self.topic, partition)
        low, high = self._asked(lambda: self._consumer.get_watermark_offsets(place, timeout=CALL_SECONDS))
        return low, high

    def stand_at(self, offsets: dict[int, int]) -> None:
        from confluent_kafka import TopicPartition

        self.next |= offsets
        self.lost -= offsets.keys()
        for number in offsets:
            self.refusals.pop(number, None)
        self._consumer.assign([TopicPartition(self.topic, number, offset) for number, offset in self.next.items()])

    def forget(self) -> None:
        self.next = {}
        self.lost = set()
        self.refusals = {}

    def read(self, seconds: float) -> list[Message]:
        first = self._consumer.poll(seconds)
        if first is None:
            return []
        # consume() alone would wait for a full batch; after a poll() it only takes what is there already.
        records = []
        for message in (first, *self._consumer.consume(BATCH - 1, 0)):
            if message.error() is None:
                self.next[message.partition() or 0] = (message.offset() or 0) + 1
                records.append(message)
            else:
                self._note_error(message)
        if self._told:
            for message in records:
                self._told.pop(message.partition() or 0, None)
                self.refusals.pop(message.partition() or 0, None)
        return records

    def skip_gaps(self) -> None:
        from confluent_kafka import TopicPartition

        for place in self._consumer.position([TopicPartition(self.topic, number) for number in self.next]):
            self.next[place.partition] = max(self.next[place.partition], place.offset)

    def offsets_at(self, instant: datetime, partitions: Sequence[int]) -> dict[int, int]:
        """By partition, the first offset written at or after an instant; a partition without one is missing.

        :raises confluent_kafka.KafkaException: no answer.
        """
        from confluent_kafka import TopicPartition

        at = int(instant.timestamp() * 1000)
        wanted = [TopicPartition(self.topic, number, at) for number in partitions]
        found = self._asked(lambda: self._consumer.offsets_for_times(wanted, timeout=CALL_SECONDS))
        return {place.partition: place.offset for place in found if place.offset >= 0}

    def _identity(self) -> str:
        """The topic's id. A consumer reads on in a topic that was created anew as if nothing had happened, and says
        nothing (librdkafka 2.16), so it has to be asked for.
        """
        from confluent_kafka import TopicCollection
        from confluent_kafka.admin import AdminClient

        self._admin = self._admin or AdminClient(self._settings, logger=log)
        found = self._admin.describe_topics(TopicCollection([self.topic]), request_timeout=CALL_SECONDS)
        return str(found[self.topic].result().topic_id or "")

    def _asked(self, call: Callable[[], _T]) -> _T:
        from confluent_kafka import KafkaException

        try:
            return call()
        except KafkaException:
            self._consumer.poll(0)  # why it failed is told to error_cb, which only poll() serves
            if self._admin is not None:
                self._admin.poll(0)
            raise

    def _note_error(self, message: Message) -> None:
        error, partition = message.error(), message.partition()
        if error is None or partition is None or not message.topic():
            return  # of the group, which is not used, or of the connection, which error_cb hears of
        if error.name() == "_AUTO_OFFSET_RESET":
            self.lost.add(partition)
            return
        if self._told.get(partition) != error.name():  # not again each time that it is tried again
            log.warning("%s[%d]: %s", self.topic, partition, explain(error), extra={"action": "read_error"})
        self._told[partition] = error.name()
        self.refusals[partition] = error


def refused(reader: Reader, topic: str) -> str | None:
    """Why not all of a topic can be read, with the remedy; None while it can."""
    for number, error in reader.refusals.items():
        return f"cannot read {topic}[{number}]: {explain(error)}"
    return None


class Ends:
    """The ends of partitions at one moment, each asked of the broker at most once, and none after it gave no answer.

    :ivar trouble: why the broker gave no answer; None while it has.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._known: dict[int, int] = {}
        self.trouble: str | None = None

    def lies_past(self, partition: int, offset: int) -> bool:
        """Whether an offset is not there yet; False also when the broker gives no answer: see :attr:`trouble`."""
        from confluent_kafka import KafkaException

        if partition not in self._known and self.trouble is None:
            try:
                self._known[partition] = self._reader.watermarks(partition)[1]
            except KafkaException as error:
                self.trouble = self._reader.errors.explain(error.args[0])
        return partition in self._known and offset > self._known[partition]


def addressed(message: Message) -> tuple[bytes, Headers] | None:
    """A message's correlation id, undecoded, and its headers; None if it has none that can be read."""
    try:
        found: Any = message.headers()
    except (SystemError, UnicodeDecodeError):  # a header's name is not UTF-8, which none of ours is
        return None
    for name, value in reversed(found or ()):
        if name == headers.CORRELATION_ID:
            return (value, found) if isinstance(value, bytes) else None
    return None


def record_of(message: Message, found: Headers, cluster: str) -> Record:
    """A message as the codec reads it."""
    return Record(
        message.topic() or "", message.partition() or 0, message.offset() or 0, message.value(), found, cluster=cluster
    )
