"""A results topic of its own, and the producer of its replies."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Sequence
from uuid import UUID

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from devtools.broker import Broker
from workflow_events import WorkflowResultEvent
from workflow_events.codec import Encoded, encode
from workflow_events.headers import CORRELATION_ID
from workflow_events.kafka_rules import PARTITIONER

PARTITIONS = 12
BY_KEY = -1
ANSWER = "x" * 100
LARGE_ANSWER = "ü" * 450_000
"""900,000 bytes of UTF-8 that take the longest to decode: nearly the largest answer that a worker sends."""
_FLUSH_SECONDS = 60.0
_NOT_YET = {
    "NOT_LEADER_FOR_PARTITION",
    "LEADER_NOT_AVAILABLE",
    "UNKNOWN_TOPIC_OR_PART",
    "_UNKNOWN_PARTITION",
    "_UNKNOWN_TOPIC",
}


class Topic:
    """A new topic with as many partitions as ``workflow-results`` has by default.

    :param beside: another topic. A record is written to it first, so that the producer is connected.
    :ivar cluster: the Kafka cluster's id.
    """

    def __init__(self, broker: Broker, beside: str | None = None) -> None:
        self.name = f"bench-{uuid.uuid4().hex[:8]}"
        self._client: dict[str, str | int | float | bool] = {**broker.client, "log_level": 0}
        admin = AdminClient(self._client)
        admin.create_topics([NewTopic(self.name, PARTITIONS, -1)])[self.name].result(30)
        while not self._is_there():
            pass  # the broker has not got all partitions from its controller yet
        self.cluster = admin.list_topics(timeout=30).cluster_id or ""
        settings = {"partitioner": PARTITIONER, "queue.buffering.max.messages": 1_000_000}
        self._bulk = Producer({**self._client, **settings, "linger.ms": 5})
        self._prompt = Producer({**self._client, **settings, "linger.ms": 0})
        self._errors: list[KafkaError] = []
        self._prompt.list_topics(self.name, timeout=30)
        self._prompt.produce(beside or self.name, b"connected?", on_delivery=self._note)
        self._flush(self._prompt)

    def ends(self) -> dict[int, int]:
        """The end offset of each partition."""
        with Consumer({**self._client, "group.id": self.name}) as consumer:
            return {
                number: consumer.get_watermark_offsets(TopicPartition(self.name, number), timeout=30)[1]
                for number in range(PARTITIONS)
            }

    def _is_there(self) -> bool:
        try:
            return bool(self.ends())
        except KafkaException as error:
            if error.args[0].name() in _NOT_YET:
                return False
            raise

    def reply(self, ids: Sequence[UUID], partitions: int = 0, answer: str = ANSWER) -> None:
        """Write replies as fast as possible.

        :param partitions: write them to so many partitions in turn; 0: to the partitions of their keys.
        :param answer: the text of each reply.
        """
        messages = [_message(one, answer) for one in ids]
        for number, message in enumerate(messages):
            partition = number % partitions if partitions else BY_KEY
            self._write(self._bulk, message.value, message.key, message.headers, partition)
        self._flush(self._bulk)

    def reply_paced(self, ids: Sequence[UUID], pause: float) -> dict[UUID, int]:
        """Write replies one by one. By id: when the client got it, in nanoseconds of the monotonic clock."""
        messages = {one: _message(one) for one in ids}
        sent = {}
        for one, message in messages.items():
            sent[one] = time.monotonic_ns()
            self._write(self._prompt, message.value, message.key, message.headers)
            due = sent[one] + pause * 1e9
            while (left := due - time.monotonic_ns()) > 0:
                self._prompt.poll(left / 1e9)
        self._flush(self._prompt)
        return sent

    def reply_to_others(self, count: int, partitions: int) -> None:
        """Write replies that no trigger waits for, to so many partitions in turn."""
        message = _message(uuid.uuid4())
        others = [(name, value) for name, value in message.headers if name != CORRELATION_ID]
        for number, key in enumerate(_keys(count)):
            headers = [*others, (CORRELATION_ID, key)]
            self._write(self._bulk, message.value, key, headers, number % partitions)
        self._flush(self._bulk)

    def _write(
        self,
        producer: Producer,
        value: bytes | None,
        key: bytes | None,
        headers: Iterable[tuple[str, bytes]],
        partition: int = BY_KEY,
    ) -> None:
        while True:
            try:
                producer.produce(self.name, value, key, partition, headers=list(headers), on_delivery=self._note)
            except BufferError:
                producer.poll(0.1)
            else:
                return

    def _note(self, error: KafkaError | None, _: Message) -> None:
        if error is not None:
            self._errors.append(error)

    def _flush(self, producer: Producer) -> None:
        if producer.flush(_FLUSH_SECONDS) or self._errors:
            raise RuntimeError(f"replies could not be written to {self.name}: {self._errors[:3]}")


def _message(correlation_id: UUID, answer: str = ANSWER) -> Encoded:
    return encode(
        WorkflowResultEvent(
            correlation_id=correlation_id,
            workflow_id="bench",
            workflow_run_id="bench",
            status="success",
            result={"answer": answer},
        )
    )


def _keys(count: int) -> Iterable[bytes]:
    first = uuid.uuid4().int >> 32 << 32
    return (str(UUID(int=first + number)).encode() for number in range(count))
