"""A compacted topic read to its end, once: the last record of each key. In bounded time and memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from airflow_provider_langgraph.exceptions import KafkaError
from airflow_provider_langgraph.kafka.connection import KafkaConnection
from airflow_provider_langgraph.kafka.error_hints import explain
from airflow_provider_langgraph.kafka.topic_reader import OVERHEAD_BYTES, Reader, TopicReader, record_of, refused
from workflow_events import headers
from workflow_events.codec import Record
from workflow_events.kafka_errors import HOPELESS

MOST_BYTES = 64 * 1024 * 1024
"""Of what is kept: more is no catalogue of graphs."""

_POLL_SECONDS = 0.2
_PAUSE_SECONDS = 0.2
_HOPELESS = HOPELESS | {"UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_TOPIC"}

MakeReader = Callable[[dict[str, Any], str], Reader]


def latest_records(
    connection: KafkaConnection, topic: str, make_reader: MakeReader = TopicReader
) -> dict[bytes, Record]:
    """The last record of each key, of those that are there when it begins. Keys whose last record is empty are absent.

    Blocks for the connection's timeout at most, and a few seconds more if the broker is away.

    :raises KafkaError: it has not read all of it: why.
    """
    from confluent_kafka import KafkaException

    ends_at = time.monotonic() + connection.timeout_seconds
    try:
        reader = make_reader(connection.settings, topic)
    except KafkaException as error:
        raise KafkaError(connection.cannot(f"read {topic}", explain(error.args[0]))) from None
    try:
        ends = _ends_when_asked(reader, connection, topic, ends_at)
        return _read(reader, topic, ends, connection, ends_at)
    finally:
        reader.close()


def _ends_when_asked(reader: Reader, connection: KafkaConnection, topic: str, ends_at: float) -> dict[int, int]:
    """The end of each partition, with the reader at its beginning."""
    from confluent_kafka import KafkaException

    while True:
        try:
            marks = {number: reader.watermarks(number) for number in reader.partitions()}
            break
        except KafkaException as error:
            cause = error.args[0]
            is_hopeless = cause.name() in _HOPELESS or reader.errors.refused
            if is_hopeless or time.monotonic() >= ends_at:
                why = explain(cause) if cause.name() in _HOPELESS else reader.errors.explain(cause)
                raise KafkaError(connection.cannot(f"read {topic}", why)) from None
            time.sleep(_PAUSE_SECONDS)
    reader.stand_at({number: low for number, (low, _) in marks.items()})
    return {number: high for number, (_, high) in marks.items()}


def _read(
    reader: Reader, topic: str, ends: dict[int, int], connection: KafkaConnection, ends_at: float
) -> dict[bytes, Record]:
    latest: dict[bytes, Record] = {}
    size = 0
    while any(reader.next[number] < end for number, end in ends.items()):
        why = refused(reader, topic)
        if why is None and reader.lost:
            why = "the topic's retention removed records meanwhile"
        if why is None and time.monotonic() >= ends_at:
            why = f"its end was not reached within {connection.timeout_seconds:g} s"
        if why is None and size > MOST_BYTES:
            why = f"it holds more than {MOST_BYTES:,} bytes"
        if why is not None:
            raise KafkaError(connection.cannot(f"read all of {topic}", why))
        for message in reader.read(_POLL_SECONDS):
            key = message.key()
            if not isinstance(key, bytes):
                continue
            old = latest.pop(key, None)
            size -= 0 if old is None else _size(key, old)
            if message.value() is not None:
                latest[key] = _record(message, reader.cluster)
                size += _size(key, latest[key])
        reader.skip_gaps()
    return latest


def _record(message: Any, cluster: str) -> Record:
    try:
        found = headers.of_message(message)
    except ValueError:
        return record_of(message, (), cluster)
    return record_of(message, found or (), cluster)


def _size(key: bytes, record: Record) -> int:
    return OVERHEAD_BYTES + len(key) + len(record.value or b"")
