"""A run that starts over while a request or a cancel arrives for it, each in a transaction of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from langgraph_worker.domain.models import Accepted, Cancel, Cancelled, Claim, Decision
from langgraph_worker.store.engines.database import Statement
from langgraph_worker.store.sql import accept, run_writes
from langgraph_worker.store.sql.endings import EndingContext
from langgraph_worker.store.sql.run_store import SqlRunStore
from langgraph_worker.store.sql.run_writes import StartOver
from tests.support.meeting import while_in
from tests.support.run_store import WEEK, attempt, claim_one, replies, request

pytestmark = pytest.mark.integration

RETRY = request(attempt(2))


@pytest.fixture
async def stores(postgres_url: str) -> AsyncIterator[list[SqlRunStore]]:
    """Two workers."""
    opened = [SqlRunStore(postgres_url, release="new") for _ in range(2)]
    for store in opened:
        await store.open()
    yield opened
    for store in opened:
        await store.close()


async def begun(store: SqlRunStore) -> Claim:
    await store.accept([request(attempt(1))])
    claim = await claim_one(store)
    await store.remember_nodes(claim, ["a"])
    return claim


def execute(connection: Connection, statements: Sequence[Statement]) -> None:
    """No checkpoint is written here."""
    assert not statements


async def met_by(stores: list[SqlRunStore], claim: Claim, other: Any) -> Any:
    """What another transaction gives that begins while the run starts over."""

    def start_over(connection: Connection, context: EndingContext) -> list[bool]:
        write = StartOver(claim, timedelta(0))
        return run_writes.apply(connection, [write], execute, context)

    written, given = await while_in(stores[0], start_over, other)
    assert written == [True]
    return given


async def test_a_retry_that_comes_meanwhile_goes_on_with_the_new_logical_run(stores: list[SqlRunStore]) -> None:
    claim = await begun(stores[0])
    [accepted] = await met_by(stores, claim, lambda: stores[1].accept([RETRY]))
    assert accepted.decision is Decision.RESUMED
    retry = await claim_one(stores[1])
    assert retry.correlation_id == RETRY.event.event_id
    assert (retry.generation, retry.begun_by) == (claim.generation + 1, None)
    assert retry.logical_run != claim.logical_run
    assert retry.thread_id != claim.thread_id
    assert (await replies(stores[1]))[claim.correlation_id].error_type == "superseded"


async def test_a_cancel_that_comes_meanwhile_ends_it(stores: list[SqlRunStore]) -> None:
    claim = await begun(stores[0])
    outcome = await met_by(stores, claim, lambda: stores[1].cancel([Cancel(claim.correlation_id)], WEEK))
    assert outcome == {claim.correlation_id: Cancelled.ENDED}
    assert await stores[1].claim("w1", 1, ["graph"]) == []


async def test_a_run_that_a_retry_ends_meanwhile_starts_nothing_over(stores: list[SqlRunStore]) -> None:
    claim = await begun(stores[0])

    def retry(connection: Connection, context: EndingContext) -> list[Accepted]:
        return accept.accept(connection, [RETRY], context)

    await while_in(stores[0], retry, lambda: stores[1].start_over(claim))
    taken = await claim_one(stores[1])
    assert (taken.logical_run, taken.thread_id, taken.begun_by) == (claim.logical_run, claim.thread_id, "new")
