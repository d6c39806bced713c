"""A consumer that stands somewhere in every partition of one topic, and keeps standing there whatever happens.

Belongs to one thread, like every consumer of confluent-kafka.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from airflow_provider_langgraph.hooks.broker_errors import explain, with_errors
from airflow_provider_langgraph.hooks.settings import listener_settings
from workflow_events import headers
from workflow_events.codec import Record

if TYPE_CHECKING:
    from confluent_kafka import Message

log = logging.getLogger(__name__)

_T = TypeVar("_T")

BATCH = 1000
CALL_SECONDS = 2.0


class TopicReader:
    """Reads a topic from given offsets, without a group.

    :param settings: librdkafka settings of the connection.
    :ivar next: by partition, the offset of the record that comes next.
    :ivar cluster: the Kafka cluster's id, once it has answered.
    :ivar refusals: by partition, why the broker does not let us read it; until it does.
    :ivar lost: partitions whose next record is gone; :meth:`recover_lost` goes on from what is there.
    """

    def __init__(self, settings: dict[str, Any], topic: str) -> None:
        from confluent_kafka import Consumer

        self.topic = topic
        self.next: dict[int, int] = {}
        self.cluster = ""
        configured, self.errors = with_errors(listener_settings(settings))
        self.lost: set[int] = set()
        self.refusals: dict[int, str] = {}
        self._consumer = Consumer(configured, logger=log)

    def close(self) -> None:
        """Let go of the consumer."""
        self._consumer.close()

    def partitions(self) -> list[int]:
        """The topic's partitions, asked of the broker.

        :raises confluent_kafka.KafkaException: no answer, no such topic, not allowed.
        """
        from confluent_kafka import KafkaException

        metadata = self._asked(lambda: self._consumer.list_topics(self.topic, timeout=CALL_SECONDS))
        found = metadata.topics[self.topic]
        if found.error is not None:
            raise KafkaException(found.error)
        self.cluster = metadata.cluster_id or ""
        return sorted(found.partitions)

    def watermarks(self, partition: int) -> tuple[int, int]:
        """The first offset that is there, and the one after the last, asked of the broker.

        :raises confluent_kafka.KafkaException: no answer.
        """
        from confluent_kafka import TopicPartition

        place = TopicPartition(self.topic, partition)
        low, high = self._asked(lambda: self._consumer.get_watermark_offsets(place, timeout=CALL_SECONDS))
        return low, high

    def _asked(self, call: Callable[[], _T]) -> _T:
        from confluent_kafka import KafkaException

        try:
            return call()
        except KafkaException:
            self._consumer.poll(0)  # why it failed is told to error_cb, which only poll() serves
            raise

    def stand_at(self, offsets: dict[int, int]) -> None:
        """Read on from these offsets; partitions that are not named are left as they are."""
        from confluent_kafka import TopicPartition

        self.next |= offsets
        self._consumer.assign([TopicPartition(self.topic, number, offset) for number, offset in self.next.items()])

    def stand_at_end(self) -> None:
        """Read what is written from now on.

        :raises confluent_kafka.KafkaException: no answer, no such topic, not allowed.
        """
        self.stand_at({number: self.watermarks(number)[1] for number in self.partitions()})

    def read(self, seconds: float) -> list[Message]:
        """Up to a batch of records; empty when none came within ``seconds``. Errors are handled here."""
        first = self._consumer.poll(seconds)
        if first is None:
            return []
        # consume() alone would wait for a full batch; after a poll() it only takes what is there already.
        records = []
        for message in (first, *self._consumer.consume(BATCH - 1, 0)):
            if message.error() is None:
                partition = message.partition() or 0
                self.next[partition] = (message.offset() or 0) + 1
                self.refusals.pop(partition, None)
                records.append(message)
            else:
                self._note_error(message)
        return records

    def skip_gaps(self) -> None:
        """Move :attr:`next` over offsets that hold no record (transaction markers), as the consumer has."""
        from confluent_kafka import TopicPartition

        for place in self._consumer.position([TopicPartition(self.topic, number) for number in self.next]):
            self.next[place.partition] = max(self.next[place.partition], place.offset)

    def recover_lost(self) -> dict[int, int]:
        """Go on from what is there where retention has overtaken us, or the topic was created anew.

        Return the partitions that moved, with their new offsets.

        :raises confluent_kafka.KafkaException: no answer; call again.
        """
        if not self.lost:
            return {}
        moved = {partition: self.watermarks(partition)[0] for partition in sorted(self.lost)}
        for partition, low in moved.items():
            log.warning(
                "%s[%d]: offset %s is gone, reading on from %d",
                self.topic,
                partition,
                self.next.get(partition),
                low,
                extra={"action": "offset_gone"},
            )
        self.lost.clear()
        self.stand_at(moved)
        return moved

    def _note_error(self, message: Message) -> None:
        error = message.error()
        if error is not None and error.name() == "_AUTO_OFFSET_RESET":
            self.lost.add(message.partition() or 0)
        elif error is not None:
            why = explain(error)
            if self.refusals.get(message.partition() or 0) != why:
                log.warning("%s[%s]: %s", self.topic, message.partition(), why, extra={"action": "read_error"})
            self.refusals[message.partition() or 0] = why


class Ends:
    """The ends of partitions at one moment, each asked of the broker at most once, and none after it gave no answer.

    :ivar trouble: why the broker gave no answer; None while it has.
    """

    def __init__(self, reader: TopicReader) -> None:
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


def headers_of(message: Message) -> list[tuple[str, bytes | str | None]]:
    """A message's headers; the client types them for producing, where a dict would do as well."""
    try:
        return cast("list[tuple[str, bytes | str | None]]", message.headers() or [])
    except (SystemError, UnicodeDecodeError):  # a name that is not UTF-8, which none of ours is
        return []


def key_of(message: Message) -> bytes | None:
    """The correlation id in a message's headers, undecoded; None when it has none."""
    for name, value in reversed(headers_of(message)):
        if name == headers.CORRELATION_ID:
            return value if isinstance(value, bytes) else None
    return None


def record_of(message: Message, cluster: str) -> Record:
    """A consumer's message in the form that the codec reads."""
    return Record(
        topic=message.topic() or "",
        partition=message.partition() or 0,
        offset=message.offset() or 0,
        value=message.value(),
        headers=headers_of(message),
        cluster=cluster,
    )
