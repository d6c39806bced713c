"""Forgetting: what may go, what stays, and that nothing of it runs again."""

from __future__ import annotations

from datetime import timedelta

import pytest

from langgraph_worker.domain.models import Cancel, Decision, Failure, Pruned, RunStatus, Step, StepStatus
from langgraph_worker.store.migrations.schema import (
    interrupts,
    lineages,
    model_usage,
    step_executions,
    tasks,
    threads,
    tombstones,
    workflow_errors,
    workflow_runs,
)
from tests.support.run_store import (
    WEEK,
    Backend,
    Clock,
    Store,
    attempt,
    claim_one,
    decision,
    event,
    holds,
    prune,
    publish,
    ran,
    refusal,
    request,
    result,
)
from tests.support.ti_ids import ti_id
from workflow_events.models import Attempt
from workflow_events.results import ModelUsage, ResultStatus

DAY = timedelta(days=1)
EVERYTHING = (workflow_runs, lineages, tasks, threads, interrupts, step_executions, workflow_errors, model_usage)


async def test_nothing_is_pruned_of_nothing(store: Store, clock: Clock) -> None:
    assert await prune(store, clock) == Pruned(0, 0)


async def test_a_run_goes_with_all_of_its_own(backend: Backend, store: Store, clock: Clock) -> None:
    await store.accept([request(attempt(1))])
    claim = await claim_one(store)
    await store.record(claim, [Step("s1", "", "n", None, StepStatus.COMPLETED, clock.now, clock.now)])
    ended = result(claim, ResultStatus.FAILURE, error="boom", usage={"m": ModelUsage(total_tokens=1)})
    await store.finish(claim, ended, Failure("ValueError", "boom", ""))
    await publish(store)
    assert all(backend.rows(table) for table in EVERYTHING if table is not interrupts)
    assert await prune(store, clock) == Pruned(runs=1, threads=1)
    assert [backend.rows(table) for table in EVERYTHING] == [[] for _ in EVERYTHING]
    assert await prune(store, clock) == Pruned(0, 0)


async def test_what_ended_lately_stays(store: Store, clock: Clock) -> None:
    await ran(store, request())
    clock.advance(WEEK.total_seconds())
    assert await store.prune(WEEK, WEEK, 100) == Pruned(0, 0)
    clock.advance(1)
    assert await store.prune(WEEK, WEEK, 100) == Pruned(1, 1)


async def test_what_has_not_ended_or_is_not_published_stays(store: Store, clock: Clock) -> None:
    waiting, running, unpublished = request(), request(graph="g"), request(graph="h")
    await store.accept([waiting, running, unpublished])
    await claim_one(store, graph="g")
    claim = await claim_one(store, graph="h")
    await store.finish(claim, result(claim))
    assert await prune(store, clock) == Pruned(0, 0)
    await publish(store)
    assert await store.prune(WEEK, WEEK, 100) == Pruned(1, 1)
    assert (await store.counts())[RunStatus.PENDING] == (await store.counts())[RunStatus.RUNNING] == 1


async def test_what_is_asked_for_again_stays_until_it_is_published(store: Store, clock: Clock) -> None:
    asked = request()
    await ran(store, asked)
    clock.advance(WEEK.total_seconds())
    assert await decision(store, asked) is Decision.DUPLICATE
    assert await prune(store, clock, after=timedelta(seconds=1)) == Pruned(0, 0)
    await publish(store)
    assert await store.prune(WEEK, WEEK, 100) == Pruned(1, 1)


async def test_what_is_not_past_its_deadline_stays(store: Store, clock: Clock) -> None:
    await ran(store, request(event(deadline=clock.now + 2 * WEEK)))
    assert await prune(store, clock) == Pruned(0, 0)
    assert await prune(store, clock) == Pruned(0, 0)  # just past: a task that waits may not have given up yet
    assert await prune(store, clock) == Pruned(1, 1)


async def test_what_never_ran_goes_too(backend: Backend, store: Store, clock: Clock) -> None:
    late = request(event(deadline=clock.now))
    await store.accept([refusal(ti_id(1)), request(attempt(2)), request(attempt(1)), late])
    assert await store.expire(["graph"], 60) == 1
    claim = await claim_one(store)
    await store.finish(claim, result(claim))
    await publish(store)
    assert await prune(store, clock) == Pruned(runs=4, threads=2)
    assert [backend.rows(table) for table in EVERYTHING] == [[] for _ in EVERYTHING]


