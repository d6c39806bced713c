"""Retries, clears, late attempts, several agents: what the table of identity does to stored runs."""

from __future__ import annotations

from datetime import timedelta

import pytest

from langgraph_worker.domain.models import Claim, Decision, Request, RunStatus
from langgraph_worker.store.migrations.schema import model_usage
from tests.support.run_store import (
    LEASE,
    START,
    Backend,
    Clock,
    Store,
    attempt,
    claim_one,
    event,
    holds,
    replies,
    request,
    result,
)
from workflow_events.results import Interrupt, ModelUsage, ResultStatus


async def take(store: Store, asked: Request) -> Decision:
    [accepted] = await store.accept([asked])
    assert accepted.detail
    return accepted.decision


async def ran(store: Store, asked: Request, status: ResultStatus, **changes: object) -> Claim:
    """Accept, claim and finish."""
    await store.accept([asked])
    claim = await claim_one(store)
    assert claim.correlation_id == asked.event.event_id
    assert await store.finish(claim, result(claim, status, **changes))
    return claim


async def test_a_retry_of_a_success_is_answered_from_the_store(backend: Backend, store: Store) -> None:
    usage = {"m": ModelUsage(input_tokens=1, output_tokens=2, total_tokens=3)}
    first = await ran(store, request(attempt(1)), ResultStatus.SUCCESS, usage=usage)
    retry = request(event(attempt(2), workflow_run_id="renamed"))
    assert await take(store, retry) is Decision.ANSWERED
    assert await store.claim("w1", 10, ["graph"]) == []
    answers = await replies(store)
    expected = {"correlation_id": retry.event.event_id, "workflow_run_id": "renamed"}
    assert answers[retry.event.event_id] == answers[first.correlation_id].model_copy(update=expected)
    assert answers[retry.event.event_id].usage == usage
    assert len(backend.rows(model_usage)) == 1  # paid once


async def test_a_retry_of_an_answered_retry_is_answered_too_also_in_one_batch(store: Store) -> None:
    await ran(store, request(attempt(1)), ResultStatus.SUCCESS)
    accepted = await store.accept([request(attempt(2)), request(attempt(3))])
    assert [one.decision for one in accepted] == [Decision.ANSWERED] * 2
    assert await take(store, request(attempt(4, max_tries=3))) is Decision.ANSWERED
    answers = await replies(store)
    assert len(answers) == 4
    assert all(answer.result == {"answer": 42} for answer in answers.values())


@pytest.mark.parametrize("status", [ResultStatus.FAILURE, ResultStatus.TIMEOUT, ResultStatus.CANCELLED])
async def test_a_retry_of_what_did_not_succeed_resumes_it(store: Store, status: ResultStatus) -> None:
    await store.accept([request(attempt(1))])
    first = await claim_one(store)
    assert (first.resumes, first.nodes) == (False, None)
    await store.remember_nodes(first, ["b", "a"])
    await store.finish(first, result(first, status))
    assert await take(store, request(attempt(2))) is Decision.RESUMED
    second = await claim_one(store)
    assert (second.logical_run, second.generation, second.thread_id) == (first.logical_run, 1, first.thread_id)
    assert (second.resumes, second.nodes, second.attempts) == (True, frozenset({"a", "b"}), 1)
    assert second.lease.token > first.lease.token


async def test_a_retry_on_an_interrupted_thread_is_interrupted_again_and_runs_nothing(store: Store) -> None:
    asked = [Interrupt(id="i1", value="sure?")]
    await ran(store, request(attempt(1)), ResultStatus.INTERRUPTED, interrupts=asked)
    retry = request(attempt(2))
    assert await take(store, retry) is Decision.ANSWERED
    answer = (await replies(store))[retry.event.event_id]
    assert (answer.status, answer.interrupts) == (ResultStatus.INTERRUPTED, asked)
    assert (await store.counts())[RunStatus.INTERRUPTED] == 2
    assert await store.claim("w1", 10, ["graph"]) == []


