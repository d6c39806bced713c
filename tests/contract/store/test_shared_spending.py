"""What several runs have spent together: of a DAG run, and of a graph on a day."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

import pytest

from langgraph_worker.domain.accounts import MOST, Account, Count, StoredCounts
from langgraph_worker.domain.models import Claim, Request
from langgraph_worker.domain.spending import Spending
from langgraph_worker.store.migrations.schema import shared_spending
from tests.support.run_store import (
    LEASE,
    WEEK,
    Backend,
    Clock,
    Store,
    attempt,
    claim_one,
    event,
    prune,
    request,
    result,
)
from workflow_events.results import ModelUsage, ResultStatus


def spending(tokens: int, cost: float | None = 0.0, **more) -> Spending:
    return Spending({"big": ModelUsage(total_tokens=tokens, cost_usd=cost)}, **more)


def of(claim: Claim) -> tuple[Account, Account]:
    return Account.of(claim.event, claim.graph)


def stored(store: Store, claim: Claim, accounts: Iterable[Account] | None = None) -> StoredCounts:
    return store.stored_counts(claim, tuple(accounts or of(claim))).result(timeout=10)


def tokens(store: Store, claim: Claim) -> list[int | None]:
    """Of the claim's DAG run, and of its graph today."""
    together = stored(store, claim).together
    return [together[account].tokens if account in together else None for account in of(claim)]


async def claimed(store: Store, item: Request, worker: str = "w1") -> Claim:
    await store.accept([item])
    return await claim_one(store, worker)


async def test_what_is_counted_of_runs_is_added_up(backend: Backend, store: Store) -> None:
    first = await claimed(store, request(attempt(1)))
    second = await claimed(store, request(attempt(1, at=2, task="b" * 64)), "w2")
    assert stored(store, first) == StoredCounts()
    await store.record(first, [], spending(10, 1.0, steps=1, seconds=0.5))
    await store.record(second, [], spending(5, 0.25, steps=2, seconds=2.0))
    await store.record(first, [], spending(40, 2.0, steps=3, seconds=1.5))
    total = dict.fromkeys(of(first), Count(45, 2.25, 5, 3.5))
    assert stored(store, first) == StoredCounts(spending(40, 2.0, steps=3, seconds=1.5), total)
    assert stored(store, second) == StoredCounts(spending(5, 0.25, steps=2, seconds=2.0), total)
    assert sorted((row["kind"], row["worker_id"], row["tokens"]) for row in backend.rows(shared_spending)) == [
        ("dag_run", "w1", 40),
        ("dag_run", "w2", 5),
        ("day", "w1", 40),
        ("day", "w2", 5),
    ]


async def test_only_the_accounts_that_are_asked_for_are_counted(store: Store) -> None:
    claim = await claimed(store, request(attempt(1)))
    await store.record(claim, [], spending(10))
    dag_run, day = of(claim)
    assert set(stored(store, claim, [day]).together) == {day}
    assert set(stored(store, claim, [dag_run]).together) == {dag_run}


async def test_runs_of_another_dag_run_spend_for_the_graph_only(store: Store) -> None:
    first = await claimed(store, request(attempt(1)))
    other = await claimed(store, request(event(attempt(1, at=2, task="b" * 64), workflow_run_id="other")))
    await store.record(first, [], spending(10))
    await store.record(other, [], spending(5))
    assert tokens(store, first) == [10, 15]
    assert tokens(store, other) == [5, 15]


async def test_a_day_begins_with_nothing_spent_and_a_dag_run_goes_on(store: Store, clock: Clock) -> None:
    claim = await claimed(store, request(attempt(1)))
    await store.record(claim, [], spending(10))
    clock.advance(timedelta(days=1).total_seconds())
    assert tokens(store, claim) == [10, None]
    assert stored(store, claim, of(claim)[1:]) == StoredCounts(spending(10))  # what it spent before is not of today
    await store.release(claim)
    again = await claim_one(store)
    await store.record(again, [], spending(12))
    assert tokens(store, again) == [12, 2]


