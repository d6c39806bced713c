"""The messages that steer running work (control topic) and those that report its progress (progress topic)."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal
from uuid import UUID, uuid4

from pydantic import Field, JsonValue, model_validator

from workflow_events.fields import FieldError, MaybeName
from workflow_events.models import Attempt, EventType, Name, Reason, UtcDatetime, Who, WireModel, utcnow


class WorkflowCancelledEvent(WireModel):
    """Ends one request, whether it has not arrived yet, waits or runs. If it has ended, nothing changes.

    :param correlation_id: the request.
    :param reason: for the person who reads the result.
    """

    event_type: Literal[EventType.WORKFLOW_CANCELLED] = EventType.WORKFLOW_CANCELLED
    correlation_id: UUID
    reason: Reason = ""
    requested_by: Who | None = None
    timestamp: UtcDatetime = Field(default_factory=utcnow)


class WorkflowSupersededEvent(WireModel):
    """A newer attempt of a task exists: every older unfinished run of that task ends, even if the fleet is full."""

    event_type: Literal[EventType.WORKFLOW_SUPERSEDED] = EventType.WORKFLOW_SUPERSEDED
    attempt: Attempt
    timestamp: UtcDatetime = Field(default_factory=utcnow)


class WorkflowQueryEvent(WireModel):
    """Asks for stored results to be published again, by a waiter that can no longer read them.

    :param query_id: workers answer each query once. A waiter that asks again takes a new id.
    """

    event_type: Literal[EventType.WORKFLOW_QUERY] = EventType.WORKFLOW_QUERY
    query_id: UUID = Field(default_factory=uuid4)
    correlation_ids: list[UUID] = Field(min_length=1, max_length=1_000)
    timestamp: UtcDatetime = Field(default_factory=utcnow)


class PauseScope(StrEnum):
    """What a pause holds back."""

    FLEET = "fleet"
    GRAPH = "graph"
    WORKFLOW = "workflow"


class _PauseMessage(WireModel):
    """What pauses and unpauses have in common. Of two messages about the same scope and name the later ``timestamp``
    counts, in whatever order they are read; of two at the same instant the pause.

    :param scope: required, so that a field that is misspelt cannot mean the whole fleet.
    :param name: the graph's, or the ``workflow_id``; empty for the fleet.
    :param reason: for the person who reads why a request waits.
    """

    scope: PauseScope
    name: MaybeName = ""
    reason: Reason = ""
    requested_by: Who | None = None
    timestamp: UtcDatetime = Field(default_factory=utcnow)

    @model_validator(mode="after")
    def _a_name_unless_the_fleet(self) -> _PauseMessage:
        if (self.scope is PauseScope.FLEET) == bool(self.name):
            rule = "must be empty where scope is fleet" if self.name else f"must name the {self.scope.value}"
            raise FieldError("name", rule)
        return self


class WorkflowPausedEvent(_PauseMessage):
    """No run of the scope starts until it is unpaused. What runs stops before its next superstep, and waits.

    :param at_once: what runs is stopped now; the nodes under way run again later.
    """

    event_type: Literal[EventType.WORKFLOW_PAUSED] = EventType.WORKFLOW_PAUSED
    at_once: bool = False


class WorkflowUnpausedEvent(_PauseMessage):
    """Ends the pause of the same scope and name, and no other one."""

    event_type: Literal[EventType.WORKFLOW_UNPAUSED] = EventType.WORKFLOW_UNPAUSED


class ProgressKind(StrEnum):
    """What a progress message reports. A quick node has that of its end only, which then holds the start's data."""

    ACCEPTED = "accepted"
    NODE_STARTED = "node_started"
    NODE_FINISHED = "node_finished"
    BACKS_OFF = "backs_off"
    PAUSED = "paused"
    CUSTOM = "custom"
    TOKEN = "token"


class WorkflowProgressEvent(WireModel):
    """A best-effort message about a run: it may be late, and it may be lost."""

    event_type: Literal[EventType.WORKFLOW_PROGRESS] = EventType.WORKFLOW_PROGRESS
    correlation_id: UUID
    workflow_id: Name
    workflow_run_id: Name
    kind: ProgressKind
    node: str | None = None
    agent: str | None = None
    data: JsonValue = None
    timestamp: UtcDatetime = Field(default_factory=utcnow)
    worker_id: str | None = None
