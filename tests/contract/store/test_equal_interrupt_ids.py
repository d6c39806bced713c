"""Several runs ask by the same id, as LangGraph's ``NodeInterrupt`` does: an answer reaches the run that it names."""

from __future__ import annotations

from itertools import permutations
from uuid import UUID, uuid4

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
from workflow_events.models import Attempt, WorkflowEvent
from workflow_events.results import ResultStatus

TASKS = {name: attempt(1, task=name * 64, at=at) for at, name in enumerate("abc", 1)}
ORDERS = list(permutations("ab"))


def of(task: str, dag: str = "dag") -> WorkflowEvent:
    return event(TASKS[task], workflow_id=dag)


def given(who: Attempt | None, dag: str = "dag", **changes: object) -> Request:
    return request(answer(who, {"same": "yes"}, workflow_id=dag, **changes))


async def both_ask(store: Store, clock: Clock, *dags: str) -> dict[str, Claim]:
    asked = {}
    for task, dag in zip("ab", dags, strict=True):
        asked[task] = await ask(store, request(of(task, dag)), "same")
        clock.advance(1)
    return asked


async def goes_on_with(store: Store, asked: Claim, sent: Request) -> None:
    assert await decision(store, sent) is Decision.ANSWER
    claim = await claim_one(store)
    assert (claim.correlation_id, claim.thread_id, claim.logical_run) == (
        sent.event.event_id,
        asked.thread_id,
        asked.logical_run,
    )
    await apply(store, claim, "same")
    await store.finish(claim, result(claim))


async def refusal_of(store: Store, sent: Request) -> str:
    assert await decision(store, sent) is Decision.REFUSED
    reply = (await replies(store))[sent.event.event_id]
    assert (reply.error_type, reply.retriable) == ("interrupt_not_pending", False)
    assert await store.claim("w1", 10, ["graph"]) == []
    return reply.error or ""


@pytest.mark.parametrize("order", ORDERS)
async def test_each_task_answers_its_own_question(store: Store, clock: Clock, order: tuple[str, ...]) -> None:
    asked = await both_ask(store, clock, "dag", "dag")
    for task in order:
        await goes_on_with(store, asked[task], given(TASKS[task]))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("who", [TASKS["c"], None], ids=["another task", "no task"])
async def test_within_one_dag_run_an_answer_says_which_request_it_answers(
    store: Store, clock: Clock, order: tuple[str, ...], who: Attempt | None
) -> None:
    asked = await both_ask(store, clock, "dag", "dag")
    for number, task in enumerate(order, 1):
        error = await refusal_of(store, given(who, event_id=uuid4()))
        assert "field 'answers[0]': interrupt 'same' was asked by several runs" in error
        assert "'answers_to'" in error
        await goes_on_with(store, asked[task], given(who, answers_to=asked[task].correlation_id, round=number))


@pytest.mark.parametrize("order", ORDERS)
async def test_the_dag_run_of_an_answer_names_the_run_that_asked(
    store: Store, clock: Clock, order: tuple[str, ...]
) -> None:
    dags = {"a": "one", "b": "two"}
    asked = await both_ask(store, clock, *dags.values())
    for task in order:
        await goes_on_with(store, asked[task], given(None, dags[task]))


@pytest.mark.parametrize("who", [TASKS["c"], None], ids=["a task", "no task"])
async def test_another_dag_answers_only_what_it_names(store: Store, clock: Clock, who: Attempt | None) -> None:
    asked = await ask(store, request(of("a")), "same")
    error = await refusal_of(store, given(who, "approvals", event_id=uuid4()))
    assert "field 'answers[0]': interrupt 'same' was asked, but not by DAG run 'run' of 'approvals'" in error
    assert "'answers_to'" in error
    await goes_on_with(store, asked, given(who, "approvals", answers_to=asked.correlation_id))


