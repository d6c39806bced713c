"""Encode models and decode records. Encoding is deterministic; a decoding error names the record, the field and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

import pydantic_core
from pydantic import BaseModel, JsonValue, ValidationError

from workflow_events import headers as h
from workflow_events.announcements import ANNOUNCEMENTS, Announcement, GraphAnnouncement, WorkerAnnouncement, key_of
from workflow_events.control import (
    WorkflowCancelledEvent,
    WorkflowPausedEvent,
    WorkflowProgressEvent,
    WorkflowQueryEvent,
    WorkflowSupersededEvent,
    WorkflowUnpausedEvent,
)
from workflow_events.errors import DecodeError, EncodeError, MessageTooLargeError, UnsupportedSchemaError
from workflow_events.fields import FieldError
from workflow_events.identity import record_id
from workflow_events.json_places import field_names, place_of_no_text
from workflow_events.models import EARLIEST, LATEST, REQUESTS, EventType, WorkflowEvent
from workflow_events.results import WorkflowResultEvent
from workflow_events.unknown_fields import UnknownField, probably_meant, unknown_fields

DEFAULT_MAX_BYTES = 1_000_000
"""Kafka's default message.max.bytes is 1,048,588 for a whole record batch; this leaves room for its framing."""

Message = (
    WorkflowEvent
    | WorkflowResultEvent
    | WorkflowCancelledEvent
    | WorkflowSupersededEvent
    | WorkflowQueryEvent
    | WorkflowPausedEvent
    | WorkflowUnpausedEvent
    | WorkflowProgressEvent
    | WorkerAnnouncement
    | GraphAnnouncement
)
ControlMessage = (
    WorkflowCancelledEvent | WorkflowSupersededEvent | WorkflowQueryEvent | WorkflowPausedEvent | WorkflowUnpausedEvent
)

_CONTROL: dict[str, type[ControlMessage]] = {
    EventType.WORKFLOW_CANCELLED.value: WorkflowCancelledEvent,
    EventType.WORKFLOW_SUPERSEDED.value: WorkflowSupersededEvent,
    EventType.WORKFLOW_QUERY.value: WorkflowQueryEvent,
    EventType.WORKFLOW_PAUSED.value: WorkflowPausedEvent,
    EventType.WORKFLOW_UNPAUSED.value: WorkflowUnpausedEvent,
}

_LONGEST_FIELD_CHARACTERS = 200
_LONGEST_REASON_CHARACTERS = 1_000

_NAME_ERRORS = {"extra_forbidden": ": did you mean {!r}?", "missing": ": the message has {!r} instead"}

_M = TypeVar("_M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Encoded:
    """A message ready for a producer."""

    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]

    @property
    def size(self) -> int:
        """Bytes of key, value and headers; the broker counts its framing too."""
        return len(self.key) + len(self.value) + sum(len(name.encode()) + len(value) for name, value in self.headers)


