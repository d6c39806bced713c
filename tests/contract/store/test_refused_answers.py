"""The reason of a refused answer: who gave the first one, and what can be answered instead."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from langgraph_worker.domain.models import Claim, Decision
from tests.support.run_store import (
    Clock,
    Store,
    answer,
    apply,
    ask,
    attempt,
    claim_one,
    interrupt,
    replies,
    request,
    result,
)
from workflow_events.models import WorkflowEvent

OTHER = attempt(1, task="o" * 64, at=9)
FOREIGN = OTHER.model_copy(update={"deployment": "another"})


def plain(asked: Claim, name: str = "i1", by: str | None = "bob", value: str = "no") -> WorkflowEvent:
    """An answer of a person, by an event of its own."""
    return answer(None, {name: value}, by=by, answers_to=asked.correlation_id, event_id=uuid4())


async def reason(store: Store, sent: WorkflowEvent) -> str:
    """Why an answer is refused, and answered so."""
    [accepted] = await store.accept([request(sent)])
    assert accepted.decision is Decision.REFUSED
    assert (await replies(store))[sent.event_id].error == accepted.detail
    return accepted.detail


def short(request_id: UUID) -> str:
    return str(request_id)[:8]


async def answered(store: Store, clock: Clock, by: str | None = "ann") -> tuple[Claim, Claim]:
    """A run asks ``i1``, and is answered a minute later: both requests."""
    asked = await ask(store, request(attempt(1)), "i1")
    clock.advance(60)
    await store.accept([request(plain(asked, by=by, value="yes"))])
    claim = await claim_one(store)
    await apply(store, claim, "i1")
    return asked, claim


@pytest.mark.parametrize(("by", "named"), [("ann", " by ann"), (None, "")])
async def test_it_says_who_answered_first_and_when_and_in_which_request(
    store: Store, clock: Clock, by: str | None, named: str
) -> None:
    asked, first = await answered(store, clock, by)
    at = clock.now.isoformat(timespec="seconds")
    clock.advance(60)
    assert await reason(store, plain(asked)) == (
        f"field 'answers[0]': interrupt 'i1' was answered{named} at {at} in request {short(first.correlation_id)}"
    )


async def test_it_names_what_the_run_asks_now(store: Store, clock: Clock) -> None:
    asked, first = await answered(store, clock)
    await interrupt(store, first, "i2", "i3")
    said = await reason(store, plain(asked))
    assert "interrupt 'i1' was answered by ann at " in said
    assert said.endswith(
        f". Its task asks 'i2' (answers_to {first.correlation_id}), 'i3' (answers_to {first.correlation_id}) now: "
        "answer that"
    )
    sent = answer(None, {"i2": 1, "i3": 2}, answers_to=first.correlation_id, event_id=uuid4())
    [accepted] = await store.accept([request(sent)])
    assert accepted.decision is Decision.ANSWER


async def test_of_many_questions_five_are_named(store: Store, clock: Clock) -> None:
    asked, first = await answered(store, clock)
    await interrupt(store, first, *(f"n{number}" for number in range(7)))
    said = await reason(store, plain(asked))
    assert "'n4' (answers_to " in said
    assert "'n5'" not in said
    assert said.endswith(" and 2 more now: answer that")


async def test_it_names_what_a_cleared_task_asks_now(store: Store) -> None:
    asked = await ask(store, request(attempt(1)), "i1")
    again = await ask(store, request(attempt(2, max_tries=4)), "i2")
    said = await reason(store, plain(asked))
    assert "interrupt 'i1' is not asked any more: its task was started afresh" in said
    assert said.endswith(f". Its task asks 'i2' (answers_to {again.correlation_id}) now: answer that")


async def test_a_clear_in_the_same_batch_leaves_nothing_to_name(store: Store) -> None:
    asked = await ask(store, request(attempt(1)), "i1")
    late = plain(asked)
    _, accepted = await store.accept([request(attempt(2, max_tries=4)), request(late)])
    assert accepted.decision is Decision.REFUSED
    assert "is not asked any more" in accepted.detail
    assert "answer that" not in accepted.detail


async def test_an_id_that_its_run_never_asked_is_told_those_that_it_asks(store: Store) -> None:
    asked = await ask(store, request(attempt(1)), "i1")
    said = await reason(store, plain(asked, "i0"))
    assert said == (
        "field 'answers[0]': interrupt 'i0' is not known: nothing asked it, or its run was pruned. Its task asks 'i1' "
        f"(answers_to {asked.correlation_id}) now: answer that"
    )


async def test_an_answer_that_waited_behind_the_first_is_told_when_it_would_start(store: Store, clock: Clock) -> None:
    """Both were accepted while the question was open; the first one is applied, and its run asks again."""
    asked = await ask(store, request(attempt(1)), "i1")
    first, second = plain(asked, by="ann", value="yes"), plain(asked)
    await store.accept([request(first), request(second)])
    claim = await claim_one(store)
    clock.advance(5)
    await apply(store, claim, "i1")
    at = clock.now.isoformat(timespec="seconds")
    await interrupt(store, claim, "i2")
    assert await store.claim("w1", 10, ["graph"]) == []
    assert (await replies(store))[second.event_id].error == (
        f"field 'answers[0]': interrupt 'i1' was answered by ann at {at} in request {short(first.event_id)}. "
        f"Its task asks 'i2' (answers_to {first.event_id}) now: answer that"
    )


async def test_another_deployment_learns_neither_who_answered_nor_what_is_asked(store: Store, clock: Clock) -> None:
    asked, first = await answered(store, clock)
    await interrupt(store, first, "i2")
    said = await reason(store, answer(FOREIGN, {"i1": "no"}, answers_to=asked.correlation_id))
    assert said.startswith("field 'attempt.deployment': interrupt 'i1' is")
    assert "ann" not in said
    assert "i2" not in said


async def test_what_ended_without_a_further_question_names_none(store: Store, clock: Clock) -> None:
    asked, first = await answered(store, clock)
    assert await store.finish(first, result(first))
    assert "answer that" not in await reason(store, plain(asked))
