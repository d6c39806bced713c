"""One row that cannot be read, decided or written: the others go on, and the worker with them (rule 20)."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

import pytest
from sqlalchemy import Connection, create_engine, update

from langgraph_worker.domain.models import Decision, Lease
from langgraph_worker.store.migrations.schema import model_usage, workflow_runs
from langgraph_worker.store.sql import accept, retention
from langgraph_worker.store.sql import leases as leasing
from langgraph_worker.store.sql.retention import Retention
from langgraph_worker.store.sql.run_store import SqlRunStore
from tests.support.run_store import (
    WEEK,
    Backend,
    Clock,
    Store,
    claim_one,
    driver_url,
    event,
    prune,
    publish,
    ran,
    replies,
    request,
    result,
)
from workflow_events.identity import thread_id
from workflow_events.results import ModelUsage


async def test_a_models_name_may_have_any_length(backend: Backend, store: Store) -> None:
    await store.accept([request()])
    claim = await claim_one(store)
    long, other = "m" * 513, "m" * 514
    usage = {long: ModelUsage(total_tokens=1), other: ModelUsage(total_tokens=2), "m": ModelUsage(total_tokens=3)}
    assert await store.finish(claim, result(claim, usage=usage))
    assert (await replies(store))[claim.correlation_id].usage == usage
    rows = backend.rows(model_usage)
    assert sorted(row["total_tokens"] for row in rows) == [1, 2, 3]
    assert len({row["model"] for row in rows}) == 3
    assert max(len(row["model"]) for row in rows) <= 512


async def test_names_that_differ_only_in_what_no_database_keeps_are_counted_together(
    backend: Backend, store: Store
) -> None:
    await store.accept([request()])
    claim = await claim_one(store)
    usage = {"m\0": ModelUsage(total_tokens=1), "m\ufffd": ModelUsage(total_tokens=2)}
    assert await store.finish(claim, result(claim, usage=usage))
    assert [row["total_tokens"] for row in backend.rows(model_usage)] == [3]


@pytest.mark.parametrize("backend", ["postgres"], indirect=True)
async def test_a_prune_between_two_reads_of_an_acceptance_is_noticed(
    backend: Backend, store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = request()
    await ran(store, asked)
    other = cast(SqlRunStore, await backend.open())
    clock.advance(WEEK.total_seconds() + 1)
    kept, runs = Retention(WEEK, WEEK), accept._runs
    pruned = []

    def prune_first(*arguments: Any) -> Any:
        if not pruned:
            pruned.append(other.database.write(lambda connection, now: retention.prune(connection, kept, 10, now)))
        return runs(*arguments)

    monkeypatch.setattr(accept, "_runs", prune_first)
    [accepted] = await store.accept([asked])
    assert pruned[0].runs == 1
    assert accepted.decision is Decision.DUPLICATE
    assert await store.claim("w1", 1, ["graph"]) == []


# What a database refuses or cannot give back exists in a real one only.
on_databases = pytest.mark.parametrize("backend", ["sqlite", "postgres"], indirect=True)


def change(backend: Backend, run: UUID, **values: Any) -> None:
    """Write into a run's row what no worker writes."""
    engine = create_engine(driver_url(backend.url))
    with engine.begin() as connection:
        connection.execute(update(workflow_runs).where(workflow_runs.c.correlation_id == run).values(values))
    engine.dispose()


@contextlib.contextmanager
def refused(backend: Backend, run: UUID, event: str = "UPDATE") -> Iterator[None]:
    """Let the database refuse to change, or to delete, a run's row."""
    engine = create_engine(driver_url(backend.url))
    is_postgres = engine.dialect.name == "postgresql"
    when = (
        f"BEFORE {event} ON workflow_runs FOR EACH ROW WHEN (OLD.correlation_id = '{run if is_postgres else run.hex}')"
    )
    with engine.begin() as connection:
        if is_postgres:
            body = "BEGIN RAISE EXCEPTION 'no' USING ERRCODE = 'check_violation'; END"
            connection.exec_driver_sql(f"CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS '{_quoted(body)}'")
            connection.exec_driver_sql(f"CREATE TRIGGER no {when} EXECUTE FUNCTION no()")
        else:
            connection.exec_driver_sql(f"CREATE TRIGGER no {when} BEGIN SELECT RAISE(ABORT, 'no'); END")
    try:
        yield
    finally:
        with engine.begin() as connection:
            connection.exec_driver_sql("DROP TRIGGER no ON workflow_runs" if is_postgres else "DROP TRIGGER no")
            if is_postgres:
                connection.exec_driver_sql("DROP FUNCTION no()")
        engine.dispose()