@dataclass(frozen=True, slots=True)
class Record:
    """One record as a consumer delivered it.

    :param timestamp_ms: the record's timestamp in milliseconds since 1970; None if the broker kept none.
    :param cluster: the id of the Kafka cluster; without it an offset means nothing.
    :param topic_id: which topic of that name it is, see :func:`workflow_events.identity.record_id`.
    :param headers_readable: False if it has headers that this side cannot read. They may name a newer schema.
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
    topic_id: str = ""

    @property
    def where(self) -> str:
        """``topic[partition]@offset``: how every error names a record."""
        return f"{self.topic}[{self.partition}]@{self.offset}"


def encode(
    message: Message, *, max_bytes: int = DEFAULT_MAX_BYTES, traceparent: str | None = None, limit_set_by: str = ""
) -> Encoded:
    """Encode a message; the same message gives the same bytes.

    :param max_bytes: limit for key, value and headers together.
    :param limit_set_by: what sets it, for the error, see :class:`MessageTooLargeError`.
    :raises MessageTooLargeError: it is over the limit; the error names size and limit.
    :raises EncodeError: a text in it is not Unicode (half of a surrogate pair).
    """
    key, correlation, event_type = _address(message)
    try:
        value = message.model_dump_json().encode()
    except ValueError as error:
        why = _no_text_in(message) or str(error)
        raise EncodeError(f"the {event_type} message of {correlation or key} has no JSON form: {why}") from error
    encoded = Encoded(
        key=key.encode(),
        value=value,
        headers=h.build(correlation, event_type, traceparent),
    )
    if encoded.size > max_bytes:
        raise MessageTooLargeError(
            f"the {event_type} message of {correlation or key}", encoded.size, max_bytes, limit_set_by
        )
    return encoded


def _no_text_in(message: Message) -> str:
    place = place_of_no_text(message.model_dump())
    return place and (
        f"field {place!r} has half of a surrogate pair, which is no text. Replace it where it comes from, as "
        "text.encode('utf-8', 'replace').decode() does"
    )


def _address(message: Message) -> tuple[str, UUID | None, str]:
    """Key, correlation id and event type. One task's events share a partition, and so do one request's results."""
    match message:
        case WorkflowEvent():
            # A replay shares the partition of what it replays.
            request = message.replay.of if message.replay else message.event_id
            key = message.attempt.task if message.attempt else message.thread_id or str(request)
            return key, message.event_id, message.event_type.value
        case WorkflowResultEvent():
            return str(message.correlation_id), message.correlation_id, EventType.WORKFLOW_RESULT.value
        case WorkflowCancelledEvent() | WorkflowProgressEvent():
            return str(message.correlation_id), message.correlation_id, message.event_type.value
        case WorkflowSupersededEvent():
            return message.attempt.task, None, message.event_type.value
        case WorkflowQueryEvent():
            return str(message.query_id), None, message.event_type.value
        case WorkflowPausedEvent() | WorkflowUnpausedEvent():
            return f"{message.scope.value}:{message.name}", None, message.event_type.value
        case WorkerAnnouncement() | GraphAnnouncement():
            return key_of(message), None, message.event_type


@dataclass(frozen=True, slots=True)
class ReadEvent:
    """A request as it was read.

    :param unknown: fields of it that have no effect.
    """

    event: WorkflowEvent
    unknown: tuple[UnknownField, ...] = ()


def decode_event(record: Record) -> WorkflowEvent:
    """Read a request from the events topic, see :func:`read_event`."""
    return read_event(record).event


def read_event(record: Record) -> ReadEvent:
    """Read a request from the events topic.

    What a plain event leaves out comes from the record: ``event_id`` from its header, else from its place in Kafka;
    ``timestamp`` from the record's timestamp.

    :raises DecodeError: it is not a request of this contract. The error has the correlation id, if the header has one.
    """
    body = _body(record)
    correlation = h.correlation_id_of(record.headers)
    if body.get("event_id") is None:
        body["event_id"] = correlation or _id_of_place(record)
    if body.get("timestamp") is None and (written := _written_at(record)) is not None:
        body["timestamp"] = written
    data = _taken_data(body)
    if data is not None and not _is_finite(data):
        raise _error(record, "holds a number that is too large for a double", "payload.data")
    event = _validate(WorkflowEvent, body, record)
    if data is not None:
        event = event.model_copy(update={"payload": event.payload.model_copy(update={"data": data})})
    if event.event_type not in REQUESTS:
        known = ", ".join(sorted(kind.value for kind in REQUESTS))
        raise _error(record, f"{event.event_type.value} does not ask for a run; this topic takes {known}", "event_type")
    _same_as_header(record, event.event_id, "event_id")
    return ReadEvent(event, unknown_fields(WorkflowEvent, body))


def _id_of_place(record: Record) -> UUID:
    return record_id(record.cluster, record.topic, record.partition, record.offset, record.topic_id)


def _taken_data(body: dict[str, Any]) -> dict[str, Any] | list[Any] | None:
    """A request's input, taken out of its body: it is JSON already, and to validate it takes longer than all else."""
    payload = body.get("payload")
    if not isinstance(payload, dict) or not isinstance(payload.get("data"), dict | list) or payload.get("command"):
        return None
    data: dict[str, Any] | list[Any] = payload.pop("data")
    return data


