"""Answers belong to one asking: a graph may ask a second question by the id of its first, and so may another run."""

from __future__ import annotations

import pytest

from langgraph_worker.domain.models import Claim, Decision, Request
from tests.support.run_store import (
    Clock,
    Store,
    answer,
    apply,
    ask,
    attempt,
    claim_one,
    decision,
    event,
    interrupt,
    replies,
    request,
    result,
)
from workflow_events.models import WorkflowEvent
from workflow_events.results import ResultStatus

OTHER = attempt(1, task="o" * 64, at=9)
THIRD = attempt(1, task="p" * 64, at=10)


def again(sent: WorkflowEvent) -> Request:
    """The same answers in another request."""
    return request(sent.model_copy(update={"event_id": event().event_id}))


async def asked_again(store: Store, clock: Clock, *batch: Request) -> Claim:
    """Answers to a first question, of which the first one is applied; then a second question by the same id."""
    await ask(store, request(attempt(1)), "i1")
    assert {one.decision for one in await store.accept(list(batch))} == {Decision.ANSWER}
    claim = await claim_one(store)
    assert claim.correlation_id == batch[0].event.event_id
    await apply(store, claim, "i1")
    clock.advance(1)
    await interrupt(store, claim, "i1")
    return claim


async def test_an_answer_to_the_first_question_is_not_given_to_the_second(store: Store, clock: Clock) -> None:
    second = request(answer(THIRD, {"i1": "no"}))
    await asked_again(store, clock, request(answer(OTHER, {"i1": "yes"}, by="ann")), second)
    assert await store.claim("w1", 10, ["graph"]) == []
    reply = (await replies(store))[second.event.event_id]
    assert (reply.error_type, "ann" in (reply.error or "")) == ("interrupt_not_pending", True)
    third = request(answer(THIRD, {"i1": "at last"}, round=2))
    assert await decision(store, third) is Decision.ANSWER
    assert (await claim_one(store)).answers == {"i1": "at last"}


async def test_the_same_answer_twice_is_not_given_to_the_second_question(store: Store, clock: Clock) -> None:
    sent = answer(OTHER, {"i1": "yes"})
    await asked_again(store, clock, request(sent), again(sent))
    claim = await claim_one(store)
    assert (claim.answers, claim.answered) == ({}, frozenset())  # the graph is at its second question


@pytest.mark.parametrize(
    "later",
    [{}, {"on_retry": "restart"}, {"max_tries": 4}, {"id": OTHER.id, "try_number": 1, "replay": 1}],
    ids=["a retry", "a restarting retry", "a clear", "a replay"],
)
async def test_a_task_that_answers_again_repeats_its_answer_to_the_first_question(
    store: Store, clock: Clock, later: dict[str, object]
) -> None:
    sent = answer(OTHER, {"i1": "yes"})
    await asked_again(store, clock, request(sent))
    values = {"task": OTHER.task, "at": 20, **later}
    repeated = answer(attempt(**{"try_number": 2} | values), {"i1": "yes"}, event_id=event().event_id)
    assert await decision(store, request(repeated)) is Decision.ANSWER
    claim = await claim_one(store)
    assert (claim.correlation_id, claim.answers, claim.answered) == (repeated.event_id, {}, frozenset())


async def test_a_new_round_of_the_same_answer_is_given_to_the_second_question(store: Store, clock: Clock) -> None:
    await asked_again(store, clock, request(answer(OTHER, {"i1": "yes"})))
    assert await decision(store, request(answer(OTHER, {"i1": "yes"}, round=2))) is Decision.ANSWER
    assert (await claim_one(store)).answers == {"i1": "yes"}


async def test_a_retry_that_gives_another_answer_answers_the_second_question(store: Store, clock: Clock) -> None:
    await asked_again(store, clock, request(answer(OTHER, {"i1": "yes"})))
    other = answer(attempt(2, task=OTHER.task, at=20), {"i1": "no"})
    assert await decision(store, request(other)) is Decision.ANSWER
    assert (await claim_one(store)).answers == {"i1": "no"}