@pytest.mark.parametrize("who", [TASKS["c"], None], ids=["a task", "no task"])
async def test_a_late_answer_reaches_no_other_run(store: Store, clock: Clock, who: Attempt | None) -> None:
    asked = await both_ask(store, clock, "dag", "dag")
    await goes_on_with(store, asked["a"], given(TASKS["a"]))
    assert "several runs" in await refusal_of(store, given(who, event_id=uuid4()))
    late = given(who, answers_to=asked["a"].correlation_id)
    assert "was answered by ann" in await refusal_of(store, late)
    again = given(TASKS["a"], round=2, event_id=uuid4())
    assert await decision(store, again) is Decision.ANSWER  # a repeat of its own answer goes on with its own run
    assert (await claim_one(store)).thread_id == asked["a"].thread_id


async def test_a_task_whose_question_was_answered_answers_no_other(store: Store, clock: Clock) -> None:
    asked = await both_ask(store, clock, "dag", "dag")
    await goes_on_with(store, asked["a"], given(None, answers_to=asked["a"].correlation_id))
    assert "was answered by ann" in await refusal_of(store, given(TASKS["a"]))


async def test_a_request_that_asked_nothing_is_no_answer_s_address(store: Store, clock: Clock) -> None:
    await ask(store, request(of("a")), "same")
    for unknown in (uuid4(), of("b").event_id):
        error = await refusal_of(store, given(TASKS["a"], answers_to=unknown, event_id=uuid4()))
        assert f"field 'answers_to': request {unknown} asked no question by the id 'same'" in error


async def test_the_address_of_a_retry_that_was_asked_again_is_the_question_s(store: Store, clock: Clock) -> None:
    asked = await ask(store, request(of("a")), "same")
    retry = request(event(attempt(2, task="a" * 64, at=50)))
    clock.advance(1)
    assert await decision(store, retry) is Decision.ANSWERED
    await goes_on_with(store, asked, given(None, "approvals", answers_to=retry.event.event_id))


async def second_question(store: Store, clock: Clock) -> tuple[Claim, UUID]:
    asked = await ask(store, request(of("a")), "same")
    first = given(None, event_id=uuid4())
    await store.accept([first])
    claim = await claim_one(store)
    await apply(store, claim, "same")
    clock.advance(1)
    await interrupt(store, claim, "same")
    return asked, first.event.event_id


async def test_a_run_s_second_question_by_one_id_has_an_address_of_its_own(store: Store, clock: Clock) -> None:
    asked, second = await second_question(store, clock)
    late = given(None, "approvals", answers_to=asked.correlation_id, event_id=uuid4())
    assert "was answered by ann" in await refusal_of(store, late)
    await goes_on_with(store, asked, given(None, "approvals", answers_to=second))


async def test_the_address_of_another_deployment_s_question_is_no_key(store: Store, clock: Clock) -> None:
    asked = await ask(store, request(of("a")), "same")
    foreign = attempt(1, task="f" * 64, at=60, deployment="there")
    error = await refusal_of(store, given(foreign, answers_to=asked.correlation_id))
    assert "field 'attempt.deployment'" in error


async def test_a_retry_with_another_address_is_other_work(store: Store, clock: Clock) -> None:
    asked = await both_ask(store, clock, "one", "two")
    await goes_on_with(store, asked["a"], given(TASKS["c"], answers_to=asked["a"].correlation_id))
    retry = attempt(2, task="c" * 64, at=70)
    await goes_on_with(store, asked["b"], given(retry, answers_to=asked["b"].correlation_id))


async def test_on_a_shared_thread_a_repeated_answer_is_not_given_to_the_next_run(store: Store, clock: Clock) -> None:
    first, second = (request(event(TASKS[name], thread_id="talk")) for name in "ab")
    asked = await ask(store, first, "same")
    await store.accept([given(TASKS["c"], answers_to=asked.correlation_id)])
    failed = await claim_one(store)
    await store.finish(failed, result(failed, ResultStatus.FAILURE))
    await goes_on_with(store, asked, given(None, answers_to=asked.correlation_id))
    claim = await ask(store, second, "same")
    assert (claim.thread_id, claim.answered) == (asked.thread_id, frozenset())  # of its own questions, none
    retry = given(attempt(2, task="c" * 64, at=70), answers_to=asked.correlation_id)
    assert "was answered by ann" in await refusal_of(store, retry)
