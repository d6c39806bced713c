"""Record headers: a reader can skip a message by them without parsing its body.

Kafka clients give headers as ``[(name, bytes), ...]`` or None. A name may repeat; the last one counts.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, Protocol
from uuid import UUID

CORRELATION_ID = "correlation-id"
EVENT_TYPE = "event-type"
SCHEMA_VERSION = "schema-version"
TRACEPARENT = "traceparent"
SIGNATURE = "signature"  # reserved
PROTOCOL = frozenset({CORRELATION_ID, EVENT_TYPE, SCHEMA_VERSION, TRACEPARENT, SIGNATURE})
"""The names that the protocol gives a meaning."""

CURRENT_SCHEMA = "1.0"
"""``major.minor``. A reader accepts every minor version of its own major version: it ignores unknown fields."""

Headers = Sequence[tuple[str, bytes | str | None]]


def build(correlation_id: UUID | None, event_type: str, traceparent: str | None = None) -> list[tuple[str, bytes]]:
    """The headers of one message, in a fixed order: an answer that is repeated has the same bytes."""
    headers = [] if correlation_id is None else [(CORRELATION_ID, str(correlation_id).encode())]
    headers += [(EVENT_TYPE, event_type.encode()), (SCHEMA_VERSION, CURRENT_SCHEMA.encode())]
    if traceparent:
        headers.append((TRACEPARENT, traceparent.encode()))
    return headers


class _Message(Protocol):
    """A message of confluent-kafka."""

    def headers(self) -> Any: ...


_ask = operator.methodcaller("headers")


def of_message(message: _Message) -> Headers | None:
    """The headers of a message of confluent-kafka. Do not ask it a second time.

    :raises ValueError: they cannot be read: in Kafka a header's name is any bytes, and the client reads UTF-8 only.
    """
    # On such a name the client's method returns a result and leaves an exception set. Python turns that into an error
    # where C code makes the call, as here. Its interpreter does not look once it has made the call some ten times:
    # then the exception comes out of whatever runs next.
    try:
        found = _ask(message)
    except (SystemError, UnicodeDecodeError):
        raise ValueError("a header's name is not UTF-8") from None
    return list(found.items()) if isinstance(found, dict) else found


def value_of(headers: Headers | None, name: str) -> str | None:
    """The last value of a header as text; None if it is absent, null or not UTF-8."""
    for key, value in reversed(headers or ()):
        if key == name:
            if isinstance(value, bytes):
                try:
                    return value.decode()
                except UnicodeDecodeError:
                    return None
            return value
    return None


def correlation_id_of(headers: Headers | None) -> UUID | None:
    """The correlation id that a record is about; None if the header is absent or not a UUID."""
    text = value_of(headers, CORRELATION_ID)
    if text is None:
        return None
    try:
        return UUID(text)
    except ValueError:
        return None
