"""What tests of the run store need: its backends, a clock that moves when told, and requests as Airflow sends them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import Table, create_engine, select

from langgraph_worker.store.port import Claim, Lease, Origin, Refusal, Request
from langgraph_worker.store.sql import SqlRunStore
from workflow_events.identity import correlation_id
from workflow_events.models import Attempt, EventSource, EventType, WorkflowEvent, WorkflowEventPayload
from workflow_events.results import ResultStatus, WorkflowResultEvent

START = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
LEASE = 30.0
_offsets = itertools.count()


class Clock:
    """The store's clock."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass
class SqliteBackend:
    """One database file; every store made here is a worker process of its own, as far as the store can tell."""

    path: Path
    clock: Clock
    opened: list[SqlRunStore] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"sqlite:///{self.path}"

    async def open(self, **settings: Any) -> SqlRunStore:
        store = SqlRunStore(self.url, lease_seconds=LEASE, now=self.clock, **settings)
        await store.open()
        self.opened.append(store)
        return store

    def rows(self, table: Table, **where: Any) -> list[dict[str, Any]]:
        """A table's rows, or those with these values, in the order they were written."""
        engine = create_engine(self.url)
        try:
            with engine.connect() as connection:
                return [dict(row) for row in connection.execute(select(table).filter_by(**where)).mappings()]
        finally:
            engine.dispose()

    async def close(self) -> None:
        for store in self.opened:
            await store.close()


def ti_id(milliseconds: int, salt: int = 0) -> UUID:
    """A uuid7 as Airflow draws one at that time."""
    return UUID(int=(milliseconds << 80) | (7 << 76) | (2 << 62) | salt)


def attempt(try_number: int = 1, *, at: int | None = None, **changes: Any) -> Attempt:
    """The n-th try of one task, in one DAG run."""
    values: dict[str, Any] = {
        "task": "t" * 64,
        "deployment": "here",
        "id": ti_id(1_000 * try_number if at is None else at),
        "try_number": try_number,
        "max_tries": 3,
        "run_start": START,
    }
    return Attempt(**values | changes)


def event(of: Attempt | None = None, *, data: dict[str, Any] | None = None, **changes: Any) -> WorkflowEvent:
    """A request, of an attempt or plain."""
    values: dict[str, Any] = {
        "event_type": EventType.WORKFLOW_TRIGGERED,
        "source": EventSource.AIRFLOW,
        "workflow_id": "dag",
        "workflow_run_id": "run",
        "payload": WorkflowEventPayload(data={"ask": 1} if data is None else data),
        "attempt": of,
    }
    if of is not None:
        values["event_id"] = correlation_id(of.id, of.agent)
    return WorkflowEvent(**values | changes)


def origin() -> Origin:
    return Origin("cluster", "workflow-events", 0, next(_offsets))


def request(what: WorkflowEvent | Attempt | None = None, graph: str = "graph") -> Request:
    """What the intake makes of an event."""
    asked = what if isinstance(what, WorkflowEvent) else event(what)
    return Request(asked, graph, "workflow-results", origin())


def refusal(correlation: UUID) -> Refusal:
    """An event that cannot be run, with its answer."""
    answer = WorkflowResultEvent(
        correlation_id=correlation,
        workflow_id="dag",
        workflow_run_id="run",
        status=ResultStatus.ERROR,
        error="field 'payload': wrong",
        error_type="invalid_event",
        retriable=False,
    )
    return Refusal(answer, "workflow-results", origin())


def result(
    claim: Claim, status: ResultStatus = ResultStatus.SUCCESS, value: Any = None, **changes: Any
) -> WorkflowResultEvent:
    """A result as the executor makes one."""
    values: dict[str, Any] = {
        "correlation_id": claim.correlation_id,
        "workflow_id": claim.event.workflow_id,
        "workflow_run_id": claim.event.workflow_run_id,
        "status": status,
        "result": {"answer": 42} if value is None and status is ResultStatus.SUCCESS else value,
        "thread_id": claim.thread_id,
        "attempts": claim.attempts,
        "worker_id": "w1",
    }
    return WorkflowResultEvent(**values | changes)


async def claim_one(store: SqlRunStore, worker: str = "w1", graph: str = "graph") -> Claim:
    """The one run that can be claimed."""
    claims = await store.claim(worker, 10, [graph])
    assert len(claims) == 1
    return claims[0]


async def replies(store: SqlRunStore) -> dict[UUID, WorkflowResultEvent]:
    """The unpublished results, by correlation id."""
    waiting = await store.unpublished(1_000)
    return {out.correlation_id: WorkflowResultEvent.model_validate_json(out.value) for out in waiting}


async def holds(store: SqlRunStore, lease: Lease, worker: str = "w1") -> bool:
    """Whether a lease is valid."""
    return await store.renew(worker, [lease]) == set()