async def test_a_retry_adds_and_a_fresh_start_takes_nothing_away(store: Store) -> None:
    first = await claimed(store, request(attempt(1)))
    await store.record(first, [], spending(10))
    await store.finish(first, result(first, ResultStatus.FAILURE))
    second = await claimed(store, request(attempt(2)))
    await store.record(second, [], spending(30))
    await store.finish(second, result(second, ResultStatus.FAILURE))
    afresh = await claimed(store, request(attempt(3, max_tries=9)))
    assert afresh.spent is None
    await store.record(afresh, [], spending(5))
    assert tokens(store, afresh) == [35, 35]


async def test_what_a_run_takes_along_when_it_starts_over_is_not_added_again(backend: Backend) -> None:
    store = await backend.open(release="new")
    claim = await claimed(store, request(attempt(1)))
    await store.record(claim, [], spending(10))
    await store.start_over(claim)
    afresh = await claim_one(store)
    await store.record(afresh, [], spending(15))
    assert tokens(store, afresh) == [15, 15]


async def test_a_stale_owner_adds_nothing(store: Store, clock: Clock) -> None:
    stale = await claimed(store, request(attempt(1)))
    clock.advance(LEASE + 1)
    taken = await claim_one(store, "w2")
    await store.record(stale, [], spending(99))
    await store.record(taken, [], spending(7))
    assert tokens(store, taken) == [7, 7]


async def test_a_model_that_cannot_be_counted_is_named(store: Store) -> None:
    first = await claimed(store, request(attempt(1)))
    await store.record(first, [], spending(10, None, unreported=frozenset({"big"})))
    await store.record(first, [], spending(10, None, steps=1, unreported=frozenset({"big"})))
    other = await claimed(store, request(attempt(1, at=2, task="b" * 64)), "w2")
    await store.record(other, [], Spending({"a": ModelUsage(total_tokens=1, cost_usd=0.0)}))
    counted = Count(11, 0.0, 1, 0.0, frozenset({"big"}), frozenset({"big"}))
    assert stored(store, other).together == dict.fromkeys(of(other), counted)


async def test_counts_and_names_may_be_anything(store: Store) -> None:
    for number in range(3):
        claim = await claimed(store, request(attempt(1, at=number + 1, task=f"{number:064}")), f"w{number % 2}")
        odd = Spending({"m\0" * 400: ModelUsage(total_tokens=2**63 - 1)}, unreported=frozenset({"m\0" * 400}))
        await store.record(claim, [], odd)
    found = stored(store, claim).together[of(claim)[1]]
    assert found.tokens >= MOST
    [name] = found.unpriced
    assert found.unreported == {name}
    assert len(name) == 512


async def test_it_stays_for_a_week_after_it_was_added_to(backend: Backend, store: Store, clock: Clock) -> None:
    claim = await claimed(store, request(attempt(1)))
    await store.record(claim, [], spending(10))
    clock.advance(timedelta(days=6).total_seconds())
    await store.prune(timedelta(0), timedelta(0), 10)
    assert len(backend.rows(shared_spending)) == 2
    clock.advance(WEEK.total_seconds())
    await prune(store, clock)
    assert backend.rows(shared_spending) == []


async def test_an_account_stays_whole_while_one_worker_adds_to_it(store: Store, clock: Clock) -> None:
    first = await claimed(store, request(attempt(1)))
    await store.record(first, [], spending(1000))
    await store.release(first)
    clock.advance(timedelta(days=9).total_seconds())
    again = await claim_one(store, "w2")
    await store.record(again, [], spending(1010))
    await store.prune(timedelta(0), timedelta(0), 10)
    assert tokens(store, again)[0] == 1010


@pytest.mark.parametrize("backend", ["sqlite", "postgres"], indirect=True)
async def test_a_closed_store_says_so(backend: Backend) -> None:
    store = await backend.open()
    claim = await claimed(store, request(attempt(1)))
    await store.close()
    with pytest.raises(Exception, match="is not open"):
        stored(store, claim)