async def test_a_repeat_of_what_was_pruned_runs_nothing_and_is_not_answered(
    backend: Backend, store: Store, clock: Clock
) -> None:
    plain, tried, wrong = request(), request(attempt(1)), refusal(ti_id(1))
    await ran(store, plain)
    await ran(store, tried)
    await store.accept([wrong])
    await publish(store)
    assert (await prune(store, clock)).runs == 3
    for _ in range(2):
        accepted = await store.accept([plain, tried, wrong])
        assert [one.decision for one in accepted] == [Decision.DUPLICATE] * 3
        assert all(one.detail for one in accepted)
    assert await store.claim("w1", 10, ["graph"]) == []
    assert await store.unpublished(10) == []
    assert sum((await store.counts()).values()) == 0
    assert [backend.rows(table) for table in EVERYTHING] == [[] for _ in EVERYTHING]


async def test_a_tombstone_goes_when_its_time_is_over(backend: Backend, store: Store, clock: Clock) -> None:
    asked = request()
    await ran(store, asked)
    await prune(store, clock)
    [row] = backend.rows(tombstones)
    assert (row["correlation_id"], row["expires_at"]) == (asked.event.event_id, clock.now + WEEK)
    clock.advance(WEEK.total_seconds() - 1)
    await store.prune(WEEK, WEEK, 100)
    assert await decision(store, asked) is Decision.DUPLICATE
    clock.advance(1)
    assert await store.prune(WEEK, WEEK, 100) == Pruned(0, 0)
    assert backend.rows(tombstones) == []
    assert await decision(store, asked) is Decision.FRESH


@pytest.mark.parametrize("status", [ResultStatus.SUCCESS, ResultStatus.FAILURE])
async def test_a_retry_after_pruning_is_fresh(store: Store, clock: Clock, status: ResultStatus) -> None:
    first = await ran(store, request(attempt(1)), status)
    await prune(store, clock)
    assert await decision(store, request(attempt(2))) is Decision.FRESH
    claim = await claim_one(store)
    assert (claim.resumes, claim.nodes, claim.attempts) == (False, None, 1)
    assert not await store.finish(first, result(first))


async def test_no_more_goes_than_asked_and_the_oldest_first(store: Store, clock: Clock) -> None:
    asked = [request() for _ in range(4)]
    for one in asked:
        clock.advance(1)
        await ran(store, one)
    assert await prune(store, clock, limit=3) == Pruned(3, 3)
    assert [await decision(store, one) for one in asked] == [Decision.DUPLICATE] * 4
    assert len(await store.unpublished(10)) == 1  # only the youngest is still there to be answered again
    await publish(store)
    assert await store.prune(WEEK, WEEK, 3) == Pruned(1, 1)
    assert await store.prune(WEEK, WEEK, 3) == Pruned(0, 0)


async def test_a_lineage_that_may_go_goes_at_once(backend: Backend, store: Store, clock: Clock) -> None:
    await ran(store, request(attempt(1)), ResultStatus.FAILURE)
    await ran(store, request(attempt(2)), ResultStatus.FAILURE)
    await store.accept([request(attempt(3)), request(attempt(4))])  # ends the third
    claim = await claim_one(store)
    await store.finish(claim, result(claim))
    await publish(store)
    assert await prune(store, clock) == Pruned(runs=4, threads=1)
    assert [backend.rows(table) for table in EVERYTHING] == [[] for _ in EVERYTHING]


async def test_the_newest_of_a_lineage_goes_last(store: Store, clock: Clock) -> None:
    """The next attempt is compared with the newest: here with a success, which answers it."""
    await store.accept([request(attempt(1)), request(event(attempt(1), event_id=event().event_id))])
    for status in (ResultStatus.FAILURE, ResultStatus.SUCCESS):
        claim = await claim_one(store)
        await store.finish(claim, result(claim, status))
    await publish(store)
    assert await prune(store, clock, limit=1) == Pruned(runs=1, threads=0)
    assert await decision(store, request(attempt(2))) is Decision.ANSWERED


async def test_the_newest_of_a_lineage_stays_while_another_has_to(store: Store, clock: Clock) -> None:
    older, newer = request(attempt(1)), request(attempt(2))
    await store.accept([older, newer])
    claim = await claim_one(store)
    await store.finish(claim, result(claim))
    out = {one.correlation_id for one in await store.unpublished(10)}
    await store.published(out - {older.event.event_id})
    assert await prune(store, clock) == Pruned(0, 0)
    assert await decision(store, request(attempt(3))) is Decision.ANSWERED


