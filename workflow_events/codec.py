"""Between models and bytes. Encoding is deterministic; decoding says which field of which record is wrong, and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

import pydantic_core
from pydantic import BaseModel, ValidationError

from workflow_events import headers as h
from workflow_events.control import (
    WorkflowCancelledEvent,
    WorkflowProgressEvent,
    WorkflowQueryEvent,
    WorkflowSupersededEvent,
)
from workflow_events.errors import DecodeError, EncodeError, MessageTooLargeError, UnsupportedSchemaError
from workflow_events.identity import record_id
from workflow_events.models import REQUESTS, EventType, WorkflowEvent
from workflow_events.results import WorkflowResultEvent

DEFAULT_MAX_BYTES = 1_000_000
"""Kafka's default message.max.bytes is 1,048,588 for a whole record batch; this leaves room for its framing."""

Message = (
    WorkflowEvent
    | WorkflowResultEvent
    | WorkflowCancelledEvent
    | WorkflowSupersededEvent
    | WorkflowQueryEvent
    | WorkflowProgressEvent
)
ControlMessage = WorkflowCancelledEvent | WorkflowSupersededEvent | WorkflowQueryEvent

_CONTROL: dict[str, type[ControlMessage]] = {
    EventType.WORKFLOW_CANCELLED.value: WorkflowCancelledEvent,
    EventType.WORKFLOW_SUPERSEDED.value: WorkflowSupersededEvent,
    EventType.WORKFLOW_QUERY.value: WorkflowQueryEvent,
}

_LONGEST_PLACE = 200
_LONGEST_REASON = 1_000

_M = TypeVar("_M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Encoded:
    """A message ready for a producer."""

    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]

    @property
    def size(self) -> int:
        """Bytes of key, value and headers, as the broker counts them but for its framing."""
        return len(self.key) + len(self.value) + sum(len(name.encode()) + len(value) for name, value in self.headers)


@dataclass(frozen=True, slots=True)
class Record:
    """One record as a consumer delivered it.

    :param timestamp_ms: the record's timestamp in milliseconds since 1970, None when the broker kept none.
    :param cluster: the Kafka cluster's id: offsets mean nothing without it.
    :param headers_readable: False if it has headers that this side cannot read; they may say that its schema is newer.
    """

    topic: str
    partition: int
    offset: int
    value: bytes | None
    headers: h.Headers | None = None
    key: bytes | None = None
    timestamp_ms: int | None = None
    cluster: str = ""
    headers_readable: bool = True

    @property
    def where(self) -> str:
        """``topic[partition]@offset``, as every error names a record."""
        return f"{self.topic}[{self.partition}]@{self.offset}"


def encode(message: Message, *, max_bytes: int = DEFAULT_MAX_BYTES, traceparent: str | None = None) -> Encoded:
    """Encode a message; the same message gives the same bytes.

    :param max_bytes: limit for key, value and headers together.
    :raises MessageTooLargeError: over the limit; names size and limit.
    :raises EncodeError: a text in it is no Unicode (half of a surrogate pair).
    """
    key, correlation, event_type = _address(message)
    try:
        value = message.model_dump_json().encode()
    except ValueError as error:
        raise EncodeError(f"the {event_type} message of {correlation or key} has no JSON form: {error}") from error
    encoded = Encoded(
        key=key.encode(),
        value=value,
        headers=h.build(correlation, event_type, traceparent),
    )
    if encoded.size > max_bytes:
        raise MessageTooLargeError(f"the {event_type} message of {correlation or key}", encoded.size, max_bytes)
    return encoded


def _address(message: Message) -> tuple[str, UUID | None, str]:
    """Key, correlation id and event type. One task's events share a partition; one request's results do too."""
    match message:
        case WorkflowEvent():
            key = message.attempt.task if message.attempt else message.thread_id or str(message.event_id)
            return key, message.event_id, message.event_type.value
        case WorkflowResultEvent():
            return str(message.correlation_id), message.correlation_id, EventType.WORKFLOW_RESULT.value
        case WorkflowCancelledEvent() | WorkflowProgressEvent():
            return str(message.correlation_id), message.correlation_id, message.event_type.value
        case WorkflowSupersededEvent():
            return message.attempt.task, None, message.event_type.value
        case WorkflowQueryEvent():
            return str(message.query_id), None, message.event_type.value


