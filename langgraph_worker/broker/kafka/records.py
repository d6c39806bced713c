"""Make records of the messages of confluent-kafka."""

from __future__ import annotations

from confluent_kafka import Message

from workflow_events.codec import Record
from workflow_events.headers import Headers, of_message


def to_record(message: Message, topic: str, cluster: str) -> Record:
    """The record of a message that is not an error."""
    _, timestamp = message.timestamp()
    headers, readable = _headers(message)
    return Record(
        topic=message.topic() or topic,
        partition=message.partition() or 0,
        offset=message.offset() or 0,
        value=_bytes(message.value()),
        headers=headers,
        key=_bytes(message.key()),
        timestamp_ms=timestamp if timestamp > 0 else None,
        cluster=cluster,
        headers_readable=readable,
    )


def _headers(message: Message) -> tuple[Headers | None, bool]:
    """The headers, and whether they could be read."""
    try:
        return of_message(message), True
    except ValueError:
        return None, False


def _bytes(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value
