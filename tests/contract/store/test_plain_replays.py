"""Replays of dead letters whose requests name no task: each request has a lineage, which its replays go on with."""

from __future__ import annotations

from typing import Any

import pytest

from langgraph_worker.domain.models import Claim, Decision, Request
from tests.support.run_store import (
    Store,
    answer,
    apply,
    ask,
    attempt,
    claim_one,
    decision,
    event,
    holds,
    replies,
    request,
    result,
)
from workflow_events.identity import replay_id
from workflow_events.models import Replay, WorkflowEvent
from workflow_events.results import ResultStatus


def replay(of: WorkflowEvent, number: int = 1, **changes: Any) -> Request:
    """The n-th replay of what a plain request asked."""
    own = {"event_id": replay_id(of.event_id, number), "replay": Replay(of=of.event_id, number=number)}
    return request(of.model_copy(update={**own, **changes}))


async def lost(store: Store, what: WorkflowEvent) -> Claim:
    """Accept a request, run it, and end it as failed."""
    await store.accept([request(what)])
    claim = await claim_one(store)
    await store.finish(claim, result(claim, ResultStatus.FAILURE))
    return claim


@pytest.mark.parametrize("thread", [None, "talk"], ids=["of its own", "shared"])
async def test_a_replay_goes_on_with_the_run_and_the_thread(store: Store, thread: str | None) -> None:
    origin = event(thread_id=thread)
    before = await lost(store, origin)
    again = replay(origin)
    assert await decision(store, again) is Decision.RESUMED
    claim = await claim_one(store)
    assert (claim.correlation_id, claim.logical_run, claim.thread_id, claim.resumes) == (
        again.event.event_id,
        before.logical_run,
        before.thread_id,
        True,
    )


async def test_two_who_replay_at_once_send_one_request(store: Store) -> None:
    origin = event()
    await lost(store, origin)
    found = await store.accept([replay(origin), replay(origin)])
    assert [one.decision for one in found] == [Decision.RESUMED, Decision.DUPLICATE]
    await claim_one(store)


async def test_a_replay_of_what_was_never_accepted_starts_from_its_input(store: Store) -> None:
    assert await decision(store, replay(event())) is Decision.FRESH


async def test_a_replay_with_other_input_starts_from_it(store: Store) -> None:
    origin = event()
    before = await lost(store, origin)
    again = replay(origin, payload=event(data={"ask": 2}).payload)
    assert await decision(store, again) is Decision.FRESH
    assert (await claim_one(store)).thread_id != before.thread_id


async def test_a_replay_ends_the_replay_before_it_and_no_other_plain_request(store: Store) -> None:
    origin, other = event(), event()
    await lost(store, origin)
    first, second = replay(origin), replay(origin, 2)
    await store.accept([first, request(other)])
    running = {claim.correlation_id: claim for claim in await store.claim("w1", 10, ["graph"])}
    assert await decision(store, second) is Decision.RESUMED
    assert not await holds(store, running[first.event.event_id].lease)
    assert await holds(store, running[other.event_id].lease)
    reply = (await replies(store))[first.event.event_id]
    assert (reply.status, reply.error_type) == (ResultStatus.CANCELLED, "superseded")
    assert "replay 2" in (reply.error or "")


async def test_an_earlier_replay_that_comes_later_is_late(store: Store) -> None:
    origin = event()
    await lost(store, origin)
    first, second = replay(origin), replay(origin, 2)
    assert [one.decision for one in await store.accept([second, first])] == [Decision.RESUMED, Decision.LATE]
    reply = (await replies(store))[first.event.event_id]
    assert (reply.error_type, reply.retriable, "replay 2" in (reply.error or "")) == ("superseded", True, True)
    assert (await claim_one(store)).correlation_id == second.event.event_id


async def test_a_replay_of_what_has_succeeded_meanwhile_is_answered_from_the_store(store: Store) -> None:
    origin = event()
    await lost(store, origin)
    await store.accept([replay(origin)])
    claim = await claim_one(store)
    await store.finish(claim, result(claim))
    again = replay(origin, 2)
    assert await decision(store, again) is Decision.ANSWERED
    assert (await replies(store))[again.event.event_id].result == {"answer": 42}


async def test_a_replayed_answer_answers_the_question_that_it_was_given_to(store: Store) -> None:
    asked = await ask(store, request(event()), "i1")
    origin = answer(None, {"i1": "yes"})
    before = await lost(store, origin)
    again = replay(origin)
    assert await decision(store, again) is Decision.ANSWER
    claim = await claim_one(store)
    assert (claim.correlation_id, claim.answers, claim.thread_id) == (
        again.event.event_id,
        {"i1": "yes"},
        asked.thread_id,
    )
    assert claim.logical_run == before.logical_run == asked.logical_run
    await apply(store, claim, "i1")


async def test_a_replayed_answer_whose_question_is_gone_is_refused_and_the_batch_goes_on(store: Store) -> None:
    gone, other = answer(None, {"i9": "yes"}), event()
    await lost(store, other)
    refused = replay(gone)
    found = await store.accept([refused, replay(other)])
    assert [one.decision for one in found] == [Decision.REFUSED, Decision.RESUMED]
    reply = (await replies(store))[refused.event.event_id]
    assert (reply.status, reply.error_type) == (ResultStatus.ERROR, "interrupt_not_pending")


async def test_a_plain_replay_never_reaches_the_run_of_a_task(store: Store) -> None:
    """The lineages of tasks have other keys: a message that names a task's request in ``replay`` gets none of it."""
    origin = event(attempt(1))
    before = await lost(store, origin)
    foreign = request(event(replay=Replay(of=origin.event_id, number=1)))
    assert await decision(store, foreign) is Decision.FRESH
    assert (await claim_one(store)).thread_id != before.thread_id