def _is_finite(data: JsonValue) -> bool:
    """Whether each number has a JSON form: a text such as ``1e999`` is read as infinity."""
    text = pydantic_core.to_json(data, inf_nan_mode="constants")
    if b"Infinity" not in text:
        return True
    try:
        pydantic_core.from_json(text, allow_inf_nan=False)
    except ValueError:
        return False
    return True  # it is a word in a text


def decode_result(record: Record) -> WorkflowResultEvent:
    """Read a reply from the results topic.

    :raises DecodeError: it is not a result of this contract.
    """
    result = _validate(WorkflowResultEvent, _body(record), record)
    _same_as_header(record, result.correlation_id, "correlation_id")
    return result


def decode_control(record: Record) -> ControlMessage:
    """Read a message of the control topic; its event type says which model it is.

    A pause or its end without ``timestamp`` has that of the record.

    :raises DecodeError: it is not a control message of this contract.
    """
    body = _body(record)
    kind = _CONTROL.get(str(body.get("event_type")))
    if kind is None:
        raise _error(record, f"must be one of {', '.join(sorted(_CONTROL))}", "event_type")
    if body.get("timestamp") is None and kind in (WorkflowPausedEvent, WorkflowUnpausedEvent):
        # Never the time of reading: the topic is read again by each worker that starts, and the latest message counts.
        written = _written_at(record)
        if written is None:
            raise _error(record, "is missing, and the record has no time that could stand for it", "timestamp")
        body["timestamp"] = written
    return _validate(kind, body, record)


def decode_progress(record: Record) -> WorkflowProgressEvent:
    """Read a message of the progress topic.

    :raises DecodeError: it is not a progress message of this contract.
    """
    return _validate(WorkflowProgressEvent, _body(record), record)


def decode_announcement(record: Record) -> Announcement:
    """Read a record of the graphs topic; its event type says which model it is.

    :raises DecodeError: it is not an announcement of this contract.
    """
    body = _body(record)
    kind = ANNOUNCEMENTS.get(str(body.get("event_type")))
    if kind is None:
        raise _error(record, f"must be one of {', '.join(sorted(ANNOUNCEMENTS))}", "event_type")
    found: Announcement = _validate(kind, body, record)
    return found


def _written_at(record: Record) -> datetime | None:
    # A foreign producer may write microseconds, or worse: then the current time counts.
    try:
        at = None if record.timestamp_ms is None else datetime.fromtimestamp(record.timestamp_ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return at if at is not None and EARLIEST <= at <= LATEST else None


def _same_as_header(record: Record, named: UUID, field: str) -> None:
    # A reader decides by the header which body it parses; a body about another request must not pass.
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
        place, reason = _first_wrong(error, model, body)
        raise _error(record, reason, _shown(".".join(place), _LONGEST_FIELD_CHARACTERS) or None) from None
    except RecursionError:
        raise _error(record, "the body is nested too deeply") from None


def _first_wrong(error: ValidationError, model: type[BaseModel], body: dict[str, Any]) -> tuple[Sequence[str], str]:
    """The path to the first wrong field, and the rule, without the words that pydantic puts before a rule of ours."""
    first = error.errors(include_url=False, include_input=False)[0]
    place, cause = field_names(first["loc"]), first.get("ctx", {}).get("error")
    if isinstance(cause, FieldError):
        return [*place, cause.field], cause.reason
    reason = str(cause) if isinstance(cause, ValueError) else first["msg"]
    if first["type"] in _NAME_ERRORS and (meant := probably_meant(model, first["loc"], body)):
        reason += _NAME_ERRORS[first["type"]].format(meant)
    return place, reason


def _error(record: Record, reason: str, field: str | None = None) -> DecodeError:
    correlation = h.correlation_id_of(record.headers)
    return DecodeError(
        _shown(reason, _LONGEST_REASON_CHARACTERS), field=field, where=record.where, correlation_id=correlation
    )


def _shown(text: str, length: int) -> str:
    """One printable line of bounded length: a sender can put any text of any length into a message."""
    kept = "".join(sign if sign.isprintable() else "\ufffd" for sign in text[:length])
    return kept if len(text) <= length else f"{kept}… ({len(text) - length:,} more characters)"
