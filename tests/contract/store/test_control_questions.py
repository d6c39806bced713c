"""Cancels of who asks, of who was asked again, and of who answers."""

from __future__ import annotations

import pytest

from langgraph_worker.domain.models import Cancelled, Decision
from tests.support.run_store import (
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
)
from tests.support.steering import OTHER, cancel, is_cancelled, take
from workflow_events.results import ResultStatus


async def test_a_question_is_withdrawn_and_its_thread_free_for_others(store: Store) -> None:
    first, second = event(attempt(1), thread_id="talk"), event(OTHER, thread_id="talk")
    await ask(store, request(first), "i1", "i2")
    await take(store, second)
    assert await store.claim("w1", 10, ["graph"]) == []
    assert await cancel(store, first.event_id) == [Cancelled.WITHDRAWN]
    assert (await claim_one(store)).correlation_id == second.event_id
    assert (await replies(store))[first.event_id].status is ResultStatus.INTERRUPTED
    assert await take(store, answer(None, {"i1": 1})) == [Decision.REFUSED]
    assert await cancel(store, first.event_id) == [Cancelled.TOO_LATE]


async def test_who_comes_back_after_a_withdrawal_is_asked_anew(store: Store) -> None:
    asked = await ask(store, request(attempt(1)), "i1")
    await cancel(store, asked.correlation_id)
    assert await take(store, attempt(2)) == [Decision.RESUMED]
    claim = await claim_one(store)
    assert claim.logical_run == asked.logical_run
    await interrupt(store, claim, "i1")
    assert await take(store, answer(attempt(2), {"i1": 1})) == [Decision.ANSWER]


async def test_a_question_that_was_answered_is_not_withdrawn(store: Store) -> None:
    asked = await ask(store, request(attempt(1)), "i1")
    await take(store, answer(attempt(1), {"i1": 1}))
    claim = await claim_one(store)
    assert await cancel(store, asked.correlation_id) == [Cancelled.TOO_LATE]  # its answer is under way
    await apply(store, claim, "i1")
    assert await cancel(store, asked.correlation_id) == [Cancelled.TOO_LATE]
    await interrupt(store, claim, "i2")
    assert await cancel(store, asked.correlation_id) == [Cancelled.TOO_LATE]
    assert await cancel(store, claim.correlation_id) == [Cancelled.WITHDRAWN]


async def test_what_somebody_elses_answer_made_it_ask_is_withdrawn_with_that(store: Store, clock: Clock) -> None:
    asked = await ask(store, request(attempt(1)), "i1")
    clock.advance(1)
    sent = answer(OTHER, {"i1": 1})
    await take(store, sent)
    claim = await claim_one(store)
    await apply(store, claim, "i1")
    await interrupt(store, claim, "i2")
    assert await cancel(store, asked.correlation_id, sent.event_id) == [Cancelled.TOO_LATE, Cancelled.WITHDRAWN]
    assert await take(store, answer(None, {"i2": 1})) == [Decision.REFUSED]


async def test_a_retry_that_was_asked_the_same_withdraws_it_and_the_older_one_does_not(
    store: Store, clock: Clock
) -> None:
    asked = await ask(store, request(attempt(1)), "i1")
    clock.advance(1)
    second = event(attempt(2))
    assert await take(store, second) == [Decision.ANSWERED]
    # A cancel of the older attempt that comes late: the newer one waits for a person.
    assert await cancel(store, asked.correlation_id) == [Cancelled.TOO_LATE]
    assert await cancel(store, second.event_id) == [Cancelled.WITHDRAWN]
    assert await take(store, answer(attempt(2), {"i1": 1})) == [Decision.REFUSED]


async def test_a_retry_that_was_cancelled_before_it_came_withdraws_what_it_would_be_asked(store: Store) -> None:
    first, second = event(attempt(1), thread_id="talk"), event(attempt(2), thread_id="talk")
    await ask(store, request(first), "i1")
    await take(store, event(OTHER, thread_id="talk"))
    await cancel(store, second.event_id)
    assert await take(store, second, answer(None, {"i1": 1})) == [Decision.CANCELLED, Decision.REFUSED]
    await is_cancelled(store, second.event_id)
    assert (await claim_one(store)).event.attempt == OTHER


@pytest.mark.parametrize("first", [True, False], ids=["before it comes", "while it waits"])
async def test_a_cancelled_answer_answers_nothing(store: Store, first: bool) -> None:
    await ask(store, request(attempt(1)), "i1")
    sent = answer(attempt(1), {"i1": 1})
    if first:
        await cancel(store, sent.event_id)
        assert await take(store, sent) == [Decision.CANCELLED]
    else:
        await take(store, sent)
        assert await cancel(store, sent.event_id) == [Cancelled.ENDED]
    await is_cancelled(store, sent.event_id)
    assert await store.claim("w1", 10, ["graph"]) == []
    assert await take(store, answer(None, {"i1": 2})) == [Decision.ANSWER]


async def test_a_refused_answer_stays_refused(store: Store) -> None:
    sent = answer(None, {"i1": 1})
    await cancel(store, sent.event_id)
    assert await take(store, sent) == [Decision.REFUSED]
