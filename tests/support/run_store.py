"""What tests of the run store need: its backends, a clock that a test moves, and requests as Airflow sends them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import URL, Table, create_engine, inspect, make_url, select

from langgraph_worker.domain.models import Claim, Decision, Lease, Origin, Pruned, Refusal, Request
from langgraph_worker.store.engines.postgres import server_url
from langgraph_worker.store.migrations.migrate import VERSION_TABLE
from langgraph_worker.store.migrations.schema import metadata
from langgraph_worker.store.port import RunStore
from langgraph_worker.store.sql.run_store import SqlRunStore
from langgraph_worker.store.sql.run_writes import PutCheckpoint
from tests.support.ti_ids import ti_id
from workflow_events.identity import correlation_id
from workflow_events.models import Answer, Attempt, EventSource, EventType, WorkflowEvent, WorkflowEventPayload
from workflow_events.results import Interrupt, ResultStatus, WorkflowResultEvent

START = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
LEASE = 30.0
WEEK = timedelta(days=7)
_VERSIONS = (VERSION_TABLE, "checkpoint_migrations", "store_migrations", "vector_migrations")
"""Tables that say which version the others have."""
_offsets = itertools.count()


class Store(RunStore, Protocol):
    """A run store that keeps the threads' checkpoints too."""

    async def put_checkpoint(self, write: PutCheckpoint) -> bool:
        """Write a checkpoint; False if the claim's lease is void, and nothing is written."""


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
    """One empty database. Every store made here stands for a worker process of its own.

    :param shared: several processes may have it open at once.
    """

    url: str
    clock: Clock
    shared: bool
    opened: list[Store] = field(default_factory=list)

    def forget_owners(self) -> None:
        """Let time pass until the runs of stores that are gone may be taken. A lock proves that at once."""
        if self.shared:
            self.clock.advance(LEASE)

    async def open(self, **settings: Any) -> Store:
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
    """A store's URL for SQLAlchemy. On PostgreSQL with what psycopg needs, whatever the database's defaults are."""
    if not url.startswith("postgresql"):
        return make_url(url)
    return server_url(url).update_query_dict({"options": "-c DateStyle=ISO -c client_encoding=UTF8"})


def empty(url: str) -> None:
    """Empty the tables that are there. Not with TRUNCATE, which takes thirty times as long for a few rows."""
    engine = create_engine(driver_url(url))
    try:
        with engine.begin() as connection:
            there = inspect(connection).get_table_names()
            ours = [table.name for table in reversed(metadata.sorted_tables)]  # what refers to another comes first
            for name in [*ours, *(other for other in there if other not in ours)]:
                if name in there and name not in (
                    VERSION_TABLE,
                    "checkpoint_migrations",
                    "store_migrations",
                    "vector_migrations",
                ):
                    connection.exec_driver_sql(f"DELETE FROM {name}")
    finally:
        engine.dispose()


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


def answer(of: Attempt | None, given: dict[str, Any], *, by: str | None = "ann", **changes: Any) -> WorkflowEvent:
    """Answers to questions, by their ids: of the attempt that asked, of another task's, or plain."""
    values: dict[str, Any] = {
        "event_type": EventType.WORKFLOW_RESUMED,
        "round": 1,
        "answers": [Answer(interrupt_id=name, value=value, answered_by=by) for name, value in given.items()],
    }
    values |= changes
    if of is not None:
        values.setdefault("event_id", correlation_id(of.id, of.agent, values["round"]))
    return event(of, **values)


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


async def decision(store: Store, asked: Request) -> Decision:
    """What one request is, once it is accepted."""
    [accepted] = await store.accept([asked])
    return accepted.decision


async def claim_one(store: Store, worker: str = "w1", graph: str = "graph") -> Claim:
    """The one run that can be claimed."""
    claims = await store.claim(worker, 10, [graph])
    assert len(claims) == 1
    return claims[0]


async def interrupt(store: Store, claim: Claim, *ids: str) -> None:
    """End a run with questions of these ids."""
    asked = [Interrupt(id=name, value=f"{name}?") for name in ids]
    assert await store.finish(claim, result(claim, ResultStatus.INTERRUPTED, interrupts=asked))


async def ask(store: Store, asked: Request, *ids: str) -> Claim:
    """Accept the only request that can run, and end it with questions."""
    await store.accept([asked])
    claim = await claim_one(store)
    assert claim.correlation_id == asked.event.event_id
    await interrupt(store, claim, *ids)
    return claim


async def apply(store: Store, claim: Claim, *ids: str) -> None:
    """Write a checkpoint that holds the claim's answers to these."""
    assert await store.put_checkpoint(PutCheckpoint(claim, [], answers=ids))


async def ran(store: Store, asked: Request, status: ResultStatus = ResultStatus.SUCCESS) -> Claim:
    """Accept the only request that can run, run it, and publish its result."""
    await store.accept([asked])
    claim = await claim_one(store)
    assert claim.correlation_id == asked.event.event_id
    await apply(store, claim, *claim.answers)
    assert await store.finish(claim, result(claim, status))
    await publish(store)
    return claim


async def publish(store: Store) -> None:
    """Let the broker acknowledge all that waits."""
    await store.published([out.correlation_id for out in await store.unpublished(1_000)])


async def prune(store: Store, clock: Clock, *, after: timedelta = WEEK, limit: int = 100) -> Pruned:
    """Some time later, prune what ended that long ago."""
    clock.advance(after.total_seconds() + 1)
    return await store.prune(after, WEEK, limit)


async def replies(store: Store) -> dict[UUID, WorkflowResultEvent]:
    """The unpublished results, by correlation id."""
    waiting = await store.unpublished(1_000)
    return {out.correlation_id: WorkflowResultEvent.model_validate_json(out.value) for out in waiting}


async def holds(store: Store, lease: Lease, worker: str = "w1") -> bool:
    """Whether a lease is valid."""
    return store.renew(worker, [lease]) == set()
