"""Records that grow when they are read, in small: readers of a test unpack less than they grow to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaError, Producer

from tests.support.kafka import QUIET, KafkaTopics

UNPACKS_LITTLE: Mapping[str, Any] = {
    "fetch.max.bytes": 1_000_000,
    "receive.message.max.bytes": 1_000_512,
}
"""The settings of a reader that unpacks no more than a megabyte of zstd."""

_LARGE = {"batch.size": 100_000_000, "message.max.bytes": 100_000_000, "batch.num.messages": 1_000_000}


def write_undecodable(
    kafka: KafkaTopics, topic: str, partition: int, records: int = 1, codec: str = "zstd"
) -> tuple[int, int]:
    """Write one batch that grows to four megabytes, and return the offsets of its first and its last record.

    :param codec: readers bound what ``zstd`` grows to; what ``gzip`` does, they deliver.
    """
    settings = {**kafka.client, **QUIET, **_LARGE, "compression.type": codec, "linger.ms": 2_000}
    producer = Producer(settings)
    producer.list_topics(topic, timeout=15)  # a client that knows no leader yet hands on its queue in parts
    offsets: list[int | None] = []

    def note(error: KafkaError | None, message: Any) -> None:
        offsets.append(message.offset() if error is None else None)

    size = 4_000_000 // records
    for _ in range(records):
        producer.produce(topic, b"\0" * size, partition=partition, on_delivery=note)
    assert producer.flush(15) == 0
    assert None not in offsets
    return _first_and_last([offset for offset in offsets if offset is not None])


def _first_and_last(offsets: Sequence[int]) -> tuple[int, int]:
    first, last = min(offsets), max(offsets)
    assert last - first == len(offsets) - 1, "other records came between"
    return first, last
