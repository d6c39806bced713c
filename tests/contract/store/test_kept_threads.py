"""A run that is over while its node is still at work: its result counts, and no other run starts beside the node."""

from __future__ import annotations

import asyncio

import pytest

from langgraph_worker.domain.models import Claim, RunStatus
from langgraph_worker.store.sql.run_writes import PutCheckpoint
from tests.support.run_store import LEASE, Clock, Store, attempt, claim_one, event, holds, replies, request, result
from workflow_events.results import ResultStatus


async def ended(store: Store) -> Claim:
    """A run that ended at its deadline; its retry, on the same thread, waits."""
    await store.accept([request(attempt(1))])
    claim = await claim_one(store)
    assert await store.finish(claim, result(claim, ResultStatus.TIMEOUT), keep_thread=True)
    await store.accept([request(attempt(2))])
    return claim


async def test_the_result_is_stored_at_once_and_the_thread_is_kept(store: Store) -> None:
    claim = await ended(store)
    assert (await replies(store))[claim.correlation_id].status is ResultStatus.TIMEOUT
    assert await store.claim("w2", 10, ["graph"]) == []


async def test_the_thread_is_free_when_its_owner_releases_it(store: Store) -> None:
    claim = await ended(store)
    await store.release(claim)
    new = await claim_one(store, "w2")
    assert (new.thread_id, new.event.attempt and new.event.attempt.try_number) == (claim.thread_id, 2)
    assert (await store.counts())[RunStatus.FAILED] == 1  # the release brought nothing back
    await store.release(claim)
    assert await holds(store, new.lease, "w2")


async def test_the_thread_is_kept_for_one_lease_at_most(store: Store, clock: Clock) -> None:
    claim = await ended(store)
    assert store.renew("w1", [claim.lease]) == {claim.lease}
    clock.advance(LEASE - 1)
    assert await store.claim("w2", 10, ["graph"]) == []
    clock.advance(1)
    assert (await claim_one(store, "w2")).thread_id == claim.thread_id


async def test_nothing_more_is_written_under_the_lease(store: Store) -> None:
    claim = await ended(store)
    assert not await store.put_checkpoint(PutCheckpoint(claim, []))
    assert not await store.finish(claim, result(claim))
    assert (await replies(store))[claim.correlation_id].status is ResultStatus.TIMEOUT


@pytest.mark.parametrize("delay", [0.0, 5.0])
async def test_a_run_that_is_given_back_starts_when_its_thread_is_free(
    store: Store, clock: Clock, delay: float
) -> None:
    await store.accept([request()])
    claim = await claim_one(store)
    await store.release(claim, delay, keep_thread=True)
    assert (await store.counts())[RunStatus.PENDING] == 1
    clock.advance(delay)
    assert await store.claim("w2", 10, ["graph"]) == []
    clock.advance(LEASE)
    again = await claim_one(store, "w2")
    assert (again.correlation_id, again.attempts, again.takeovers) == (claim.correlation_id, 2, 0)


@pytest.mark.parametrize("how", ["superseded", "taken over"])
async def test_a_stale_owner_keeps_nothing(store: Store, clock: Clock, how: str) -> None:
    await store.accept([request(attempt(1))])
    stale = await claim_one(store)
    if how == "superseded":
        await store.accept([request(attempt(2))])
        clock.advance(LEASE)
    else:
        clock.advance(LEASE)
    owner = await claim_one(store, "w2")
    assert not await store.finish(stale, result(stale), keep_thread=True)
    await store.release(stale, keep_thread=True)
    assert await holds(store, owner.lease, "w2")


async def test_one_that_keeps_its_thread_and_one_that_does_not_in_one_transaction(store: Store) -> None:
    await store.accept([request(event(thread_id="one")), request(event(thread_id="two"))])
    await store.accept([request(event(thread_id="one")), request(event(thread_id="two"))])
    keeps, lets_go = await store.claim("w1", 10, ["graph"])
    await asyncio.gather(
        store.finish(keeps, result(keeps), keep_thread=True),
        store.finish(lets_go, result(lets_go)),
    )
    assert (await claim_one(store, "w2")).thread_id == lets_go.thread_id
