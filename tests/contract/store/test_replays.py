"""Replays of dead letters: each is newer than its own origin, and leaves the other agents of the attempt alone.

Those of plain requests are in ``test_plain_replays.py``.
"""

from __future__ import annotations

import pytest

from langgraph_worker.domain.models import Claim, Decision, Request
from tests.support.run_store import (
    Store,
    answer,
    apply,
    attempt,
    claim_one,
    decision,
    event,
    holds,
    interrupt,
    replies,
    request,
    result,
)
from workflow_events.models import WorkflowEvent
from workflow_events.results import ResultStatus


def replay(number: int, agent: str = "a", try_number: int = 1) -> Request:
    """The n-th replay of what an agent asked."""
    return request(event(attempt(try_number, agent=agent, replay=number), event_id=event().event_id))


async def two_agents(store: Store) -> tuple[Claim, Claim]:
    """Agents a and b of one attempt; a has failed, b runs."""
    await store.accept([request(attempt(1, agent="a")), request(attempt(1, agent="b"))])
    a, b = await store.claim("w1", 10, ["graph"])
    await store.finish(a, result(a, ResultStatus.FAILURE))
    return a, b


async def test_a_replay_ends_no_other_agent_of_its_attempt(store: Store) -> None:
    a, b = await two_agents(store)
    again = replay(1)
    assert await decision(store, again) is Decision.RESUMED
    assert await holds(store, b.lease)
    claim = await claim_one(store)
    assert (claim.correlation_id, claim.logical_run) == (again.event.event_id, a.logical_run)
    assert await store.finish(b, result(b))
    assert await store.finish(claim, result(claim))


@pytest.mark.parametrize("of", ["b", "c"], ids=["that was seen", "that is new"])
async def test_another_agent_of_the_attempt_is_not_late_after_a_replay(store: Store, of: str) -> None:
    _, b = await two_agents(store)
    await interrupt(store, b, "i1")
    await store.accept([replay(1)])
    if of == "c":
        assert await decision(store, request(attempt(1, agent="c"))) is Decision.FRESH
        return
    sent: WorkflowEvent = answer(b.event.attempt, {"i1": "yes"})
    assert await decision(store, request(sent)) is Decision.ANSWER


async def test_replays_of_several_agents_run_beside_each_other(store: Store) -> None:
    _, b = await two_agents(store)
    await store.finish(b, result(b, ResultStatus.FAILURE))
    batch = [replay(2, "a"), replay(1, "b")]
    assert [one.decision for one in await store.accept(batch)] == [Decision.RESUMED] * 2
    claims = await store.claim("w1", 10, ["graph"])
    assert {claim.correlation_id for claim in claims} == {one.event.event_id for one in batch}


async def test_a_replay_ends_the_replay_before_it(store: Store) -> None:
    _, b = await two_agents(store)
    first, second = replay(1), replay(2)
    await store.accept([first])
    running = await claim_one(store)
    assert await decision(store, second) is Decision.RESUMED
    assert not await holds(store, running.lease)
    assert await holds(store, b.lease)
    reply = (await replies(store))[first.event.event_id]
    assert (reply.error_type, "replay 2" in (reply.error or "")) == ("superseded", True)


async def test_a_replay_ends_an_answer_of_its_origin_to_another_run(store: Store) -> None:
    other = attempt(1, task="o" * 64, at=9)
    await store.accept([request(attempt(1, agent="a"))])
    await interrupt(store, await claim_one(store), "i1")
    await store.accept([request(answer(other, {"i1": "yes"}))])
    old = await claim_one(store)
    again = answer(other.model_copy(update={"replay": 1}), {"i1": "yes"}, event_id=event().event_id)
    assert await decision(store, request(again)) is Decision.ANSWER
    assert not await holds(store, old.lease)
    await store.release(old)
    claim = await claim_one(store)
    assert (claim.correlation_id, claim.answers) == (again.event_id, {"i1": "yes"})
    await apply(store, claim, "i1")


async def test_an_earlier_replay_that_comes_later_is_late(store: Store) -> None:
    await two_agents(store)
    first, second = replay(1), replay(2)
    assert [one.decision for one in await store.accept([second, first])] == [Decision.RESUMED, Decision.LATE]
    reply = (await replies(store))[first.event.event_id]
    assert (reply.error_type, reply.retriable, "replay 2" in (reply.error or "")) == ("superseded", True, True)
    answered = answer(attempt(1, agent="a"), {"i1": "yes"})
    assert await decision(store, request(answered)) is Decision.LATE


async def test_a_later_attempt_ends_replays_and_makes_them_late(store: Store) -> None:
    await two_agents(store)
    first = replay(1)
    await store.accept([first, request(attempt(2, agent="b"))])
    assert (await replies(store))[first.event.event_id].error_type == "superseded"
    assert await decision(store, replay(2)) is Decision.LATE


async def test_a_replay_of_a_letter_that_a_later_attempt_left_behind_never_runs(store: Store) -> None:
    """The task was retried, or cleared, after its request was dead-lettered: the live attempt keeps its run."""
    _, _ = await two_agents(store)
    live = request(attempt(2, agent="a"))
    await store.accept([live])
    running = await claim_one(store)
    late = replay(1)
    assert await decision(store, late) is Decision.LATE
    assert await holds(store, running.lease)
    reply = (await replies(store))[late.event.event_id]
    assert (reply.status, reply.error_type, reply.retriable) == (ResultStatus.CANCELLED, "superseded", True)
    assert await store.claim("w2", 10, ["graph"]) == []


async def test_a_replay_of_what_only_an_announced_attempt_left_behind_never_runs(store: Store) -> None:
    await two_agents(store)
    await store.supersede([attempt(2, agent="a")])
    late = replay(1)
    assert await decision(store, late) is Decision.LATE
    assert (await replies(store))[late.event.event_id].error_type == "superseded"


async def test_a_replay_of_what_has_succeeded_meanwhile_is_answered_from_the_store(store: Store) -> None:
    await two_agents(store)
    await store.accept([replay(1)])
    claim = await claim_one(store)
    await store.finish(claim, result(claim))
    again = replay(2)
    assert await decision(store, again) is Decision.ANSWERED
    assert (await replies(store))[again.event.event_id].result == {"answer": 42}


async def test_an_announced_replay_ends_nobody(store: Store) -> None:
    _, b = await two_agents(store)
    assert await store.supersede([attempt(1, agent="a", replay=1)]) == 0
    assert await holds(store, b.lease)
