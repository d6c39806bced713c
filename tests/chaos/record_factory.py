"""The records that the load writes: requests of every relation to their task, and garbage of every kind."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

from tests.chaos.plan import NODES
from tests.chaos.sent_requests import Garbage, Relation, SentRequest
from workflow_events import EventSource, EventType, WorkflowEvent
from workflow_events.codec import encode
from workflow_events.headers import CORRELATION_ID, SCHEMA_VERSION
from workflow_events.identity import correlation_id, task_key
from workflow_events.models import Attempt, WorkflowEventPayload

RUN_START = datetime(2026, 1, 1, tzinfo=UTC)
SHORTEST, LONGEST = 50, 500
"""How long a node takes, in milliseconds."""


class RecordFactory:
    """Draws records from a seed."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(f"letters-{seed}")
        self._tasks = 0

    def uuid(self, version: int = 4) -> UUID:
        return UUID(int=self._rng.getrandbits(128), version=version)

    def _uuid7(self) -> UUID:
        random_part = self._rng.getrandbits(74)
        high, low = random_part >> 62, random_part & (2**62 - 1)
        return UUID(int=int(time.time() * 1000) << 80 | 7 << 76 | high << 64 | 2 << 62 | low)

    def plain(self, thread: str | None = None) -> SentRequest:
        """A request that belongs to no task; the author may share its thread."""
        return _asked(self._event(self.uuid(), thread_id=thread), "plain")

    def first(self) -> SentRequest:
        """The first attempt of a new task."""
        self._tasks += 1
        task = task_key("chaos", "dag", f"run-{self._tasks}", "agent")
        attempt = Attempt(task=task, id=self._uuid7(), try_number=1, max_tries=3, run_start=RUN_START)
        return _asked(self._event(correlation_id(attempt.id), attempt=attempt), "first")

    def again(self, before: SentRequest, relation: Relation, tries: int = 1) -> SentRequest:
        """A further attempt of the same task, with the same input.

        :param tries: how many try numbers later; negative for one that is late.
        """
        old = before.event.attempt
        assert old is not None
        moved = old.max_tries + old.try_number if relation == "clear" else old.max_tries
        change = {"id": self._uuid7(), "try_number": old.try_number + tries, "max_tries": moved}
        attempt = old.model_copy(update=change)
        changed = {"event_id": correlation_id(attempt.id), "attempt": attempt, "timestamp": datetime.now(UTC)}
        return _asked(before.event.model_copy(update=changed), relation)

    def _event(self, event_id: UUID, **fields: object) -> WorkflowEvent:
        delays = [self._rng.randint(SHORTEST, LONGEST) for _ in NODES]
        payload = WorkflowEventPayload(data={"delays": delays, "note": f"for {event_id}"})
        return WorkflowEvent(
            event_id=event_id,
            event_type=EventType.WORKFLOW_TRIGGERED,
            source=EventSource.AIRFLOW,
            workflow_id="chaos",
            workflow_run_id=f"run-{event_id}",
            payload=payload,
            graph="desk",
            **fields,
        )

    def garbage(self) -> Garbage:
        """Something that is no request. The key names it, in the dead letter too."""
        return self._rng.choice(_KINDS)(self)

    def rubbish(self) -> bytes:
        return self._rng.randbytes(self._rng.randint(1, 200))

    def body(self, **fields: object) -> tuple[UUID, bytes]:
        event = self._event(self.uuid())
        return event.event_id, json.dumps({**event.model_dump(mode="json"), **fields}).encode()


def _asked(event: WorkflowEvent, relation: Relation) -> SentRequest:
    return SentRequest(event, encode(event), relation)


def _named(request_id: UUID) -> tuple[tuple[str, bytes], ...]:
    return ((CORRELATION_ID, str(request_id).encode()),)


def _refused(letters: RecordFactory, error_type: str, **fields: object) -> Garbage:
    request_id, body = letters.body(**fields)
    return Garbage(body, _named(request_id), error_type, request_id)


def _newer_schema(letters: RecordFactory) -> Garbage:
    request_id, body = letters.body()
    return Garbage(body, (*_named(request_id), (SCHEMA_VERSION, b"9.0")), "unsupported_schema", request_id)


def _half(letters: RecordFactory) -> Garbage:
    request_id, body = letters.body()
    return Garbage(body[: len(body) // 2], _named(request_id), "invalid_event", request_id)


_KINDS: tuple[Callable[[RecordFactory], Garbage], ...] = (
    lambda letters: Garbage(letters.rubbish(), (), "invalid_event", None),
    lambda letters: Garbage(None, (), "invalid_event", None),
    lambda letters: Garbage(b"[1, 2, 3]", (), "invalid_event", None),
    lambda letters: Garbage(b'{"a":' * 5_000, (), "invalid_event", None),
    lambda letters: Garbage(b"{}", ((CORRELATION_ID, b"nobody"),), "invalid_event", None),
    lambda letters: _refused(letters, "invalid_event", event_type="workflow.completed"),
    lambda letters: _refused(letters, "invalid_event", payload={"data": None}),
    lambda letters: _refused(letters, "not_supported", round=2),
    lambda letters: _refused(letters, "model_not_allowed", config={"model": "gpt"}),
    _newer_schema,
    _half,
)
