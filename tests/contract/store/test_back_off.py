"""A run that backs off: it waits without a slot, goes on with its counts, and ends once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from langgraph_worker.domain.models import Cancel, Cancelled, Claim, Failure, RunStatus, WorkerInfo
from langgraph_worker.domain.retry_policy import BackOff, ErrorClass, Retried
from langgraph_worker.domain.spending import Spending
from langgraph_worker.store.migrations.schema import workflow_errors, workflow_runs
from langgraph_worker.store.sql.run_writes import PutCheckpoint
from tests.support.run_store import (
    LEASE,
    WEEK,
    Backend,
    Clock,
    Store,
    attempt,
    claim_one,
    event,
    holds,
    prune,
    publish,
    replies,
    request,
    result,
)
from workflow_events.log_words import in_utc
from workflow_events.results import ModelUsage, ResultStatus, WorkflowResultEvent

ONCE = Retried({ErrorClass.RATE_LIMIT: 1}, 30.0)
WAIT = BackOff(ErrorClass.RATE_LIMIT, 20.0, ONCE)
BUSY = Failure("RateLimitError", "node 'ask': busy", "Traceback ...", "ask", ErrorClass.RATE_LIMIT, "big", 20.0)


async def backed_off(store: Store, wait: BackOff = WAIT, **changes: object) -> Claim:
    """A run whose first start has ended with an error that is repeated."""
    await store.accept([request(event(attempt(1), **changes))])
    claim = await claim_one(store)
    assert claim.retried == Retried()
    await store.back_off(claim, wait, BUSY)
    return claim


async def test_it_waits_and_then_goes_on_with_its_counts(store: Store, clock: Clock) -> None:
    before = await backed_off(store)
    assert await store.counts() == {status: int(status is RunStatus.PENDING) for status in RunStatus}
    assert not await holds(store, before.lease)
    clock.advance(19.9)
    assert await store.claim("w1", 10, ["graph"]) == []
    clock.advance(0.2)
    claim = await claim_one(store, "w2")
    assert (claim.retried, claim.attempts, claim.takeovers, claim.resumes) == (ONCE, 2, 0, True)
    assert claim.logical_run == before.logical_run
    assert await replies(store) == {}


async def test_without_a_wait_it_can_go_on_at_once(store: Store) -> None:
    await backed_off(store, BackOff(ErrorClass.CONTEXT_LENGTH, 0.0, Retried(model="large")))
    assert (await claim_one(store)).retried == Retried(model="large")


async def test_its_counts_outlive_owners_that_vanish_and_that_give_it_back(store: Store, clock: Clock) -> None:
    await backed_off(store)
    clock.advance(20)
    assert (await claim_one(store)).retried == ONCE
    clock.advance(LEASE)
    taken = await claim_one(store, "w2")
    assert (taken.retried, taken.takeovers) == (ONCE, 1)
    await store.release(taken)
    again = await claim_one(store, "w3")
    assert again.retried == ONCE
    await store.back_off(again, BackOff(ErrorClass.RATE_LIMIT, 1.0, Retried({ErrorClass.RATE_LIMIT: 2})), BUSY)
    clock.advance(1)
    assert (await claim_one(store)).retried == Retried({ErrorClass.RATE_LIMIT: 2})


async def test_a_new_checkpoint_begins_a_new_count_and_leaves_the_model(store: Store, clock: Clock) -> None:
    await backed_off(store, BackOff(ErrorClass.RATE_LIMIT, 0.0, Retried({ErrorClass.TIMEOUT: 3}, 9.0, "large")))
    claim = await claim_one(store)
    assert await store.put_checkpoint(PutCheckpoint(claim, []))
    clock.advance(LEASE)
    taken = await claim_one(store)
    assert taken.retried.times == {ErrorClass.TIMEOUT: 3}
    assert await store.put_checkpoint(PutCheckpoint(taken, [], progress=True))
    clock.advance(LEASE)
    assert (await claim_one(store)).retried == Retried(model="large")


async def test_a_new_checkpoint_of_one_run_leaves_the_counts_of_others(store: Store, clock: Clock) -> None:
    await store.accept([request(event(thread_id=name)) for name in "ab"])
    for claim in await store.claim("w1", 10, ["graph"]):
        await store.back_off(claim, BackOff(ErrorClass.RATE_LIMIT, 0.0, ONCE), BUSY)
    first, second = await store.claim("w1", 10, ["graph"])
    assert await store.put_checkpoint(PutCheckpoint(first, [], progress=True))
    clock.advance(LEASE)
    found = {claim.correlation_id: claim.retried for claim in await store.claim("w1", 10, ["graph"])}
    assert found == {first.correlation_id: Retried(), second.correlation_id: ONCE}


async def test_every_try_is_a_row_and_the_end_is_one_result(backend: Backend, store: Store, clock: Clock) -> None:
    await backed_off(store)
    clock.advance(20)
    claim = await claim_one(store)
    last = Failure("ValueError", "node 'ask': no", "", "ask", ErrorClass.FINAL)
    assert await store.finish(claim, result(claim, ResultStatus.FAILURE, error="no"), last)
    assert [one.status for one in (await replies(store)).values()] == [ResultStatus.FAILURE]
    columns = ("attempt", "error_type", "error_class", "node", "model", "wait_seconds")
    assert [tuple(row[name] for name in columns) for row in backend.rows(workflow_errors)] == [
        (1, "RateLimitError", "rate_limit", "ask", "big", 20.0),
        (2, "ValueError", "final", "ask", None, None),
    ]
    await publish(store)
    assert (await prune(store, clock)).runs == 1
    assert backend.rows(workflow_errors) == []


async def test_a_stale_owner_backs_nothing_off(store: Store, clock: Clock) -> None:
    await store.accept([request()])
    stale = await claim_one(store)
    clock.advance(LEASE)
    owner = await claim_one(store, "w2")
    await store.back_off(stale, WAIT, BUSY)
    assert await holds(store, owner.lease, "w2")
    assert await store.finish(owner, result(owner))


async def test_a_cancel_ends_it_while_it_waits(store: Store, clock: Clock) -> None:
    claim = await backed_off(store)
    found = await store.cancel([Cancel(claim.correlation_id, "stop")], WEEK)
    assert found == {claim.correlation_id: Cancelled.ENDED}
    clock.advance(100)
    assert await store.claim("w1", 10, ["graph"]) == []
    assert [one.status for one in (await replies(store)).values()] == [ResultStatus.CANCELLED]


async def test_a_cancel_that_comes_first_leaves_nothing_to_back_off(store: Store, clock: Clock) -> None:
    await store.accept([request()])
    claim = await claim_one(store)
    await store.cancel([Cancel(claim.correlation_id, "stop")], WEEK)
    await store.back_off(claim, WAIT, BUSY)
    clock.advance(100)
    assert await store.claim("w1", 10, ["graph"]) == []


async def test_a_newer_attempt_takes_its_place_with_counts_of_its_own(store: Store) -> None:
    await backed_off(store)
    await store.accept([request(attempt(2))])
    claim = await claim_one(store)
    assert (claim.event.attempt and claim.event.attempt.try_number, claim.retried) == (2, Retried())
    assert [one.error_type for one in (await replies(store)).values()] == ["superseded"]


async def late(store: Store, clock: Clock, wait: BackOff = WAIT, seconds: float = 10) -> WorkflowResultEvent:
    """The answer to a run whose deadline passes 10 s after its request, and which backs off when that has come."""
    await store.announce(WorkerInfo("w1", "1", "events", "fleet", {"graph": ""}))
    await backed_off(store, wait, deadline=clock.now + timedelta(seconds=10))
    clock.advance(seconds)
    assert await store.expire([], 60) == 1
    [reply] = (await replies(store)).values()
    return reply


async def test_its_deadline_ends_it_while_it_waits(store: Store, clock: Clock) -> None:
    began = clock.now
    reply = await late(store, clock)
    assert (reply.status, reply.error_type, reply.retriable) == (ResultStatus.TIMEOUT, "deadline", True)
    assert reply.attempts == 1
    assert reply.error == (
        f"the deadline {in_utc(began + timedelta(seconds=10))} passed while the run waited to be repeated "
        f"(rate_limit, retry 1) after node 'ask': busy; it was due again at {in_utc(began + timedelta(seconds=20))}. "
        "Allow the task a longer timeout"
    )


async def test_its_deadline_blames_no_worker_that_could_not_know_better(store: Store, clock: Clock) -> None:
    reply = await late(store, clock, BackOff(ErrorClass.RATE_LIMIT, 9.5, ONCE))
    assert reply.error is not None
    assert reply.error.endswith(". Allow the task a longer timeout")
    assert "run more workers" not in reply.error


async def test_its_deadline_names_what_held_it_up_once_it_was_due(store: Store, clock: Clock) -> None:
    reply = await late(store, clock, BackOff(ErrorClass.RATE_LIMIT, 1.0, ONCE), seconds=60)
    assert reply.error is not None
    assert ", but no worker that serves graph 'graph' runs now, or none reaches the run store. Start one" in reply.error
    assert "after node 'ask': busy; it was due again at " in reply.error


async def test_the_answer_says_what_the_run_has_spent(store: Store, clock: Clock) -> None:
    used = {"big": ModelUsage(input_tokens=70, total_tokens=100, requests=2, cost_usd=0.25)}
    await store.accept([request(event(attempt(1), deadline=clock.now + timedelta(seconds=10)))])
    claim = await claim_one(store)
    await store.record(claim, [], Spending(used, 1, 1.5))
    await store.back_off(claim, WAIT, BUSY)
    clock.advance(10)
    assert await store.expire(["graph"], 60) == 1
    assert [one.usage for one in (await replies(store)).values()] == [used]


async def test_a_run_that_went_on_after_it_had_backed_off_did_not_wait_to_be_repeated(
    store: Store, clock: Clock
) -> None:
    await backed_off(store, BackOff(ErrorClass.RATE_LIMIT, 0.0, ONCE), deadline=clock.now + timedelta(seconds=200))
    await claim_one(store)
    clock.advance(LEASE + 200)
    assert await store.expire(["graph"], 60) == 1
    [reply] = (await replies(store)).values()
    assert reply.error is not None
    assert "waited to be repeated" not in reply.error
    assert "workers that serve graph 'graph' run, and none took it up" in reply.error


async def test_a_long_error_is_cut_in_the_answer(store: Store, clock: Clock) -> None:
    await store.accept([request(event(attempt(1), deadline=clock.now + timedelta(seconds=10)))])
    claim = await claim_one(store)
    await store.back_off(claim, WAIT, replace(BUSY, message="busy " * 10_000))
    clock.advance(10)
    assert await store.expire(["graph"], 60) == 1
    [reply] = (await replies(store)).values()
    assert reply.error is not None
    assert len(reply.error) < 4_500
    assert "more characters in the run store" in reply.error


@pytest.mark.parametrize("thread", ["talk", None])
async def test_a_node_that_is_still_at_work_holds_its_thread(store: Store, clock: Clock, thread: str | None) -> None:
    await store.accept([request(event(thread_id=thread))])
    claim = await claim_one(store)
    await store.back_off(claim, BackOff(ErrorClass.TIMEOUT, 0.0, ONCE), BUSY, keep_thread=True)
    assert await store.claim("w2", 10, ["graph"]) == []
    await store.release(claim)
    assert (await claim_one(store, "w2")).retried == ONCE


async def test_the_next_request_of_a_conversation_waits_behind_it(store: Store, clock: Clock) -> None:
    first, second = request(event(thread_id="talk")), request(event(thread_id="talk"))
    await store.accept([first, second])
    claim = await claim_one(store)
    await store.back_off(claim, WAIT, BUSY)
    assert await store.claim("w1", 10, ["graph"]) == []
    clock.advance(20)
    assert (await claim_one(store)).correlation_id == first.event.event_id


async def test_a_run_that_starts_over_keeps_its_counts(store: Store, clock: Clock) -> None:
    await backed_off(store)
    clock.advance(20)
    claim = await claim_one(store)
    await store.start_over(claim)
    assert (await claim_one(store)).retried == ONCE


async def test_what_it_repeats_is_in_its_row(backend: Backend, store: Store) -> None:
    claim = await backed_off(store)
    [row] = backend.rows(workflow_runs, correlation_id=claim.correlation_id)
    assert row["retried"] == {"times": {"rate_limit": 1}, "step_seconds": 30.0, "model": None, "steps": 0}
    assert row["not_before"] is not None
