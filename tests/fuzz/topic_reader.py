"""Reading topics from their beginning."""

from __future__ import annotations

from hashlib import sha256

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from devtools.broker import Broker
from tests.fuzz.wrong import Wrong
from tests.support.kafka import QUIET


class Reader:
    """Reads topics from their beginning, each partition once."""

    def __init__(self, broker: Broker, group: str, topics: dict[str, int]) -> None:
        config = {**broker.client, **broker.consumer, **QUIET, "group.id": group, "enable.auto.commit": False}
        self._consumer = Consumer({**config, "fetch.wait.max.ms": 20})
        self._consumer.assign(
            [TopicPartition(name, part, 0) for name, parts in topics.items() for part in range(parts)]
        )

    def read(self) -> list[Message]:
        """What there is, perhaps nothing."""
        messages = self._consumer.consume(500, 0.2)
        for message in messages:
            error = message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                raise Wrong(f"reading fails: {error.str()}")
        return [message for message in messages if message.error() is None]

    def end(self, topic: str, partition: int) -> int:
        """The offset of the record that is written next."""
        _, high = self._consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=15)
        return int(high)

    def close(self) -> None:
        self._consumer.close()


def digest(value: bytes | None) -> bytes:
    """What tells one body from another."""
    return b"null" if value is None else sha256(value).digest()
