"""Owning: claims, leases, takeovers, and what only an owner may write."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from langgraph_worker.domain.models import Lease, RunStatus, Step, StepStatus
from langgraph_worker.store.migrations.schema import step_executions
from tests.support.run_store import (
    LEASE,
    Backend,
    Clock,
    Store,
    answer,
    ask,
    attempt,
    claim_one,
    event,
    holds,
    replies,
    request,
    result,
)
from workflow_events.results import ResultStatus


def step(name: str, clock: Clock, status: StepStatus = StepStatus.RUNNING, **changes: object) -> Step:
    return Step(step_id=name, namespace="", node="n", agent=None, status=status, started_at=clock.now, **changes)  # type: ignore[arg-type]


async def test_claims_come_oldest_first_and_no_more_than_asked(store: Store) -> None:
    asked = [request() for _ in range(5)]
    await store.accept(asked)
    first = await store.claim("w1", 2, ["graph"])
    rest = await store.claim("w2", 10, ["graph"])
    assert [claim.correlation_id for claim in first + rest] == [one.event.event_id for one in asked]
    assert [claim.attempts for claim in first + rest] == [1] * 5
    assert await store.claim("w1", 10, ["graph"]) == []
    assert (await store.counts())[RunStatus.RUNNING] == 5


async def test_only_runs_of_the_named_graphs_are_claimed(store: Store) -> None:
    a, b = request(graph="a"), request(graph="b")
    await store.accept([a, b])
    assert await store.claim("w1", 10, []) == []
    assert await store.claim("w1", 0, ["a", "b"]) == []
    assert (await claim_one(store, graph="b")).correlation_id == b.event.event_id
    assert (await claim_one(store, graph="a")).graph == "a"


async def test_two_that_claim_at_once_get_different_runs(store: Store) -> None:
    await store.accept([request() for _ in range(20)])
    many = await asyncio.gather(*(store.claim(f"w{number}", 3, ["graph"]) for number in range(10)))
    claimed = [claim.correlation_id for claims in many for claim in claims]
    assert len(claimed) == len(set(claimed)) == 20


async def test_requests_on_a_shared_thread_queue_oldest_first(store: Store) -> None:
    asked = [request(event(attempt(1, task=f"{n:064d}", at=n), thread_id="talk")) for n in range(3)]
    await store.accept(asked)
    threads = set()
    for one in asked:
        claim = await claim_one(store)
        assert claim.correlation_id == one.event.event_id
        assert await store.claim("w2", 10, ["graph"]) == []
        threads.add(claim.thread_id)
        await store.finish(claim, result(claim))
    assert len(threads) == 1


async def test_a_released_run_keeps_its_place_in_the_queue(store: Store) -> None:
    first, second = request(event(thread_id="talk")), request(event(thread_id="talk"))
    await store.accept([first, second])
    await store.release(await claim_one(store))
    assert (await claim_one(store)).correlation_id == first.event.event_id


async def test_threads_of_two_graphs_or_two_installations_are_not_shared(store: Store) -> None:
    elsewhere = attempt(1, deployment="there", task="u" * 64, at=7)
    here, there = request(event(attempt(1), thread_id="talk")), request(event(elsewhere, thread_id="talk"))
    neighbour = attempt(1, task="v" * 64, at=8)
    await store.accept([here, there, request(event(neighbour, thread_id="talk"), "other")])
    claims = await store.claim("w1", 10, ["graph", "other"])
    assert len({claim.thread_id for claim in claims}) == 3


async def test_workflows_that_wait_get_slots_in_turn(store: Store) -> None:
    flood = [request(event(workflow_id="flood")) for _ in range(20)]
    few = [request(event(workflow_id=name)) for name in ("a", "b", "b")]
    await store.accept([*flood, *few])
    first = await store.claim("w1", 4, ["graph"])
    assert [claim.event.workflow_id for claim in first] == ["flood", "flood", "a", "b"]
    assert [claim.event.event_id for claim in first[:2]] == [one.event.event_id for one in flood[:2]]
    second = await store.claim("w2", 3, ["graph"])
    assert [claim.event.workflow_id for claim in second] == ["flood", "flood", "b"]
    assert len(await store.claim("w3", 100, ["graph"])) == 16


async def test_the_backlog_is_counted_by_graph(store: Store) -> None:
    assert await store.backlog() == {}
    big = request(event(data={"text": "ä" * 1_000}), "big")
    await store.accept([request(), request(), big])
    (ended,) = await store.claim("w1", 1, ["graph"])
    found = await store.backlog()
    assert found["graph", ""].requests == 2
    assert 2_000 < found["big", ""].bytes == len(big.event.model_dump_json().encode())
    await store.finish(ended, result(ended))
    assert (await store.backlog())["graph", ""].requests == 1


async def test_answers_are_counted_apart_from_what_they_would_free(store: Store) -> None:
    await ask(store, request(event(thread_id="talk")), "i1")
    waits, answers = request(event(thread_id="talk")), request(answer(None, {"i1": "ä" * 1_000}))
    await store.accept([waits, answers])
    found = (await store.backlog())["graph", ""]
    assert (found.requests, found.answers) == (1, 1)
    assert found.bytes == len(waits.event.model_dump_json().encode()) < 1_000
    assert found.answer_bytes == len(answers.event.model_dump_json().encode()) > 2_000


async def test_what_can_start_is_what_a_claim_would_take(store: Store, clock: Clock) -> None:
    asked = await ask(store, request(event(thread_id="asks")), "i1")
    behind_a_question = request(event(thread_id="asks"))
    first, second = request(event(thread_id="talk")), request(event(thread_id="talk"))
    backs_off, late = request(), request(event(deadline=clock.now + timedelta(seconds=5)))
    await store.accept([backs_off])
    await store.release(await claim_one(store), delay=60)
    await store.accept([behind_a_question, first, second, late, elsewhere := request(graph="other")])
    every = [one.event.event_id for one in (behind_a_question, first, second, backs_off, late, elsewhere)]
    every.append(asked.correlation_id)
    assert await store.can_start(every, ["graph"]) == {first.event.event_id, late.event.event_id}
    assert await store.can_start(every, ["graph", "other"]) == {
        first.event.event_id,
        late.event.event_id,
        elsewhere.event.event_id,
    }
    assert await store.can_start([second.event.event_id], ["graph"]) == set()
    assert await store.can_start([], ["graph"]) == await store.can_start(every, []) == set()
    clock.advance(5)
    assert await store.can_start(every, ["graph"]) == {first.event.event_id}
    assert (await claim_one(store)).correlation_id == first.event.event_id
    assert await store.can_start(every, ["graph"]) == set()


async def test_a_run_past_its_deadline_is_not_claimed_and_holds_nobody_up(store: Store, clock: Clock) -> None:
    soon = clock.now + timedelta(seconds=5)
    await store.accept([request(event(thread_id="talk", deadline=soon)), request(event(thread_id="talk"))])
    clock.advance(5)
    claim = await claim_one(store)
    assert claim.event.deadline is None


async def test_a_renewed_lease_lasts_and_an_old_one_ends(store: Store, clock: Clock) -> None:
    await store.accept([request(), request()])
    kept, lost = await store.claim("w1", 10, ["graph"])
    clock.advance(LEASE - 1)
    assert store.renew("w1", [kept.lease]) == set()
    clock.advance(1)
    (taken,) = await store.claim("w2", 10, ["graph"])
    assert taken.correlation_id == lost.correlation_id
    assert store.renew("w1", [kept.lease, lost.lease]) == {lost.lease}
    clock.advance(LEASE - 1)
    assert await holds(store, kept.lease)


async def test_an_owner_that_stood_still_still_owns_what_nobody_took(store: Store, clock: Clock) -> None:
    await store.accept([request()])
    claim = await claim_one(store)
    clock.advance(LEASE * 2)
    assert store.renew("w1", [claim.lease]) == set()
    assert await holds(store, claim.lease)
    assert await store.claim("w2", 10, ["graph"]) == []


async def test_renewing_nothing_loses_nothing(store: Store) -> None:
    assert store.renew("w1", []) == set()


async def test_only_its_owner_renews_a_lease(store: Store) -> None:
    await store.accept([request()])
    claim = await claim_one(store, "w1")
    unknown = Lease("nowhere", 1)
    higher = Lease(claim.thread_id, claim.lease.token + 1)
    assert store.renew("w2", [claim.lease]) == {claim.lease}
    assert store.renew("w1", [claim.lease, unknown, higher]) == {unknown, higher}


async def test_an_expired_run_is_taken_over_with_a_higher_token(store: Store, clock: Clock) -> None:
    await store.accept([request()])
    old = await claim_one(store, "w1")
    clock.advance(LEASE)
    new = await claim_one(store, "w2")
    assert new.correlation_id == old.correlation_id
    assert (new.attempts, new.resumes, new.logical_run) == (2, True, old.logical_run)
    assert new.lease.token > old.lease.token
    assert not await holds(store, old.lease, "w1")
    assert not await store.finish(old, result(old))
    assert await holds(store, new.lease, "w2")  # the old owner's end is not the new one's
    assert await store.finish(new, result(new))


async def test_an_owner_that_stood_still_may_end_what_nobody_took(store: Store, clock: Clock) -> None:
    """Not a clock but the token decides who owns a thread: a pause does not make finished work void."""
    await store.accept([request()])
    claim = await claim_one(store)
    clock.advance(LEASE * 2)
    assert await store.finish(claim, result(claim))
    assert len(await store.unpublished(10)) == 1
    assert await store.claim("w2", 10, ["graph"]) == []


async def test_a_release_makes_a_run_claimable_at_once_and_is_no_takeover(store: Store) -> None:
    await store.accept([request()])
    for attempts in range(1, 8):
        claim = await claim_one(store)
        assert claim.attempts == attempts
        await store.release(claim)
        assert (await store.counts())[RunStatus.PENDING] == 1
        assert not await holds(store, claim.lease)


async def test_a_release_after_the_end_changes_nothing(store: Store) -> None:
    await store.accept([request()])
    claim = await claim_one(store)
    await store.finish(claim, result(claim))
    await store.release(claim)
    assert (await store.counts())[RunStatus.COMPLETED] == 1


async def test_a_run_whose_workers_vanish_is_given_up_after_three_takeovers(store: Store, clock: Clock) -> None:
    await store.accept([request(event(thread_id="talk")), request(event(thread_id="talk"))])
    for attempts in range(1, 5):
        claim = await claim_one(store, f"w{attempts}")
        assert claim.attempts == attempts
        clock.advance(LEASE)
    assert await store.claim("w5", 10, ["graph"]) == []
    [answer] = (await replies(store)).values()
    assert (answer.correlation_id, answer.attempts) == (claim.correlation_id, 4)
    assert (answer.status, answer.error_type, answer.retriable) == (ResultStatus.FAILURE, "worker_lost", False)
    assert "'w4'" in (answer.error or "")
    assert (await claim_one(store)).correlation_id != claim.correlation_id  # the queue behind it goes on


async def test_only_the_first_start_on_a_thread_of_its_own_is_new(store: Store, clock: Clock) -> None:
    first, shared = request(attempt(1)), request(event(thread_id="talk"), "other")
    await store.accept([first, shared])
    claim = await claim_one(store)
    assert claim.is_new
    assert not (await claim_one(store, graph="other")).is_new
    await store.release(claim)
    again = await claim_one(store)
    assert not again.is_new
    await store.finish(again, result(again, ResultStatus.FAILURE))
    await store.accept([request(attempt(2))])
    assert not (await claim_one(store)).is_new


async def test_a_start_on_a_shared_thread_is_not_new_whatever_its_task_answers_meanwhile(store: Store) -> None:
    await ask(store, request(attempt(1, task="u" * 64, at=7)), "i1")
    waits = request(event(attempt(1), thread_id="talk"))
    await store.accept([waits, request(answer(attempt(1), {"i1": 1}))])
    claims = await store.claim("w1", 10, ["graph"])
    assert [claim.is_new for claim in claims] == [False, False]


async def test_steps_are_inserted_and_replaced(backend: Backend, store: Store, clock: Clock) -> None:
    await store.accept([request()])
    claim = await claim_one(store)
    await store.record(claim, [])
    await store.record(claim, [step("s1", clock, input={"a": [1]}), step("s2", clock, StepStatus.FAILED)])
    clock.advance(1.5)
    done = step("s1", clock, StepStatus.COMPLETED, finished_at=clock.now, output=None, error="a\x00b\ud800")
    await store.record(claim, [done])
    one, two = backend.rows(step_executions)
    assert (one["status"], one["output"], one["finished_at"]) == ("COMPLETED", None, clock.now)
    assert one["error"] == "a\ufffdb?"
    assert (two["step_id"], two["status"], two["attempt"]) == ("s2", "FAILED", 1)


async def test_steps_of_two_runs_may_have_one_id(backend: Backend, store: Store, clock: Clock) -> None:
    await store.accept([request(), request()])
    for claim in await store.claim("w1", 2, ["graph"]):
        await store.record(claim, [step("s1", clock)])
    assert len(backend.rows(step_executions)) == 2


@pytest.mark.parametrize("how", ["taken over", "superseded", "finished", "released"])
async def test_a_void_lease_writes_nothing(backend: Backend, store: Store, clock: Clock, how: str) -> None:
    await store.accept([request(attempt(1))])
    claim = await claim_one(store)
    match how:
        case "taken over":
            clock.advance(LEASE)
            await claim_one(store, "w2")
        case "superseded":
            await store.accept([request(attempt(2))])
        case "finished":
            await store.finish(claim, result(claim))
        case "released":
            await store.release(claim)
    before = await store.unpublished(10)
    await store.record(claim, [step("s1", clock)])
    await store.remember_nodes(claim, ["n"])
    assert not await store.finish(claim, result(claim, value={"other": 1}))
    assert backend.rows(step_executions) == []
    assert await store.unpublished(10) == before


async def test_a_retry_begins_a_new_count_of_attempts(store: Store, clock: Clock) -> None:
    await store.accept([request(attempt(1))])
    await claim_one(store)
    clock.advance(LEASE)
    claim = await claim_one(store)
    await store.finish(claim, result(claim, ResultStatus.FAILURE))
    await store.accept([request(attempt(2))])
    assert (await claim_one(store)).attempts == 1
