"""What an owner writes: nothing after the run's end, and the graph's nodes as they were when it started."""

from __future__ import annotations

import asyncio

from langgraph_worker.domain.models import Step, StepStatus
from langgraph_worker.store.migrations.schema import step_executions
from tests.support.run_store import LEASE, Backend, Clock, Store, attempt, claim_one, replies, request, result
from workflow_events.results import ResultStatus


async def test_nothing_is_written_after_the_end_also_in_one_transaction(
    backend: Backend, store: Store, clock: Clock
) -> None:
    await store.accept([request()])
    claim = await claim_one(store)
    late = Step("s1", "", "n", None, StepStatus.COMPLETED, clock.now, clock.now)
    ends = await asyncio.gather(
        store.finish(claim, result(claim)),
        store.finish(claim, result(claim, ResultStatus.FAILURE)),
        store.record(claim, [late]),
    )
    assert ends == [True, False, None]
    assert (await replies(store))[claim.correlation_id].status is ResultStatus.SUCCESS
    assert backend.rows(step_executions) == []


async def test_the_end_of_a_stale_owner_is_no_end_also_in_one_transaction(store: Store, clock: Clock) -> None:
    await store.accept([request()])
    stale = await claim_one(store, "w1")
    clock.advance(LEASE)
    owner = await claim_one(store, "w2")
    ends = await asyncio.gather(store.finish(stale, result(stale)), store.finish(owner, result(owner)))
    assert ends == [False, True]


async def test_the_nodes_of_the_first_start_stand(store: Store) -> None:
    await store.accept([request(attempt(1))])
    first = await claim_one(store)
    await store.remember_nodes(first, ["plan", "buy"])
    await store.release(first)
    again = await claim_one(store)
    await store.remember_nodes(again, ["plan"])  # deployed anew in the meantime
    await store.finish(again, result(again, ResultStatus.FAILURE))
    await store.accept([request(attempt(2))])
    assert (await claim_one(store)).nodes == frozenset({"plan", "buy"})