async def test_other_lineages_of_a_task_go_by_themselves(store: Store, clock: Clock) -> None:
    await ran(store, request(attempt(1, agent="a")))
    clock.advance(WEEK.total_seconds())
    await ran(store, request(attempt(1, agent="b")))
    assert await prune(store, clock, after=DAY) == Pruned(2, 2)
    assert await decision(store, request(attempt(1, agent="c"))) is Decision.FRESH


async def test_a_task_is_known_as_long_as_one_of_its_agents(store: Store, clock: Clock) -> None:
    await ran(store, request(attempt(2, agent="a")))
    clock.advance(WEEK.total_seconds())
    await ran(store, request(attempt(2, agent="b")))
    assert (await store.prune(DAY, WEEK, 100)).runs == 1
    assert await decision(store, request(attempt(1, agent="a"))) is Decision.LATE


async def test_a_thread_goes_with_its_last_run(backend: Backend, store: Store, clock: Clock) -> None:
    await ran(store, request(event(thread_id="talk")))
    clock.advance(WEEK.total_seconds())
    await ran(store, request(event(thread_id="talk")))
    assert await store.prune(DAY, WEEK, 100) == Pruned(runs=1, threads=0)
    assert len(backend.rows(threads)) == 1
    assert await prune(store, clock) == Pruned(runs=1, threads=1)
    assert backend.rows(threads) == []


@pytest.mark.parametrize("next_try", [attempt(2, max_tries=4), attempt(2)], ids=["a clear", "a retry"])
@pytest.mark.parametrize("shared", [None, "talk"], ids=["its own thread", "a shared thread"])
async def test_no_logical_run_is_named_again_after_pruning(
    store: Store, clock: Clock, next_try: Attempt, shared: str | None
) -> None:
    """A payment would be taken for one that was made, and a shared thread would give the answer of before."""
    first = await ran(store, request(event(attempt(1), thread_id=shared)))
    clock.advance(WEEK.total_seconds())
    neighbour = attempt(1, task="n" * 64, at=1)
    await ran(store, request(event(neighbour, thread_id=shared)))  # it keeps the shared thread, with its checkpoints
    assert await store.prune(DAY, WEEK, 100) == Pruned(runs=1, threads=0 if shared else 1)
    assert await decision(store, request(event(next_try, thread_id=shared))) is Decision.FRESH
    second = await claim_one(store)
    assert second.logical_run != first.logical_run
    assert (second.thread_id == first.thread_id) == (shared is not None)


async def test_a_retry_finds_the_logical_run_of_a_pruned_task_that_was_cleared(store: Store, clock: Clock) -> None:
    await ran(store, request(attempt(1)))
    await prune(store, clock)
    cleared = await ran(store, request(attempt(2, max_tries=4)), ResultStatus.FAILURE)
    assert await decision(store, request(attempt(3, max_tries=4))) is Decision.RESUMED
    claim = await claim_one(store)
    assert (claim.logical_run, claim.thread_id) == (cleared.logical_run, cleared.thread_id)


async def test_a_redelivered_request_that_nothing_remembers_has_its_logical_run_again(
    store: Store, clock: Clock
) -> None:
    asked = request(attempt(1))
    first = await ran(store, asked)
    await prune(store, clock)
    clock.advance(WEEK.total_seconds())
    await store.prune(WEEK, WEEK, 100)  # its tombstone
    assert await decision(store, asked) is Decision.FRESH
    assert (await claim_one(store)).logical_run == first.logical_run


@pytest.mark.parametrize("end", ["release", "finish"])
async def test_an_owner_that_wakes_after_all_was_pruned_frees_no_thread_of_that_name(
    store: Store, clock: Clock, end: str
) -> None:
    await store.accept([request(event(thread_id="talk"))])
    old = await claim_one(store)
    await store.cancel([Cancel(old.correlation_id)], WEEK)
    await publish(store)
    clock.advance(2 * WEEK.total_seconds())
    assert (await prune(store, clock)).threads == 1
    await store.accept([request(event(thread_id="talk"))])
    new = await claim_one(store, "w2")
    assert new.thread_id == old.thread_id
    if end == "release":
        await store.release(old)
    else:
        assert not await store.finish(old, result(old))
    await store.accept([request(event(thread_id="talk"))])
    assert await store.claim("w3", 10, ["graph"]) == []
    assert await holds(store, new.lease, "w2")
