"""Runs that go on while their task starts from the beginning: an answer of another task continues what a clear left."""

from __future__ import annotations

import pytest

from langgraph_worker.domain.models import Claim, Decision, Request
from langgraph_worker.store.migrations.schema import interrupts
from tests.support.run_store import (
    Backend,
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
from workflow_events.results import ResultStatus

OTHER = attempt(1, task="o" * 64, at=9)
CLEARED = attempt(2, max_tries=4)
REFUSED = "interrupt_not_pending"


async def left(store: Store, thread: str | None = None) -> tuple[Claim, Request]:
    """A run of a left generation, which another task's answer continues, and the request that left it."""
    await ask(store, request(event(attempt(1), thread_id=thread)), "i1")
    await store.accept([request(answer(OTHER, {"i1": "yes"}))])
    old = await claim_one(store)
    await apply(store, old, "i1")
    fresh = request(event(CLEARED, thread_id=thread))
    assert await decision(store, fresh) is Decision.FRESH
    return old, fresh


@pytest.mark.parametrize("thread", [None, "talk"], ids=["its own thread", "a shared thread"])
async def test_a_run_of_a_left_generation_asks_nothing(backend: Backend, store: Store, thread: str | None) -> None:
    old, _ = await left(store, thread)
    await interrupt(store, old, "i2")
    reply = (await replies(store))[old.correlation_id]
    assert (reply.status, reply.error_type, reply.retriable) == (ResultStatus.ERROR, REFUSED, False)
    assert (reply.interrupts, reply.result, reply.worker_id) == ([], None, "w1")
    assert [row["interrupt_id"] for row in backend.rows(interrupts)] == ["i1"]
    assert await decision(store, request(answer(None, {"i2": 1}))) is Decision.REFUSED


async def test_what_a_left_generation_would_ask_holds_nobody_up(store: Store) -> None:
    old, _ = await left(store, "talk")
    waits = request(event(attempt(1, task="n" * 64, at=10), thread_id="talk"))
    await store.accept([waits])
    await interrupt(store, old, "i2")
    new = await claim_one(store)
    assert new.event.attempt == CLEARED
    await store.finish(new, result(new, ResultStatus.FAILURE))
    assert (await claim_one(store)).correlation_id == waits.event.event_id


async def test_the_next_try_is_not_answered_with_what_the_old_input_gave(store: Store) -> None:
    old, _ = await left(store)
    await interrupt(store, old, "i2")
    new = await claim_one(store)
    await store.finish(new, result(new, ResultStatus.FAILURE))
    assert await decision(store, request(answer(CLEARED, {"i2": "yes"}))) is Decision.REFUSED
    assert await decision(store, request(attempt(3, max_tries=4))) is Decision.RESUMED
    assert (await claim_one(store)).logical_run == new.logical_run


async def test_a_run_of_a_left_generation_may_come_to_its_end(store: Store) -> None:
    old, _ = await left(store)
    assert await store.finish(old, result(old))
    assert (await replies(store))[old.correlation_id].status is ResultStatus.SUCCESS


async def test_the_present_generation_asks_after_a_left_one(store: Store) -> None:
    old, _ = await left(store)
    await interrupt(store, old, "i2")
    await interrupt(store, await claim_one(store), "i2")
    assert await decision(store, request(answer(CLEARED, {"i2": "yes"}))) is Decision.ANSWER


async def test_what_is_refused_as_not_pending_is_not_asked_any_more(store: Store) -> None:
    """A worker finds that another run has written to the thread: no answer can ever reach the question."""
    await ask(store, request(event(attempt(1), thread_id="talk")), "i1", "i2")
    waits = request(event(attempt(1, task="n" * 64, at=10), thread_id="talk"))
    await store.accept([waits, request(answer(OTHER, {"i1": "yes"}))])
    claim = await claim_one(store)
    await store.finish(claim, result(claim, ResultStatus.ERROR, error="not there", error_type=REFUSED))
    assert (await claim_one(store)).correlation_id == waits.event.event_id
    for name in ("i1", "i2"):
        assert await decision(store, request(answer(None, {name: 1}))) is Decision.REFUSED
    assert await decision(store, request(event(attempt(2), thread_id="talk"))) is Decision.RESUMED


async def test_a_refused_answer_leaves_the_question_of_another_run_alone(store: Store) -> None:
    await ask(store, request(event(attempt(1), thread_id="talk")), "i1")
    await store.accept([request(answer(OTHER, {"i1": "yes"}))])
    first = await claim_one(store)
    await apply(store, first, "i1")
    await store.finish(first, result(first, ResultStatus.FAILURE))
    await ask(store, request(event(attempt(1, task="n" * 64, at=10), thread_id="talk")), "j1")
    await store.accept([request(answer(attempt(2, task=OTHER.task, at=20), {"i1": "yes"}))])
    repeat = await claim_one(store)
    await store.finish(repeat, result(repeat, ResultStatus.ERROR, error="not there", error_type=REFUSED))
    assert await decision(store, request(answer(None, {"j1": 1}))) is Decision.ANSWER
