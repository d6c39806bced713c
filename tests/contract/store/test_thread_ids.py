"""The ids of threads: UUIDs; those that a worker of the version before began keep their text, and so do their runs."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import create_engine, delete, insert, select

from langgraph_worker.domain.models import Decision, RunStatus, WorkerInfo
from langgraph_worker.store.migrations.schema import workers, workflow_runs
from langgraph_worker.store.sql.thread_ids import GONE_AFTER
from tests.support.run_store import (
    Backend,
    Clock,
    Store,
    answer,
    apply,
    ask,
    attempt,
    claim_one,
    decision,
    driver_url,
    event,
    ran,
    replies,
    request,
    result,
)
from workflow_events.identity import thread_id, thread_name
from workflow_events.results import ResultStatus

on_databases = pytest.mark.parametrize("backend", ["sqlite", "postgres"], indirect=True)


def old_worker(backend: Backend, *, seen: timedelta | None) -> None:
    """A worker of the version before was seen so long ago; None for none at all."""
    engine = create_engine(driver_url(backend.url))
    with engine.begin() as connection:
        connection.execute(delete(workers))
        if seen is not None:
            at = backend.clock.now - seen
            row = {"worker_id": "old", "version": "0", "events_topic": "e", "consumer_group": "g"}
            connection.execute(insert(workers).values(**row, started_at=at, seen_at=at))
    engine.dispose()


def names_in_rows(backend: Backend) -> list[tuple[str, str | None]]:
    engine = create_engine(driver_url(backend.url))
    with engine.connect() as connection:
        columns = (workflow_runs.c.thread_id, workflow_runs.c.thread_name)
        found = [(row[0], row[1]) for row in connection.execute(select(*columns).order_by(workflow_runs.c.seq))]
    engine.dispose()
    return found


async def test_a_thread_has_a_uuid_and_its_author_s_name(store: Store) -> None:
    claim = await ask(store, request(event(attempt(1), thread_id="talk")), "i1")
    assert claim.thread_id == thread_id("graph", claim.logical_run, "talk", "here")
    assert (str(UUID(claim.thread_id)), claim.thread_name) == (claim.thread_id, "talk")
    by_a_person = answer(None, {"i1": "yes"})
    await store.accept([request(by_a_person)])
    claim = await claim_one(store)
    assert claim.thread_name == "talk"  # the answer names no thread
    await apply(store, claim, "i1")
    await store.finish(claim, result(claim))


async def test_a_thread_of_a_run_s_own_has_no_name(store: Store) -> None:
    claim = await ran(store, request(attempt(1)))
    assert claim.thread_id == thread_id("graph", claim.logical_run)
    assert claim.thread_name is None


async def test_what_the_store_answers_itself_names_the_thread_too(store: Store, clock: Clock) -> None:
    late = request(event(thread_id="talk", deadline=clock.now + timedelta(seconds=1)))
    await store.accept([late])
    clock.advance(2)
    await store.expire(["graph"], 60)
    reply = (await replies(store))[late.event.event_id]
    assert (reply.status, reply.thread_name) == (ResultStatus.TIMEOUT, "talk")


@on_databases
async def test_the_rows_have_both(backend: Backend, store: Store) -> None:
    await store.accept([request(event(attempt(1), thread_id="talk")), request()])
    (shared, name), (own, none) = names_in_rows(backend)
    assert (name, none) == ("talk", None)
    assert shared != own


@on_databases
async def test_a_conversation_of_the_version_before_goes_on_under_its_id(backend: Backend, store: Store) -> None:
    old_worker(backend, seen=timedelta(minutes=1))
    before = await ran(store, request(event(attempt(1), thread_id="talk")))
    assert before.thread_id == thread_name("graph", before.logical_run, "talk", "here")
    old_worker(backend, seen=None)
    after = await ran(store, request(event(attempt(1, task="n" * 64, at=5), thread_id="talk")))
    assert (after.thread_id, after.thread_name) == (before.thread_id, "talk")
    elsewhere = await ran(store, request(event(attempt(1, task="m" * 64, at=6), thread_id="walk")))
    assert UUID(elsewhere.thread_id)


@on_databases
async def test_a_run_of_the_version_before_is_resumed_and_answered_on_its_thread(
    backend: Backend, store: Store
) -> None:
    old_worker(backend, seen=timedelta(0))
    asked = await ask(store, request(attempt(1)), "i1")
    failed = await ran(store, request(attempt(1, task="f" * 64, at=5)), ResultStatus.FAILURE)
    old_worker(backend, seen=None)
    retry = await ran(store, request(attempt(2, task="f" * 64, at=50)))
    assert (retry.thread_id, retry.logical_run) == (failed.thread_id, failed.logical_run)
    assert await decision(store, request(answer(attempt(1), {"i1": "yes"}))) is Decision.ANSWER
    assert (await claim_one(store)).thread_id == asked.thread_id == thread_name("graph", asked.logical_run)
    assert (await store.counts())[RunStatus.RUNNING] == 1


@on_databases
async def test_a_worker_of_the_version_before_that_is_gone_counts_no_more(backend: Backend, store: Store) -> None:
    old_worker(backend, seen=GONE_AFTER + timedelta(seconds=1))
    await store.announce(WorkerInfo("w1", "1", "e", "g", {}))
    claim = await ran(store, request(event(thread_id="talk")))
    assert UUID(claim.thread_id)
    old_worker(backend, seen=timedelta(0))
    again = await ran(store, request(event(thread_id="talk")))
    assert again.thread_id == claim.thread_id  # what has a UUID keeps it