def _quoted(text: str) -> str:
    return text.replace("'", "''")


async def accepted(store: Store, count: int = 3, **changes: Any) -> list[UUID]:
    asked = [request(event(**changes)) for _ in range(count)]
    await store.accept(asked)
    return [one.event.event_id for one in asked]


@on_databases
async def test_a_stored_request_that_cannot_be_read_is_answered_and_the_others_start(
    backend: Backend, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    first, bad, last = await accepted(store)
    change(backend, bad, event="{")
    claims = await store.claim("w1", 9, ["graph"])
    assert [claim.correlation_id for claim in claims] == [first, last]
    reply = (await replies(store))[bad]
    assert (reply.status.value, reply.error_type, reply.retriable) == ("error", "not_startable", False)
    assert f"cannot claim thread {thread_id('graph', logical_run(backend, bad))}" in caplog.text
    caplog.clear()
    assert await store.claim("w1", 9, ["graph"]) == []
    assert caplog.text == ""


def logical_run(backend: Backend, run: UUID) -> UUID:
    [row] = backend.rows(workflow_runs, correlation_id=run)
    return cast(UUID, row["logical_run"])


@on_databases
async def test_a_run_that_cannot_be_started_nor_ended_is_set_aside(backend: Backend, store: Store) -> None:
    first, bad, last = await accepted(store)
    with refused(backend, bad):
        claims = await store.claim("w1", 9, ["graph"])
        assert [claim.correlation_id for claim in claims] == [first, last]
        [later] = await accepted(store, 1)
        assert [claim.correlation_id for claim in await store.claim("w1", 9, ["graph"])] == [later]
    assert await store.claim("w1", 9, ["graph"]) == []
    # Another worker, or this one later, looks at it again.
    other = await backend.open() if backend.shared else store
    assert [claim.correlation_id for claim in await other.claim("w2", 9, ["graph"])] == [bad] * backend.shared


@on_databases
@pytest.mark.parametrize("thread", [None, "talk"])
async def test_a_run_that_cannot_be_ended_in_time_keeps_no_other_waiting(
    backend: Backend, store: Store, clock: Clock, thread: str | None
) -> None:
    ids = await accepted(store, deadline=clock.now + timedelta(minutes=1), thread_id=thread)
    clock.advance(61)
    with refused(backend, ids[1]):
        assert await store.expire(["graph"], 60) == 2
        assert set(await replies(store)) == {ids[0], ids[2]}
        assert await store.expire(["graph"], 60) == 0


@on_databases
async def test_a_result_that_cannot_be_read_keeps_no_other_waiting(
    backend: Backend, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    ids = await accepted(store)
    for claim in await store.claim("w1", 9, ["graph"]):
        assert await store.finish(claim, result(claim))
    change(backend, ids[1], error_type="worker_lost", event="{")
    assert [out.correlation_id for out in await store.unpublished(10)] == [ids[0], ids[2]]
    assert f"cannot read the result of {ids[1]}" in caplog.text
    await store.published([ids[0], ids[2]])
    assert await store.unpublished(10) == []


@on_databases
async def test_a_run_that_cannot_be_removed_keeps_no_other(backend: Backend, store: Store, clock: Clock) -> None:
    ids = await accepted(store)
    for claim in await store.claim("w1", 9, ["graph"]):
        assert await store.finish(claim, result(claim))
    await publish(store)
    with refused(backend, ids[1], "DELETE"):
        assert (await prune(store, clock)).runs == 2
        assert [row["correlation_id"] for row in backend.rows(workflow_runs)] == [ids[1]]
        assert (await prune(store, clock)).runs == 0


@on_databases
async def test_a_lease_that_cannot_be_renewed_is_the_only_one_lost(backend: Backend, store: Store) -> None:
    await accepted(store)
    claims = await store.claim("w1", 9, ["graph"])
    leases = {claim.lease for claim in claims}
    bad = claims[1].lease

    def renew(connection: Connection, worker_id: str, some: Collection[Lease], until: datetime) -> set[Lease]:
        if bad in some:
            raise ValueError("this row")
        return leasing_renew(connection, worker_id, some, until=until)

    leasing_renew = leasing.renew
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(leasing, "renew", renew)
        assert store.renew("w1", leases) == {bad}
