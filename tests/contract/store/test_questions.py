"""Questions of a graph: who is asked again, who may answer, and who waits meanwhile."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from langgraph_worker.domain.models import Accepted, Claim, Decision, Request, RunStatus
from langgraph_worker.store.migrations.schema import interrupts
from tests.support.run_store import (
    Backend,
    Clock,
    Store,
    answer,
    apply,
    ask,
    attempt,
    claim_one,
    event,
    interrupt,
    replies,
    request,
    result,
)
from workflow_events.models import Attempt, EventType
from workflow_events.results import ResultStatus

OTHER = attempt(1, task="o" * 64, at=9)
ALL = ["graph", "other"]


async def take(store: Store, asked: Request) -> Accepted:
    [accepted] = await store.accept([asked])
    assert accepted.detail
    return accepted


async def ids_of(store: Store, correlation_id: UUID) -> list[str]:
    reply = (await replies(store))[correlation_id]
    assert reply.status is ResultStatus.INTERRUPTED
    return [one.id for one in reply.interrupts]


async def test_a_run_that_ends_with_questions_names_them(store: Store) -> None:
    asked = await ask(store, request(attempt(1)), "i1", "i2")
    assert await ids_of(store, asked.correlation_id) == ["i1", "i2"]
    assert (await store.counts())[RunStatus.INTERRUPTED] == 1


async def test_each_retry_is_asked_the_same_and_runs_nothing(store: Store) -> None:
    await ask(store, request(attempt(1)), "i1", "i2")
    tries = [request(attempt(number)) for number in (2, 3)]
    assert [one.decision for one in await store.accept(tries)] == [Decision.ANSWERED] * 2
    for one in tries:
        assert await ids_of(store, one.event.event_id) == ["i1", "i2"]
    assert await store.claim("w1", 10, ["graph"]) == []
    assert (await take(store, request(answer(attempt(3), {"i1": 1, "i2": 2})))).decision is Decision.ANSWER


async def test_a_retry_that_must_restart_is_not_asked(store: Store) -> None:
    await ask(store, request(attempt(1)), "i1")
    assert (await take(store, request(attempt(2, on_retry="restart")))).decision is Decision.FRESH


async def test_an_answer_goes_on_with_the_run_that_asked(store: Store) -> None:
    await store.accept([request(attempt(1))])
    asked = await claim_one(store)
    await store.remember_nodes(asked, ["a", "b"])
    await interrupt(store, asked, "i1")
    sent = answer(attempt(1), {"i1": {"sure": True}})
    assert (await take(store, request(sent))).decision is Decision.ANSWER
    claim = await claim_one(store)
    assert claim.event == sent
    assert goes_on_with(claim, asked)
    assert (claim.resumes, claim.attempts, claim.nodes) == (True, 1, frozenset({"a", "b"}))
    assert (claim.answers, claim.answered) == ({"i1": {"sure": True}}, frozenset())
    await apply(store, claim, "i1")
    assert await store.finish(claim, result(claim))
    assert (await take(store, request(attempt(2)))).decision is Decision.ANSWERED


def goes_on_with(claim: Claim, asked: Claim) -> bool:
    place = (claim.thread_id, claim.lineage, claim.generation, claim.logical_run, claim.graph)
    return place == (asked.thread_id, asked.lineage, asked.generation, asked.logical_run, asked.graph)


@pytest.mark.parametrize("who", [OTHER, None], ids=["another task", "no task"])
async def test_whoever_answers_goes_on_with_the_run_that_asked(store: Store, who: Attempt | None) -> None:
    asked = await ask(store, request(attempt(1)), "i1")
    sent = answer(who, {"i1": "yes"}, workflow_id="approvals", answers_to=asked.correlation_id)
    assert (await take(store, request(sent, "default"))).decision is Decision.ANSWER
    claim = await claim_one(store)
    assert goes_on_with(claim, asked)
    assert (claim.correlation_id, claim.event.workflow_id) == (sent.event_id, "approvals")
    await apply(store, claim, "i1")
    assert await store.finish(claim, result(claim))
    assert (await replies(store))[sent.event_id].status is ResultStatus.SUCCESS
    assert (await take(store, request(attempt(2)))).decision is Decision.RESUMED  # it looks at what came of it
    again = await claim_one(store)
    assert goes_on_with(again, asked)
    assert (again.answers, again.answered) == ({}, frozenset({"i1"}))


async def test_who_answered_is_kept_for_the_record(backend: Backend, store: Store, clock: Clock) -> None:
    await ask(store, request(attempt(1)), "i1")
    sent = answer(OTHER, {"i1": "yes"}, by="ann")
    await store.accept([request(sent)])
    claim = await claim_one(store)
    clock.advance(5)
    await apply(store, claim, "i1")
    [row] = backend.rows(interrupts)
    assert (row["answered_at"], row["answered_by"], row["answer"]) == (clock.now, "ann", "yes")
    assert row["answer_id"] == sent.event_id


async def refused(store: Store, sent: Request, place: int, name: str) -> str:
    """The reason of a refusal. It is stored as one, is answered again, and runs nothing."""
    before = (await store.counts())[RunStatus.FAILED]
    accepted = await take(store, sent)
    assert accepted.decision is Decision.REFUSED
    reply = (await replies(store))[sent.event.event_id]
    assert (reply.status, reply.error_type) == (ResultStatus.ERROR, "interrupt_not_pending")
    assert reply.retriable is False
    assert f"answers[{place}]" in (reply.error or "")
    assert f"'{name}'" in (reply.error or "")
    assert (await store.counts())[RunStatus.FAILED] == before + 1
    assert (await take(store, sent)).decision is Decision.DUPLICATE
    return reply.error or ""


@pytest.mark.parametrize("who", [attempt(1), OTHER, None], ids=["itself", "another task", "no task"])
async def test_an_answer_to_nothing_is_refused(store: Store, who: Attempt | None) -> None:
    await ask(store, request(attempt(1)), "i1")
    await refused(store, request(answer(who, {"i0": 1})), 0, "i0")
    await refused(store, request(answer(who, {"i1": 1, "i2": 2}, round=2, event_id=event().event_id)), 1, "i2")
    assert await store.claim("w1", 10, ["graph"]) == []
    assert (await take(store, request(answer(None, {"i1": 1})))).decision is Decision.ANSWER  # still pending


async def test_an_answer_to_what_somebody_else_answered_is_refused(store: Store) -> None:
    await ask(store, request(attempt(1)), "i1")
    await store.accept([request(answer(OTHER, {"i1": "yes"}, by="ann"))])
    await apply(store, await claim_one(store), "i1")
    assert "ann" in await refused(store, request(answer(attempt(1), {"i1": "yes"})), 0, "i1")
    await refused(store, request(answer(None, {"i1": "yes"})), 0, "i1")


async def test_an_answer_to_what_a_clear_left_behind_is_refused(store: Store) -> None:
    await ask(store, request(attempt(1)), "i1")
    cleared = attempt(2, max_tries=4)
    assert (await take(store, request(cleared))).decision is Decision.FRESH
    for who in (OTHER, None, cleared):
        await refused(store, request(answer(who, {"i1": 1})), 0, "i1")
    assert (await claim_one(store)).event.attempt == cleared


async def test_a_repeat_of_an_answer_that_a_clear_left_behind_is_refused(store: Store) -> None:
    await ask(store, request(attempt(1)), "i1")
    await store.accept([request(answer(attempt(1), {"i1": "yes"}))])
    old = await claim_one(store)
    await apply(store, old, "i1")
    await store.finish(old, result(old))
    cleared = attempt(2, max_tries=4)
    await store.accept([request(cleared)])
    await refused(store, request(answer(cleared, {"i1": "yes"})), 0, "i1")
    claim = await claim_one(store)
    assert (claim.generation, claim.event.attempt) == (2, cleared)


async def test_a_clear_and_an_answer_in_one_batch_are_as_one_after_the_other(store: Store) -> None:
    await ask(store, request(attempt(1)), "i1")
    batch = [request(attempt(2, max_tries=4)), request(answer(OTHER, {"i1": 1}))]
    assert [one.decision for one in await store.accept(batch)] == [Decision.FRESH, Decision.REFUSED]


async def test_an_answer_of_an_older_attempt_is_late(store: Store) -> None:
    await ask(store, request(attempt(1)), "i1")
    await store.accept([request(attempt(2))])
    assert (await take(store, request(answer(attempt(1), {"i1": 1})))).decision is Decision.LATE
    assert (await take(store, request(answer(attempt(2), {"i1": 1})))).decision is Decision.ANSWER


async def test_answers_to_two_runs_are_refused(store: Store) -> None:
    await ask(store, request(attempt(1)), "i1")
    await ask(store, request(OTHER), "j1")
    sent = request(answer(None, {"i1": 1, "j1": 1}))
    assert (await take(store, sent)).decision is Decision.REFUSED
    back = (await replies(store))[sent.event.event_id]
    assert (back.error_type, "'answers'" in (back.error or "")) == ("interrupt_not_pending", True)
    assert await store.claim("w1", 10, ["graph"]) == []


async def test_another_graph_than_asked_is_refused(store: Store) -> None:
    await ask(store, request(attempt(1)), "i1")
    wrong = request(answer(None, {"i1": 1}, graph="other"), "other")
    assert (await take(store, wrong)).decision is Decision.REFUSED
    error = (await replies(store))[wrong.event.event_id].error or ""
    assert "'graph'" in error
    right = request(answer(None, {"i1": 1}, graph="graph"), "graph")
    assert (await take(store, right)).decision is Decision.ANSWER


def talk(number: int, **changes: Any) -> Request:
    """A request of its own task on the shared thread."""
    return request(event(attempt(1, task=f"{number:064d}", at=number), thread_id="talk", **changes))


async def test_while_a_thread_asks_others_wait_and_the_answer_goes_first(store: Store, clock: Clock) -> None:
    first, second, third = talk(1), talk(2), talk(3)
    await store.accept([first, second])
    asked = await claim_one(store)
    await interrupt(store, asked, "i1")
    assert await store.claim("w1", 10, ["graph"]) == []
    sent = request(answer(first.event.attempt, {"i1": 1}, thread_id="talk"))
    await store.accept([third, sent])
    for expected in (sent, second, third):
        claim = await claim_one(store)
        assert (claim.correlation_id, claim.thread_id) == (expected.event.event_id, asked.thread_id)
        assert await store.claim("w2", 10, ["graph"]) == []
        await apply(store, claim, *claim.answers)
        await store.finish(claim, result(claim))


async def test_an_answer_that_is_given_back_still_goes_first(store: Store) -> None:
    first, second = talk(1), talk(2)
    await store.accept([first, second])
    await interrupt(store, await claim_one(store), "i1")
    sent = request(answer(None, {"i1": 1}))
    await store.accept([sent])
    claim = await claim_one(store)
    await apply(store, claim, "i1")
    await store.release(claim)
    assert (await claim_one(store)).correlation_id == sent.event.event_id


async def test_a_thread_that_asks_is_free_to_its_own_lineage(store: Store) -> None:
    first, second = talk(1), talk(2)
    again = request(event(first.event.attempt, thread_id="talk", event_id=event().event_id))
    await store.accept([first, second, again])
    await interrupt(store, await claim_one(store), "i1")
    claim = await claim_one(store)  # the same work, asked twice in one attempt
    assert claim.correlation_id == again.event.event_id
    await interrupt(store, claim, "i1")
    assert await store.claim("w1", 10, ["graph"]) == []


async def test_a_round_alone_is_no_answer(store: Store) -> None:
    await store.accept([talk(1), talk(2)])
    await interrupt(store, await claim_one(store), "i1")
    await store.accept([talk(3, round=1, event_type=EventType.WORKFLOW_TRIGGERED)])
    assert await store.claim("w1", 10, ["graph"]) == []


async def test_who_waits_for_a_question_still_has_a_deadline(store: Store, clock: Clock) -> None:
    waits = talk(2, deadline=clock.now + timedelta(seconds=5))
    await store.accept([talk(1), waits])
    await interrupt(store, await claim_one(store), "i1")
    clock.advance(5)
    assert await store.expire(["graph"], 60) == 1
    assert (await replies(store))[waits.event.event_id].status is ResultStatus.TIMEOUT


async def test_a_fresh_start_of_who_asked_lets_the_others_go(store: Store) -> None:
    first, second = talk(1), talk(2)
    await store.accept([first, second])
    await interrupt(store, await claim_one(store), "i1")
    cleared = request(event(attempt(2, task=f"{1:064d}", max_tries=4), thread_id="talk"))
    assert (await take(store, cleared)).decision is Decision.FRESH
    for expected in (second, cleared):
        claim = await claim_one(store)
        assert claim.correlation_id == expected.event.event_id
        await store.finish(claim, result(claim))


async def test_a_question_that_a_finished_run_left_behind_holds_nobody_up(store: Store) -> None:
    """A graph that was deployed anew no longer asks it, and came to its end."""
    await store.accept([talk(1), talk(2)])
    await interrupt(store, await claim_one(store), "i1", "i2")
    await store.accept([request(answer(None, {"i1": 1}))])
    claim = await claim_one(store)
    await apply(store, claim, "i1")
    await store.finish(claim, result(claim))
    assert (await claim_one(store)).event.attempt == talk(2).event.attempt


async def test_a_question_holds_no_other_thread_up(store: Store) -> None:
    await ask(store, talk(1), "i1")
    elsewhere = request(event(attempt(1, task="e" * 64, at=7), thread_id="elsewhere"))
    await store.accept([elsewhere, request(event(thread_id="talk"), "other")])
    assert len(await store.claim("w1", 10, ALL)) == 2
