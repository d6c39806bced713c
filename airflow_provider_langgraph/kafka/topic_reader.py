"""A consumer that has a position in every partition of one topic, and keeps it through every error.

Belongs to one thread, like every consumer of confluent-kafka.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from airflow_provider_langgraph.kafka.client_settings import listener_settings
from airflow_provider_langgraph.kafka.error_hints import BrokerErrors, explain, with_errors
from airflow_provider_langgraph.kafka.undecodable import undecodable_passer
from workflow_events import headers
from workflow_events.codec import Record

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message
    from confluent_kafka.admin import AdminClient

log = logging.getLogger(__name__)

_T = TypeVar("_T")

Headers = Sequence[tuple[str, bytes | str | None]]

BATCH_RECORDS = 1000
BATCH_BYTES = 16 * 1024 * 1024
"""How much is read in one go, before its reader looks after other things: bodies, which it may keep."""

LONGEST_HEADER_BYTES = 36
"""A correlation id has this length, a schema version is shorter. A longer one counts as missing."""
OVERHEAD_BYTES = 1024
"""What a record costs beside its body and headers: measured with replies of 336 bytes."""
_KEPT_HEADERS = frozenset({headers.CORRELATION_ID, headers.SCHEMA_VERSION})
CALL_SECONDS = 2.0


class Reader(Protocol):
    """What a shared consumer needs of a topic. Calls that ask the broker may raise ``confluent_kafka.KafkaException``.

    :ivar next: by partition, the offset of the record that comes next.
    :ivar cluster: the Kafka cluster's id, once it has answered; empty where it has none.
    :ivar topic_id: which topic of that name it is, as of the last :meth:`partitions`; empty where the broker has none.
    :ivar errors: what the client has reported of its broker.
    :ivar refusals: by partition, the error with which the broker does not let us read it; until it does.
    :ivar lost: partitions whose next record is gone; the caller decides where to go on.
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
        """Forget the partitions of a topic that was created anew. Then call :meth:`stand_at`."""

    def read(self, seconds: float) -> Iterator[Message]:
        """Up to a batch of records; none if none came within ``seconds``. Errors are noted, never raised.

        A record is read when it is asked for: a caller that keeps none holds one at a time, with however many headers.
        Records that cannot be decoded are passed and logged, see :meth:`take_passed`.
        """

    def take_passed(self) -> dict[int, int]:
        """By partition, the offset behind records that could not be decoded and were passed since the last call.

        Each may have been any record: what is known of all before that offset is no longer complete.
        """

    def skip_gaps(self) -> None:
        """Move :attr:`next` over offsets that hold no record (transaction markers), as the consumer has."""

    def close(self) -> None:
        """Close the client."""


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
        self._logged: dict[int, str] = {}
        self._passed: dict[int, int] = {}
        self._settings = settings | {"error_cb": configured["error_cb"]}
        self._passer = undecodable_passer(configured, topic)
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
        self._passer.forget(offsets)
        self._consumer.assign([TopicPartition(self.topic, number, offset) for number, offset in self.next.items()])

    def forget(self) -> None:
        self._passer.forget(self.next)
        self.next = {}
        self.lost = set()
        self.refusals = {}
        self._passed = {}

    def take_passed(self) -> dict[int, int]:
        passed, self._passed = self._passed, {}
        return passed

    def read(self, seconds: float) -> Iterator[Message]:
        count = size = 0
        message = self._consumer.poll(seconds)
        while message is not None:
            if message.error() is None:
                partition = message.partition() or 0
                self.next[partition] = (message.offset() or 0) + 1
                if self._logged:
                    self._logged.pop(partition, None)
                    self.refusals.pop(partition, None)
                size += len(message.value() or b"")
                yield message
            elif not self._passer.has_passed(message) and not self._go_past(message):
                self._note_error(message)
            count += 1
            message = self._consumer.poll(0) if count < BATCH_RECORDS and size < BATCH_BYTES else None

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
        """The topic's id. It has to be asked for: in a topic that was created anew, a consumer reads on and reports
        nothing (librdkafka 2.16).
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
            self._consumer.poll(0)  # why it failed goes to error_cb, which only poll() serves
            if self._admin is not None:
                self._admin.poll(0)
            raise

    def _go_past(self, message: Message) -> bool:
        """Read on behind records that cannot be decoded; False if a message reports something else, or not yet."""
        place = self._passer.go_past(self._consumer, message)
        if place is None:
            return False
        log.error("%s", place, extra={"action": "undecodable"})
        self.next[place.partition] = self._passed[place.partition] = place.after
        self.refusals.pop(place.partition, None)
        self._logged.pop(place.partition, None)
        return True

    def _note_error(self, message: Message) -> None:
        error, partition = message.error(), message.partition()
        if error is None or partition is None or not message.topic():
            return  # of the group, which is not used, or of the connection, which is reported to error_cb
        if error.name() == "_AUTO_OFFSET_RESET":
            self.lost.add(partition)
            return
        if self._logged.get(partition) != error.name():  # once, not with each try
            log.warning("%s[%d]: %s", self.topic, partition, explain(error), extra={"action": "read_error"})
        self._logged[partition] = error.name()
        self.refusals[partition] = error


def refused(reader: Reader, topic: str) -> str | None:
    """Why not all of a topic can be read, with the remedy; None while it can."""
    for number, error in reader.refusals.items():
        return f"cannot read {topic}[{number}]: {explain(error)}"
    return None


class Ends:
    """The ends of partitions at one moment. Each is asked for at most once, and none after the broker gave no answer.

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
    """A message's correlation id, undecoded, and those of its headers that a reader needs; None if it has no such id.

    A caller keeps no more of it than that: a sender may add a hundred thousand headers.
    """
    try:
        found = headers.of_message(message)
    except ValueError:  # a header's name is not UTF-8, which none of ours is
        return None
    kept = {name: value for name, value in found or () if name in _KEPT_HEADERS}  # the last of a name counts
    short = {name: value for name, value in kept.items() if value is not None and len(value) <= LONGEST_HEADER_BYTES}
    key = short.get(headers.CORRELATION_ID)
    return (key, tuple(short.items())) if isinstance(key, bytes) else None


def size_of(value: bytes | None, kept: Headers) -> int:
    """How many bytes of memory a record is counted as, with the headers that :func:`addressed` keeps."""
    return OVERHEAD_BYTES + len(value or b"") + sum(len(header or b"") for _, header in kept)


def record_of(message: Message, found: Headers, cluster: str) -> Record:
    """A message as the codec reads it."""
    return Record(
        message.topic() or "", message.partition() or 0, message.offset() or 0, message.value(), found, cluster=cluster
    )
