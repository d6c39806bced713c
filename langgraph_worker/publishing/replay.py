"""The replay of a dead letter: the same request once more, with an id and a deadline of its own.

It keeps the task, the lineage and the thread, so it goes on with the run that died. Its number decides what it is newer
than: its origin and the replays before it, and nothing else. The body is the letter's, but for the fields that a replay
has of its own: what this version does not know of it is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pydantic_core

from langgraph_worker.errors import WorkerError
from langgraph_worker.publishing.letters import Letter
from workflow_events.codec import Encoded, Record, decode_event, encode
from workflow_events.errors import DecodeError, UnsupportedSchemaError
from workflow_events.headers import TRACEPARENT, build, value_of
from workflow_events.identity import replay_id
from workflow_events.models import WorkflowEvent

_ANY_SIZE_BYTES = 2**31
_LONGEST_TRACEPARENT = 128  # characters


class NotReplayableError(WorkerError):
    """A dead letter cannot be replayed; the text has the cause and the remedy. Others can."""


@dataclass(frozen=True, slots=True)
class PreparedReplay:
    """A replay that is ready to be published.

    :param event: as the worker will read it.
    :param of: the correlation id of the request that was dead-lettered first.
    :param number: which replay of it this is.
    """

    event: WorkflowEvent
    encoded: Encoded
    of: UUID
    number: int


def prepare(letter: Letter, deadline: datetime, max_bytes: int, number: int | None = None) -> PreparedReplay:
    """Make the replay of a letter. The same letter and number give the same id, whoever asks.

    :param deadline: of the replay; that of the letter's request has passed.
    :param max_bytes: the workers' limit for an event.
    :param number: which replay it is to be; None: the next after the letter's own.
    :raises NotReplayableError: it has no request that could run.
    """
    event = _request_in(letter)
    last = number_of(event)
    if number is not None and number <= last:
        raise NotReplayableError(f"--number {number}: the letter is of replay {last} itself. Take {last + 1} or more")
    of, number = event.replay.of if event.replay else event.event_id, number or last + 1
    value = pydantic_core.to_json(_body(letter, of, number, deadline))
    headers = build(replay_id(of, number), event.event_type.value, _traceparent(letter))
    try:
        again = decode_event(Record(letter.origin.topic, letter.origin.partition, letter.origin.offset, value, headers))
    except DecodeError as error:  # a field that no event has holds a number that is infinite for a double
        raise NotReplayableError(f"it cannot be written again: {error}. Send it from where it is made") from None
    encoded = Encoded(encode(again, max_bytes=_ANY_SIZE_BYTES).key, value, headers)
    if encoded.size > max_bytes:
        raise NotReplayableError(
            f"the event has {encoded.size:,} bytes, over the limit of {max_bytes:,}. Raise "
            "LANGGRAPH_WORKER_MAX_MESSAGE_BYTES, for the workers too, and max.message.bytes of the events topic"
        )
    return PreparedReplay(again, encoded, of, number)


def number_of(event: WorkflowEvent) -> int:
    """Which replay a request is; 0: it is none."""
    return max(event.replay.number if event.replay else 0, event.attempt.replay if event.attempt else 0)


def _request_in(letter: Letter) -> WorkflowEvent:
    """The letter's event.

    :raises NotReplayableError: it has none.
    """
    origin = letter.origin
    place = f"{origin.topic or 'an unknown topic'}[{origin.partition}]@{origin.offset}"
    if letter.omitted_bytes is not None:
        raise NotReplayableError(
            f"its body of {letter.omitted_bytes:,} bytes was too large for the dead-letter topic, and is not in it. It "
            f"came from {place}: let its sender send less, or a reference to it; a task of Airflow is cleared"
        )
    if letter.is_redacted:
        raise NotReplayableError(
            "its content was redacted when it was written, so it is not the request that was sent. Clear the task in "
            f"Airflow; if its run was accepted, `langgraph-worker runs resume {letter.correlation_id or 'ID'}` goes on "
            "with what the run store has"
        )
    if not letter.record.value:
        raise NotReplayableError(
            f"it has no body: what lies at {place} could not be decoded ({letter.error_type or 'no error type'}). Find "
            "its sender, and let it send the event again"
        )
    record = Record(
        origin.topic,
        origin.partition,
        origin.offset,
        letter.record.value,
        letter.own_headers,
        timestamp_ms=letter.number("timestamp"),
        cluster=origin.cluster,
    )
    try:
        return decode_event(record)
    except UnsupportedSchemaError as error:
        raise NotReplayableError(f"{error}. Replay it with the version of the worker that reads it") from None
    except DecodeError as error:
        raise NotReplayableError(
            f"it is no request: {error}. Correct that where the event is made, and send it again with a new event_id; "
            "a task of Airflow is cleared"
        ) from None


def _body(letter: Letter, of: UUID, number: int, deadline: datetime) -> dict[str, Any]:
    body = {
        **letter.body,
        "event_id": str(replay_id(of, number)),
        "timestamp": datetime.now(UTC).isoformat(),
        "deadline": deadline.astimezone(UTC).isoformat(),
        "replay": {"of": str(of), "number": number},
    }
    attempt = letter.body.get("attempt")
    return body | ({"attempt": {**attempt, "replay": number}} if isinstance(attempt, dict) else {})


def _traceparent(letter: Letter) -> str | None:
    found = value_of(letter.own_headers, TRACEPARENT)
    return found if found and len(found) <= _LONGEST_TRACEPARENT else None
