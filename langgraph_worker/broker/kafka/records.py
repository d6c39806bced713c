"""Make records of the messages of confluent-kafka."""

from __future__ import annotations

from confluent_kafka import Message

from workflow_events import headers as h
from workflow_events.codec import Record

MOST_HEADERS = 1_000
"""Of a record that has more, those of the protocol are kept alone: in Python, each takes fifty times its bytes."""
_HEADER_BYTES = 150  # what a header takes beside its name and its value


def to_record(message: Message, topic: str, cluster: str, most_headers: int = MOST_HEADERS) -> Record:
    """The record of a message that is not an error.

    :param most_headers: see :data:`MOST_HEADERS`.
    """
    _, timestamp = message.timestamp()
    headers, readable = _headers(message, most_headers)
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


def size_of(record: Record) -> int:
    """How many bytes of memory a record takes, about, until it is read."""
    headers = record.headers or ()
    named = sum(_HEADER_BYTES + len(name) + len(value or b"") for name, value in headers)
    return len(record.value or b"") + len(record.key or b"") + named


def _headers(message: Message, most: int) -> tuple[h.Headers | None, bool]:
    """The headers, and whether they could be read."""
    try:
        pairs = h.of_message(message)
    except ValueError:
        return None, False
    if pairs is not None and len(pairs) > most:
        pairs = list({name: value for name, value in pairs if name in h.PROTOCOL}.items())  # the last of a name counts
    return pairs, True


def _bytes(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value