async def test_a_clear_starts_afresh_whatever_came_before(store: Store) -> None:
    first = await ran(store, request(attempt(1)), ResultStatus.SUCCESS)
    cleared = request(attempt(2, max_tries=4))
    assert await take(store, cleared) is Decision.FRESH
    second = await claim_one(store)
    assert second.generation == 2
    assert second.logical_run != first.logical_run
    assert second.thread_id != first.thread_id
    assert (second.resumes, second.nodes) == (False, None)


async def test_a_recreated_dag_run_starts_afresh_with_a_lower_try_number(store: Store) -> None:
    await ran(store, request(attempt(3)), ResultStatus.FAILURE)
    anew = attempt(1, at=9_000, run_start=START + timedelta(hours=1))
    assert await take(store, request(anew)) is Decision.FRESH


async def test_nodes_of_the_generation_before_are_forgotten(store: Store) -> None:
    await store.accept([request(attempt(1))])
    first = await claim_one(store)
    await store.remember_nodes(first, ["old"])
    await store.accept([request(attempt(2, max_tries=4))])
    second = await claim_one(store)
    assert second.nodes is None
    await store.remember_nodes(first, ["late"])  # superseded: void
    await store.remember_nodes(second, ["new"])
    await store.remember_nodes(second, ["newer"])  # only the first start's are kept
    await store.release(second)
    assert (await claim_one(store)).nodes == frozenset({"new"})


async def test_a_newer_attempt_ends_a_waiting_one(store: Store) -> None:
    older, newer = request(attempt(1)), request(attempt(2))
    await store.accept([older])
    assert await take(store, newer) is Decision.RESUMED
    [(ended, answer)] = (await replies(store)).items()
    assert ended == older.event.event_id
    assert (answer.status, answer.error_type, answer.retriable) == (ResultStatus.CANCELLED, "superseded", True)
    assert "try 2" in (answer.error or "")
    assert (await claim_one(store)).correlation_id == newer.event.event_id
    assert (await store.counts())[RunStatus.CANCELLED] == 1


async def test_a_newer_attempt_voids_the_lease_of_a_running_one(store: Store) -> None:
    await store.accept([request(attempt(1))])
    old = await claim_one(store)
    await store.accept([request(attempt(2))])
    assert not await holds(store, old.lease)
    assert not await store.finish(old, result(old))
    [answer] = (await replies(store)).values()
    assert (answer.status, answer.attempts, answer.thread_id) == (ResultStatus.CANCELLED, 1, old.thread_id)


async def test_a_superseded_thread_is_free_when_its_owner_releases(store: Store) -> None:
    await store.accept([request(attempt(1))])
    old = await claim_one(store)
    await store.accept([request(attempt(2))])
    assert await store.claim("w2", 10, ["graph"]) == []  # the owner may still be inside a node
    await store.release(old)
    new = await claim_one(store, "w2")
    assert (new.event.attempt and new.event.attempt.try_number) == 2
    assert new.thread_id == old.thread_id
    assert (await store.counts())[RunStatus.CANCELLED] == 1  # the release brought nothing back
    await store.release(old)
    assert await holds(store, new.lease, "w2")  # nor does a second one free what is another's by now


async def test_a_superseded_thread_is_free_when_its_owner_finishes(store: Store) -> None:
    await store.accept([request(attempt(1))])
    old = await claim_one(store)
    await store.accept([request(attempt(2))])
    assert not await store.finish(old, result(old))
    assert (await claim_one(store, "w2")).thread_id == old.thread_id


async def test_a_superseded_thread_is_free_when_the_lease_ends(store: Store, clock: Clock) -> None:
    await store.accept([request(attempt(1))])
    old = await claim_one(store)
    await store.accept([request(attempt(2))])
    clock.advance(LEASE - 1)
    assert store.renew("w1", [old.lease]) == {old.lease}  # a lost lease is not prolonged
    assert await store.claim("w2", 10, ["graph"]) == []
    clock.advance(1)
    new = await claim_one(store, "w2")
    assert (new.attempts, new.thread_id) == (1, old.thread_id)


async def test_a_clear_need_not_wait_for_the_owner_of_what_it_ends(store: Store) -> None:
    await store.accept([request(attempt(1))])
    await claim_one(store)
    await store.accept([request(attempt(2, max_tries=4))])
    assert (await claim_one(store, "w2")).generation == 2


