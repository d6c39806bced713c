"""The rows of ``workflow_runs`` as Python code decides about them: the whole row, and the parts that one task needs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from langgraph_worker.domain.attempts import AttemptKey
from langgraph_worker.domain.spending import Spending
from langgraph_worker.store.sql.remembered_nodes import StoredNames
from langgraph_worker.store.sql.rows import Row
from langgraph_worker.store.sql.spending_rows import spending_or_none


@dataclass(frozen=True, slots=True, kw_only=True)
class RunBrief(Row):
    """What an answer of the store's own repeats of a run."""

    correlation_id: UUID
    workflow_id: str
    workflow_run_id: str
    thread_id: str | None = None
    thread_name: str | None = None
    attempts: int = 0
    started_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingRun(RunBrief):
    """An unfinished run that no worker runs."""

    graph: str | None
    accepted_at: datetime
    deadline: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlledRun(RunBrief):
    """A run that a control message may end: a task's, or a plain request's."""

    status: str
    task: str | None
    try_number: int | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimableRun(RunBrief):
    """A run that can be claimed, with its thread's token, its lineage's nodes, and what its logical run has spent."""

    status: str
    decision: str
    event: str
    graph: str
    deployment: str | None
    lineage: str
    generation: int
    logical_run: UUID
    thread_id: str
    accepted_at: datetime
    takeovers: int
    worker_id: str | None
    token: int
    nodes: StoredNames | None
    begun_by: str | None
    traceparent: str | None
    first_traceparent: str | None
    askings: dict[str, int] | None
    retried: dict[str, Any] | None
    spent_steps: int | None
    spent_seconds: float | None
    spent_usage: dict[str, Any] | None
    spent_unreported: list[str] | None
    spent_marks: list[str] | None

    @property
    def spent(self) -> Spending | None:
        """What its logical run has spent; None if nothing is counted."""
        return spending_or_none(
            self.spent_steps, self.spent_seconds, self.spent_usage, self.spent_unreported, self.spent_marks
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class UnpublishedRun(Row):
    """A run whose stored result the broker has not acknowledged."""

    correlation_id: UUID
    event: str | None
    cluster: str
    topic: str
    partition: int
    offset: int
    error_type: str | None
    reply_topic: str
    reply_key: bytes
    reply_value: bytes
    reply_headers: list[list[str]]
    publish_asked: int
    dead_lettered_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PrunableRun(Row):
    """A run that may be removed."""

    correlation_id: UUID
    task: str | None
    thread_id: str | None
    result_status: str
    finished_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnding(Row):
    """The columns of a run that its ending sets."""

    status: str
    result_status: str
    error_type: str | None
    finished_at: datetime
    reply_key: bytes
    reply_value: bytes
    reply_headers: list[list[str]]
    published_at: datetime | None
    publish_asked: int
    publisher: str
    adoptable_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow(RunBrief):
    """A run: every column but ``seq``, which the database counts."""

    status: str
    decision: str
    event: str | None = None
    event_bytes: int | None = None
    graph: str | None = None
    deployment: str | None = None
    deadline: datetime | None = None
    round: int = 0
    task: str | None = None
    attempt_id: UUID | None = None
    try_number: int | None = None
    max_tries: int | None = None
    run_start: datetime | None = None
    replay: int | None = None
    cluster: str
    topic: str
    partition: int
    offset: int
    lineage: str | None = None
    generation: int | None = None
    logical_run: UUID | None = None
    accepted_at: datetime
    waiting_since: datetime
    turn: datetime
    not_before: datetime | None = None
    retried: dict[str, Any] | None = None
    takeovers: int = 0
    worker_id: str | None = None
    release: str | None = None
    traceparent: str | None = None
    askings: dict[str, int] | None = None
    finished_at: datetime | None = None
    result_status: str | None = None
    error_type: str | None = None
    reply_topic: str
    reply_key: bytes | None = None
    reply_value: bytes | None = None
    reply_headers: list[list[str]] | None = None
    publish_asked: int = 0
    publisher: str | None = None
    adoptable_at: datetime | None = None
    dead_lettered_at: datetime | None = None
    published_at: datetime | None = None
    last_query: UUID | None = None

    @property
    def attempt(self) -> AttemptKey | None:
        """The attempt whose request it is, as attempts are compared; None for a plain request."""
        if self.attempt_id is None or self.try_number is None or self.max_tries is None or self.replay is None:
            return None
        return AttemptKey(self.attempt_id, self.try_number, self.max_tries, self.run_start, self.replay)

    def ended(self, ending: RunEnding) -> Self:
        """The run with this ending."""
        return replace(self, **ending.parameters())