async def test_an_answer_survives_that_its_question_is_repeated_unanswered(store: Store, clock: Clock) -> None:
    """The same work, asked twice in one attempt, ends with the same question: nothing was answered in between."""
    await store.accept([request(attempt(1)), again(event(attempt(1)))])
    await interrupt(store, await claim_one(store), "i1")
    repeats = await claim_one(store)
    assert await decision(store, request(answer(OTHER, {"i1": "yes"}))) is Decision.ANSWER
    clock.advance(1)
    await interrupt(store, repeats, "i1")
    assert (await claim_one(store)).answers == {"i1": "yes"}


async def test_an_answer_that_failed_before_it_was_given_is_given_by_the_retry(store: Store) -> None:
    await ask(store, request(attempt(1)), "i1")
    await store.accept([request(answer(OTHER, {"i1": "yes"}))])
    first = await claim_one(store)
    await store.finish(first, result(first, ResultStatus.FAILURE))
    await store.accept([request(answer(attempt(2, task=OTHER.task, at=20), {"i1": "yes"}))])
    assert (await claim_one(store)).answers == {"i1": "yes"}


async def test_an_id_that_several_runs_ask_is_answered_for_the_task_itself(store: Store, clock: Clock) -> None:
    """LangGraph gives all questions of its ``NodeInterrupt`` the same id."""
    mine = await ask(store, request(attempt(1)), "i1")
    clock.advance(1)
    other = await ask(store, request(OTHER), "i1")
    for who, asked in ((attempt(1), mine), (OTHER, other)):
        assert await decision(store, request(answer(who, {"i1": "yes"}))) is Decision.ANSWER
        claim = await claim_one(store)
        assert (claim.thread_id, claim.answers) == (asked.thread_id, {"i1": "yes"})
        await apply(store, claim, "i1")
        await store.finish(claim, result(claim))


@pytest.mark.parametrize("who", [THIRD, None], ids=["another task", "no task"])
async def test_an_id_that_several_runs_ask_says_nobody_elses_answer(store: Store, clock: Clock, who: object) -> None:
    mine = await ask(store, request(attempt(1)), "i1")
    clock.advance(1)
    other = await ask(store, request(OTHER), "i1")
    sent = request(answer(who, {"i1": "yes"}))  # type: ignore[arg-type]
    assert await decision(store, sent) is Decision.REFUSED
    assert "several runs" in ((await replies(store))[sent.event.event_id].error or "")
    await store.accept([request(answer(OTHER, {"i1": "yes"}))])
    claim = await claim_one(store)
    assert claim.thread_id == other.thread_id
    await apply(store, claim, "i1")
    await store.finish(claim, result(claim))
    assert await decision(store, again(sent.event)) is Decision.REFUSED  # it may be late, and meant for the other
    exact = sent.event.model_copy(update={"answers_to": mine.correlation_id})
    assert await decision(store, again(exact)) is Decision.ANSWER


async def test_a_clear_after_an_answered_retry_repeats_the_answer_too(store: Store, clock: Clock) -> None:
    await ask(store, request(attempt(1)), "i1")
    await store.accept([request(answer(OTHER, {"i1": "yes"}))])
    first = await claim_one(store)
    await apply(store, first, "i1")
    await store.finish(first, result(first))
    await store.accept([request(attempt(2))])
    clock.advance(1)
    await interrupt(store, await claim_one(store), "i1")
    retried = answer(attempt(2, task=OTHER.task, at=20), {"i1": "yes"})
    assert await decision(store, request(retried)) is Decision.ANSWERED
    cleared = answer(attempt(3, task=OTHER.task, at=30, max_tries=4), {"i1": "yes"})
    assert await decision(store, request(cleared)) is Decision.ANSWER
    claim = await claim_one(store)
    assert (claim.thread_id, claim.answers, claim.answered) == (first.thread_id, {}, frozenset())