async def test_a_late_attempt_is_answered_and_never_runs(store: Store) -> None:
    await store.accept([request(attempt(2))])
    late = request(attempt(1))
    assert await take(store, late) is Decision.LATE
    answer = (await replies(store))[late.event.event_id]
    assert (answer.status, answer.error_type, answer.retriable) == (ResultStatus.CANCELLED, "superseded", True)
    claim = await claim_one(store)
    assert claim.event.attempt == attempt(2)
    assert await store.finish(claim, result(claim))
    assert await take(store, request(attempt(3))) is Decision.ANSWERED  # the late one left no trace in the lineage


async def test_a_late_attempt_of_an_agent_that_was_never_seen_is_late(store: Store) -> None:
    await store.accept([request(attempt(2, agent="a"))])
    assert await take(store, request(attempt(1, agent="b"))) is Decision.LATE


async def test_several_attempts_of_one_task_in_one_batch(store: Store) -> None:
    batch = [request(attempt(1)), request(attempt(3)), request(attempt(2)), request(attempt(4))]
    accepted = await store.accept(batch)
    assert [one.decision for one in accepted] == [
        Decision.FRESH,
        Decision.RESUMED,
        Decision.LATE,
        Decision.RESUMED,
    ]
    claim = await claim_one(store)
    assert claim.event.attempt == attempt(4)
    answers = await replies(store)
    assert {answer.error_type for answer in answers.values()} == {"superseded"}
    assert len(answers) == 3


async def test_each_agent_of_a_task_resumes_by_itself(store: Store) -> None:
    await store.accept([request(attempt(1, agent="a")), request(attempt(1, agent="b"))])
    a, b = await store.claim("w1", 10, ["graph"])
    await store.finish(a, result(a))
    await store.finish(b, result(b, ResultStatus.FAILURE))
    accepted = await store.accept([request(attempt(2, agent="a")), request(attempt(2, agent="b"))])
    assert [one.decision for one in accepted] == [Decision.ANSWERED, Decision.RESUMED]
    assert (await claim_one(store)).logical_run == b.logical_run


async def test_a_newer_attempt_of_one_agent_ends_the_older_of_all(store: Store) -> None:
    await store.accept([request(attempt(1, agent="a")), request(attempt(1, agent="b"))])
    _, b = await store.claim("w1", 10, ["graph"])
    await store.accept([request(attempt(2, agent="a"))])
    assert not await holds(store, b.lease)
    assert (await store.counts())[RunStatus.CANCELLED] == 2
    assert await take(store, request(attempt(2, agent="b"))) is Decision.RESUMED
    assert (await store.counts())[RunStatus.CANCELLED] == 2  # agents of one attempt leave each other alone


async def test_superseding_a_queued_run_leaves_the_neighbour_on_its_thread_alone(store: Store) -> None:
    neighbour = event(attempt(1, task="n" * 64, at=1), thread_id="talk")
    queued = event(attempt(1), thread_id="talk")
    await store.accept([request(neighbour), request(queued)])
    running = await claim_one(store)
    assert running.correlation_id == neighbour.event_id
    await store.accept([request(event(attempt(2), thread_id="talk"))])
    assert await holds(store, running.lease)
    assert await store.finish(running, result(running))
    assert (await claim_one(store)).event.attempt == attempt(2)


async def test_the_same_work_asked_twice_in_one_attempt_runs_one_after_the_other(store: Store) -> None:
    first, again = request(event(attempt(1))), request(event(attempt(1), event_id=event().event_id))
    await store.accept([first])
    assert await take(store, again) is Decision.RESUMED
    claim = await claim_one(store)
    assert claim.correlation_id == first.event.event_id
    await store.finish(claim, result(claim))
    second = await claim_one(store)
    assert (second.logical_run, second.resumes) == (claim.logical_run, True)


async def test_other_work_of_one_attempt_runs_beside_it(store: Store) -> None:
    await store.accept([request(event(attempt(1)))])
    other = request(event(attempt(1), data={"ask": 2}, event_id=event().event_id))
    assert await take(store, other) is Decision.FRESH
    claims = await store.claim("w1", 10, ["graph"])
    assert sorted(claim.generation for claim in claims) == [1, 2]
