"""Answers from their acceptance to the checkpoint that holds them: given once, whatever happens in between."""

from __future__ import annotations

import pytest

from langgraph_worker.domain.models import Claim, Decision, Request, RunStatus
from langgraph_worker.store.sql.run_writes import PutCheckpoint
from tests.support.run_store import (
    LEASE,
    Backend,
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
from workflow_events.models import RunConfig
from workflow_events.results import Interrupt, ResultStatus

OTHER = attempt(1, task="o" * 64, at=9)
THIRD = attempt(1, task="p" * 64, at=10)


async def answering(store: Store, sent: Request) -> Claim:
    """Accept and claim an answer."""
    assert await decision(store, sent) is Decision.ANSWER
    claim = await claim_one(store)
    assert claim.correlation_id == sent.event.event_id
    return claim


async def ends_refused(store: Store, sent: Request) -> None:
    """An accepted answer is no longer claimed: it ends refused, with the reason."""
    assert await store.claim("w1", 10, ["graph"]) == []
    back = (await replies(store))[sent.event.event_id]
    assert (back.status, back.error_type, back.retriable) == (ResultStatus.ERROR, "interrupt_not_pending", False)
    assert "answers[0]" in (back.error or "")
    assert "'i1'" in (back.error or "")


async def test_the_store_names_the_graph_of_an_answer(store: Store) -> None:
    """A plain answer names none; a repeat of it is known by then."""
    await ask(store, request(), "i1")
    sent = request(answer(None, {"i1": "yes"}), graph="")
    for decided in (Decision.ANSWER, Decision.DUPLICATE):
        [accepted] = await store.accept([sent])
        assert (accepted.decision, accepted.graph) == (decided, "graph")


@pytest.mark.parametrize("how", ["vanished", "released", "killed"])
async def test_an_answer_is_pending_until_a_checkpoint_holds_it(
    backend: Backend, store: Store, clock: Clock, how: str
) -> None:
    await ask(store, request(attempt(1)), "i1")
    claim = await answering(store, request(answer(attempt(1), {"i1": "yes"})))
    assert await store.put_checkpoint(PutCheckpoint(claim, []))  # one that holds no answer
    match how:
        case "vanished":
            clock.advance(LEASE)
        case "released":
            await store.release(claim)
        case "killed":
            await store.close()
            store = await backend.open()
            backend.forget_owners()
    again = await claim_one(store)
    assert (again.correlation_id, again.attempts) == (claim.correlation_id, 2)
    assert (again.answers, again.answered) == ({"i1": "yes"}, frozenset())


@pytest.mark.parametrize("how", ["vanished", "released"])
async def test_an_answer_that_a_checkpoint_holds_is_not_given_again(store: Store, clock: Clock, how: str) -> None:
    await ask(store, request(attempt(1)), "i1")
    claim = await answering(store, request(answer(attempt(1), {"i1": "yes"})))
    await apply(store, claim, "i1")
    if how == "vanished":
        clock.advance(LEASE)
    else:
        await store.release(claim)
    again = await claim_one(store)
    assert again.correlation_id == claim.correlation_id
    assert (again.answers, again.answered) == ({}, frozenset({"i1"}))


async def test_a_stale_owner_gives_no_answer(store: Store, clock: Clock) -> None:
    await ask(store, request(attempt(1)), "i1")
    old = await answering(store, request(answer(attempt(1), {"i1": "yes"})))
    clock.advance(LEASE)
    new = await claim_one(store, "w2")
    assert not await store.put_checkpoint(PutCheckpoint(old, [], answers=["i1"]))
    await store.release(new)
    assert (await claim_one(store)).answers == {"i1": "yes"}


async def test_a_checkpoint_holds_only_what_its_request_answers(store: Store) -> None:
    await ask(store, request(attempt(1)), "i1", "i2")
    claim = await answering(store, request(answer(attempt(1), {"i1": "yes"})))
    await apply(store, claim, "i1", "i2")
    await store.release(claim)
    assert (await claim_one(store)).answered == frozenset({"i1"})
    assert await decision(store, request(answer(OTHER, {"i2": 1}))) is Decision.ANSWER


async def test_of_two_answers_in_one_request_each_is_given_once(store: Store) -> None:
    await ask(store, request(attempt(1)), "i1", "i2")
    claim = await answering(store, request(answer(attempt(1), {"i1": 1, "i2": None})))
    assert claim.answers == {"i1": 1, "i2": None}
    await apply(store, claim, "i1")
    await store.release(claim)
    again = await claim_one(store)
    assert (again.answers, again.answered) == ({"i2": None}, frozenset({"i1"}))
    await apply(store, again, "i2")
    await store.release(again)
    assert (await claim_one(store)).answered == frozenset({"i1", "i2"})


async def test_what_a_partial_answer_leaves_is_asked_again(store: Store) -> None:
    await ask(store, request(attempt(1)), "i1", "i2")
    claim = await answering(store, request(answer(attempt(1), {"i1": 1})))
    assert claim.answers == {"i1": 1}
    await apply(store, claim, "i1")
    await interrupt(store, claim, "i2")
    assert await decision(store, request(answer(OTHER, {"i1": 1}))) is Decision.REFUSED
    rest = await answering(store, request(answer(attempt(1), {"i2": 2}, round=2)))
    assert (rest.answers, rest.answered) == ({"i2": 2}, frozenset({"i1"}))
    assert rest.logical_run == claim.logical_run


async def test_what_is_not_asked_again_is_not_pending(store: Store) -> None:
    await ask(store, request(attempt(1)), "i1", "i2")
    claim = await answering(store, request(answer(attempt(1), {"i1": 1})))
    await apply(store, claim, "i1")
    await interrupt(store, claim, "i3")
    assert await decision(store, request(answer(OTHER, {"i2": 1}))) is Decision.REFUSED
    assert await decision(store, request(answer(THIRD, {"i3": 1}))) is Decision.ANSWER


async def test_a_question_that_is_asked_again_by_its_id_is_pending_again(store: Store, clock: Clock) -> None:
    """LangGraph names a node's second question as its first."""
    await ask(store, request(attempt(1)), "i1")
    claim = await answering(store, request(answer(attempt(1), {"i1": "first"})))
    await apply(store, claim, "i1")
    clock.advance(1)
    await interrupt(store, claim, "i1")
    assert await decision(store, request(attempt(2))) is Decision.ANSWERED
    second = await answering(store, request(answer(attempt(2), {"i1": "second"})))
    assert (second.answers, second.answered) == ({"i1": "second"}, frozenset())
    await apply(store, second, "i1")
    await store.release(second)
    assert (await claim_one(store)).answered == frozenset({"i1"})


async def test_a_retry_is_asked_what_is_pending_now_whoever_answered_before(store: Store) -> None:
    await ask(store, request(attempt(1)), "i1")
    claim = await answering(store, request(answer(OTHER, {"i1": 1})))
    await apply(store, claim, "i1")
    await interrupt(store, claim, "i2")
    retry = request(event(attempt(2), workflow_id="renamed"))
    assert await decision(store, retry) is Decision.ANSWERED
    reply = (await replies(store))[retry.event.event_id]
    assert (reply.status, reply.workflow_id) == (ResultStatus.INTERRUPTED, "renamed")
    assert [one.id for one in reply.interrupts] == ["i2"]


async def test_a_repeat_of_its_own_answer_goes_on_without_giving_it_again(store: Store) -> None:
    await ask(store, request(attempt(1)), "i1")
    claim = await answering(store, request(answer(OTHER, {"i1": "yes"})))
    await apply(store, claim, "i1")
    await store.finish(claim, result(claim, ResultStatus.FAILURE))
    retried = attempt(2, task=OTHER.task, at=20)
    assert await decision(store, request(answer(THIRD, {"i1": "yes"}))) is Decision.REFUSED
    other_value = request(answer(OTHER, {"i1": "no"}, event_id=event().event_id))
    assert await decision(store, other_value) is Decision.REFUSED
    again = await answering(store, request(answer(retried, {"i1": "yes"})))
    assert (again.logical_run, again.resumes) == (claim.logical_run, True)
    assert (again.answers, again.answered) == ({}, frozenset({"i1"}))


async def test_a_retry_of_an_answer_that_led_to_success_is_answered_from_the_store(store: Store) -> None:
    await ask(store, request(attempt(1)), "i1")
    claim = await answering(store, request(answer(OTHER, {"i1": "yes"})))
    await apply(store, claim, "i1")
    await store.finish(claim, result(claim, value={"done": True}))
    retry = request(answer(attempt(2, task=OTHER.task, at=20), {"i1": "yes"}))
    assert await decision(store, retry) is Decision.ANSWERED
    assert (await replies(store))[retry.event.event_id].result == {"done": True}


async def test_a_retry_of_the_asking_task_after_its_answer_resumes(store: Store) -> None:
    await ask(store, request(attempt(1)), "i1")
    claim = await answering(store, request(answer(attempt(1), {"i1": "yes"})))
    await apply(store, claim, "i1")
    await store.finish(claim, result(claim, ResultStatus.FAILURE))
    assert await decision(store, request(attempt(2))) is Decision.RESUMED
    again = await claim_one(store)
    assert (again.logical_run, again.answers, again.answered) == (claim.logical_run, {}, frozenset({"i1"}))


async def test_a_question_survives_an_answer_that_fails_before_it_is_given(store: Store) -> None:
    await ask(store, request(attempt(1)), "i1")
    claim = await answering(store, request(answer(OTHER, {"i1": "yes"})))
    await store.finish(claim, result(claim, ResultStatus.FAILURE))
    assert await decision(store, request(answer(THIRD, {"i1": "no"}))) is Decision.ANSWER


async def test_a_newer_attempt_ends_its_own_waiting_answer_and_the_question_stays(store: Store) -> None:
    await ask(store, request(attempt(1)), "i1")
    sent = request(answer(attempt(1), {"i1": "yes"}))
    await store.accept([sent])
    assert await decision(store, request(attempt(2))) is Decision.RESUMED
    assert (await replies(store))[sent.event.event_id].error_type == "superseded"
    claim = await claim_one(store)
    assert claim.answers == {}
    await interrupt(store, claim, "i1")
    assert await decision(store, request(answer(attempt(2), {"i1": "no"}))) is Decision.ANSWER


async def test_an_accepted_answer_that_a_clear_leaves_behind_ends_with_its_claim(store: Store) -> None:
    await ask(store, request(attempt(1)), "i1")
    sent = request(answer(OTHER, {"i1": "yes"}))
    assert await decision(store, sent) is Decision.ANSWER
    assert await decision(store, request(attempt(2, max_tries=4))) is Decision.FRESH
    claim = await claim_one(store)
    assert claim.event.attempt == attempt(2, max_tries=4)
    await ends_refused(store, sent)
    assert (await store.counts())[RunStatus.FAILED] == 1


async def test_of_two_accepted_answers_the_second_ends_with_its_claim(store: Store) -> None:
    await ask(store, request(attempt(1)), "i1")
    first, second = request(answer(OTHER, {"i1": "yes"})), request(answer(THIRD, {"i1": "no"}))
    assert [one.decision for one in await store.accept([first, second])] == [Decision.ANSWER] * 2
    claim = await claim_one(store)
    assert claim.correlation_id == first.event.event_id
    await apply(store, claim, "i1")
    await store.finish(claim, result(claim))
    await ends_refused(store, second)
    queued = request(event())
    await store.accept([queued])
    assert (await claim_one(store)).correlation_id == queued.event.event_id


async def test_the_same_answer_twice_of_one_lineage_is_given_once(store: Store) -> None:
    await ask(store, request(attempt(1)), "i1")
    first = request(answer(OTHER, {"i1": "yes"}))
    again = request(answer(OTHER, {"i1": "yes"}, event_id=event().event_id))
    assert [one.decision for one in await store.accept([first, again])] == [Decision.ANSWER] * 2
    claim = await claim_one(store)
    await apply(store, claim, "i1")
    await store.finish(claim, result(claim))
    repeat = await claim_one(store)
    assert repeat.correlation_id == again.event.event_id
    assert (repeat.answers, repeat.answered) == ({}, frozenset({"i1"}))


async def test_an_input_with_the_names_of_answers_is_other_work_than_these(store: Store) -> None:
    await ask(store, request(attempt(1)), "i1")
    claim = await answering(store, request(answer(OTHER, {"i1": "yes"})))
    await store.finish(claim, result(claim, ResultStatus.FAILURE))
    asked = request(event(attempt(2, task=OTHER.task, at=20), data={"i1": "yes"}))
    assert await decision(store, asked) is Decision.FRESH
    assert (await claim_one(store)).logical_run != claim.logical_run


async def test_an_answer_runs_with_what_the_request_that_asked_had_chosen(store: Store) -> None:
    config = RunConfig(model="m", configurable={"depth": 2}, interrupt_before=["b"], tags=["nightly"])
    chosen = {"context": {"user": "ann"}, "assistant": "night", "config": config}
    await ask(store, request(event(attempt(1)).model_copy(update=chosen)), "i1")

    first = await answering(store, request(answer(attempt(1), {"i1": "yes"})))
    assert (first.event.context, first.event.assistant, first.event.config) == ({"user": "ann"}, "night", config)
    await store.finish(first, result(first, ResultStatus.INTERRUPTED, interrupts=[Interrupt(id="i2")]))

    own = {"context": {"user": "bob"}, "config": RunConfig(tags=["urgent"], recursion_limit=5)}
    second = await answering(store, request(answer(attempt(1), {"i2": "yes"}, round=2).model_copy(update=own)))
    assert (second.event.context, second.event.assistant) == ({"user": "bob"}, None)
    assert second.event.config == RunConfig(tags=["urgent"], recursion_limit=5, interrupt_before=["b"])
