"""What tests of the run store need: its backends, a clock that moves when told, and requests as Airflow sends them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import URL, Table, create_engine, inspect, make_url, select

from langgraph_worker.store.port import Claim, Lease, Origin, Refusal, Request
from langgraph_worker.store.postgres import server_url
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
class Backend:
    """One empty database; every store made here is a worker process of its own, as far as the store can tell.

    :param shared: several processes may have it open at once.
    """

    url: str
    clock: Clock
    shared: bool
    opened: list[SqlRunStore] = field(default_factory=list)

    def forget_owners(self) -> None:
        """Let time pass until the runs of stores that are gone may be taken. A lock tells at once that they are."""
        if self.shared:
            self.clock.advance(LEASE)

    async def open(self, **settings: Any) -> SqlRunStore:
        store = SqlRunStore(self.url, lease_seconds=LEASE, now=self.clock, **settings)
        await store.open()
        self.opened.append(store)
        return store

    def rows(self, table: Table, **where: Any) -> list[dict[str, Any]]:
        """A table's rows, or those with these values, by primary key."""
        engine = create_engine(driver_url(self.url))
        try:
            with engine.connect() as connection:
                return [
                    dict(row)
                    for row in connection.execute(
                        select(table).filter_by(**where).order_by(*table.primary_key)
                    ).mappings()
                ]
        finally:
            engine.dispose()

    async def close(self) -> None:
        for store in self.opened:
            await store.close()


def driver_url(url: str) -> URL:
    """A store's URL for SQLAlchemy."""
    return server_url(url) if url.startswith("postgresql") else make_url(url)


def empty(url: str) -> None:
    """Empty the tables that are there."""
    engine = create_engine(driver_url(url))
    try:
        with engine.begin() as connection:
            names = [name for name in inspect(connection).get_table_names() if "alembic" not in name]
            names = [name for name in names if name != "checkpoint_migrations"]
            if names:
                connection.exec_driver_sql(f"TRUNCATE {', '.join(names)} RESTART IDENTITY CASCADE")
    finally:
        engine.dispose()


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
    return store.renew(worker, [lease]) == set()
