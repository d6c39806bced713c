"""What a logical run has spent: kept over its attempts, takeovers and rounds, and written by its owner only."""

from __future__ import annotations

from datetime import timedelta

import pytest

from langgraph_worker.domain.models import Claim, Decision, Request, RunStatus
from langgraph_worker.domain.spending import Spending, mark_of
from langgraph_worker.store.migrations.schema import model_usage, run_spending
from tests.support.run_store import (
    LEASE,
    WEEK,
    Backend,
    Clock,
    Store,
    answer,
    ask,
    attempt,
    claim_one,
    decision,
    event,
    prune,
    publish,
    replies,
    request,
    result,
)
from workflow_events.results import ModelUsage, ResultStatus

USED = ModelUsage(
    input_tokens=70, output_tokens=30, total_tokens=100, requests=2, tool_calls=1, cache_read_tokens=5, cost_usd=0.25
)
SPENT = Spending(
    {"big": USED, "own": ModelUsage(total_tokens=7)},
    3,
    1.5,
    frozenset({mark_of("a"), mark_of("b")}),
    frozenset({"own"}),
)


async def spent(store: Store, item: Request, what: Spending = SPENT) -> Claim:
    """A run that has spent something, claimed."""
    await store.accept([item])
    claim = await claim_one(store)
    assert claim.spent is None
    await store.record(claim, [], what)
    return claim


async def test_a_run_has_nothing_counted_until_something_is(backend: Backend, store: Store) -> None:
    await store.accept([request(attempt(1))])
    claim = await claim_one(store)
    await store.record(claim, [])
    await store.finish(claim, result(claim))
    assert backend.rows(run_spending) == []


@pytest.mark.parametrize("item", [request(attempt(1)), request()], ids=["a task's", "plain"])
async def test_the_next_owner_has_what_was_counted_last(store: Store, clock: Clock, item: Request) -> None:
    claim = await spent(store, item, Spending(steps=1))
    await store.record(claim, [], SPENT)
    await store.release(claim)
    given_back = await claim_one(store)
    assert given_back.spent == SPENT
    clock.advance(LEASE + 1)
    assert (await claim_one(store, "w2")).spent == SPENT


async def test_too_many_messages_are_remembered_as_that(store: Store) -> None:
    claim = await spent(store, request(), Spending(steps=1, marks=None))
    await store.release(claim)
    assert (await claim_one(store)).spent == Spending(steps=1, marks=None)


async def test_a_stale_owner_counts_nothing(store: Store, clock: Clock) -> None:
    stale = await spent(store, request(attempt(1)))
    clock.advance(LEASE + 1)
    taken = await claim_one(store, "w2")
    await store.record(stale, [], Spending(steps=99))
    await store.release(taken)
    assert (await claim_one(store)).spent == SPENT


async def test_a_retry_goes_on_and_a_clear_begins_anew(store: Store) -> None:
    first = await spent(store, request(attempt(1)))
    await store.finish(first, result(first, ResultStatus.FAILURE))
    assert await decision(store, request(attempt(2))) is Decision.RESUMED
    second = await claim_one(store)
    assert second.spent == SPENT
    await store.finish(second, result(second, ResultStatus.FAILURE))
    assert await decision(store, request(attempt(3, max_tries=9))) is Decision.FRESH
    assert (await claim_one(store)).spent is None


async def test_an_answer_goes_on(store: Store) -> None:
    await store.accept([request(attempt(1))])
    asking = await claim_one(store)
    await store.record(asking, [], SPENT)
    await store.release(asking)
    await ask(store, request(attempt(1)), "i1")
    assert await decision(store, request(answer(attempt(1), {"i1": "yes"}))) is Decision.ANSWER
    assert (await claim_one(store)).spent == SPENT


async def test_a_run_that_starts_over_has_spent_what_it_spent(backend: Backend) -> None:
    store = await backend.open(release="new")
    claim = await spent(store, request(attempt(1)))
    await store.start_over(claim)
    afresh = await claim_one(store)
    assert (afresh.generation, afresh.spent) == (claim.generation + 1, SPENT)


async def test_the_answer_to_a_lost_run_has_its_usage(store: Store, clock: Clock) -> None:
    claim = await spent(store, request(attempt(1)))
    for number in range(5):
        clock.advance(LEASE + 1)
        await store.claim(f"w{number}", 1, ["graph"])
    lost = (await replies(store))[claim.correlation_id]
    assert (lost.error_type, dict(lost.usage)) == ("worker_lost", dict(SPENT.usage))


async def test_it_goes_with_its_lineage(backend: Backend, store: Store, clock: Clock) -> None:
    claim = await spent(store, request(event(attempt(1), deadline=clock.now + timedelta(hours=1))))
    await store.finish(claim, result(claim))
    assert len(backend.rows(run_spending)) == 1
    await publish(store)
    clock.advance(2 * WEEK.total_seconds())
    assert (await prune(store, clock)).runs == 1
    assert backend.rows(run_spending) == []
    assert (await store.counts())[RunStatus.COMPLETED] == 0


async def test_a_models_name_and_counts_may_be_anything(backend: Backend, store: Store) -> None:
    claim = await spent(store, request(), Spending({"m\0" * 400: ModelUsage(total_tokens=2**70), "n": ModelUsage()}))
    await store.release(claim)
    again = (await claim_one(store)).spent
    assert again is not None
    assert again.tokens == 2**63 - 1
    assert max(len(name) for name in again.usage) == 512


async def test_the_usage_of_a_result_has_a_row_for_each_model(backend: Backend, store: Store) -> None:
    await store.accept([request()])
    claim = await claim_one(store)
    await store.finish(claim, result(claim, usage=dict(SPENT.usage)))
    rows = {row["model"]: row for row in backend.rows(model_usage)}
    assert {name: rows["big"][name] for name in USED.model_dump()} == USED.model_dump()
    assert rows["own"]["cost_usd"] is None