def decode_event(record: Record) -> WorkflowEvent:
    """Read a request from the events topic.

    What a plain event leaves out comes from the record: ``event_id`` from its header, else from its place;
    ``timestamp`` from the record's.

    :raises DecodeError: not a request of this contract; carries the correlation id if the header holds one.
    """
    body = _body(record)
    correlation = h.correlation_id_of(record.headers)
    if body.get("event_id") is None:
        body["event_id"] = correlation or record_id(record.cluster, record.topic, record.partition, record.offset)
    if body.get("timestamp") is None and (written := _written_at(record)) is not None:
        body["timestamp"] = written
    event = _validate(WorkflowEvent, body, record)
    if event.event_type not in REQUESTS:
        known = ", ".join(sorted(kind.value for kind in REQUESTS))
        raise _error(record, f"{event.event_type.value} does not ask for a run; this topic takes {known}", "event_type")
    _same_as_header(record, event.event_id, "event_id")
    return event


def decode_result(record: Record) -> WorkflowResultEvent:
    """Read a reply from the results topic.

    :raises DecodeError: not a result of this contract.
    """
    result = _validate(WorkflowResultEvent, _body(record), record)
    _same_as_header(record, result.correlation_id, "correlation_id")
    return result


def decode_control(record: Record) -> ControlMessage:
    """Read a message of the control topic; its event type says which model it is.

    :raises DecodeError: not a control message of this contract.
    """
    body = _body(record)
    kind = _CONTROL.get(str(body.get("event_type")))
    if kind is None:
        raise _error(record, f"must be one of {', '.join(sorted(_CONTROL))}", "event_type")
    return _validate(kind, body, record)


def decode_progress(record: Record) -> WorkflowProgressEvent:
    """Read a message of the progress topic.

    :raises DecodeError: not a progress message of this contract.
    """
    return _validate(WorkflowProgressEvent, _body(record), record)


def _written_at(record: Record) -> datetime | None:
    try:
        return None if record.timestamp_ms is None else datetime.fromtimestamp(record.timestamp_ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None  # a foreign producer's microseconds, or worse: then it was written now


def _same_as_header(record: Record, named: UUID, field: str) -> None:
    # Readers choose by the header what to parse; a body about something else must not pass for it.
    header = h.correlation_id_of(record.headers)
    if header is not None and header != named:
        raise _error(record, f"differs from the {h.CORRELATION_ID} header, which is {header}", field)


def _body(record: Record) -> dict[str, Any]:
    if not record.headers_readable:
        raise _error(record, "the headers cannot be read: a header's name is not UTF-8")
    version = h.value_of(record.headers, h.SCHEMA_VERSION)
    if version is not None and version.partition(".")[0] != h.CURRENT_SCHEMA.partition(".")[0]:
        raise UnsupportedSchemaError(
            f"header {h.SCHEMA_VERSION} is {version[:32]!r}, this side reads {h.CURRENT_SCHEMA}: upgrade it",
            where=record.where,
            correlation_id=h.correlation_id_of(record.headers),
        )
    if not record.value:
        raise _error(record, "the body is empty")
    try:
        body = pydantic_core.from_json(record.value, allow_inf_nan=False)
    except ValueError as error:
        raise _error(record, f"the body is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise _error(record, f"the body must be a JSON object, not {type(body).__name__}")
    return body


def _validate(model: type[_M], body: dict[str, Any], record: Record) -> _M:
    try:
        return model.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise _error(record, first["msg"], _shown(place, _LONGEST_PLACE) or None) from None
    except RecursionError:
        raise _error(record, "the body is nested too deeply") from None


def _error(record: Record, reason: str, field: str | None = None) -> DecodeError:
    correlation = h.correlation_id_of(record.headers)
    return DecodeError(_shown(reason, _LONGEST_REASON), field=field, where=record.where, correlation_id=correlation)


def _shown(text: str, length: int) -> str:
    """One line of bounded length: names in a message are as long, and as strange, as their sender likes."""
    kept = "".join(sign if sign.isprintable() else "\ufffd" for sign in text[:length])
    return kept if len(text) <= length else f"{kept}… ({len(text) - length:,} more characters)"
