"""Pruning questions: they stay as long as a run may need to know what was answered."""

from __future__ import annotations

from datetime import timedelta

import pytest

from langgraph_worker.domain.models import Decision, Pruned
from langgraph_worker.store.migrations.schema import interrupts, lineages, tasks, threads, workflow_runs
from tests.support.run_store import (
    LEASE,
    WEEK,
    Backend,
    Clock,
    Store,
    answer,
    apply,
    ask,
    attempt,
    claim_one,
    decision,
    interrupt,
    prune,
    publish,
    ran,
    request,
    result,
)
from workflow_events.results import ResultStatus

DAY = timedelta(days=1)


async def test_what_asks_a_question_stays_with_its_lineage(store: Store, clock: Clock) -> None:
    await ran(store, request(attempt(1)), ResultStatus.FAILURE)
    await ask(store, request(attempt(2)), "i1")
    await ran(store, request())
    assert await prune(store, clock) == Pruned(runs=1, threads=1)
    sent = request(answer(attempt(2), {"i1": "yes"}))
    assert await decision(store, sent) is Decision.ANSWER
    claim = await claim_one(store)
    await apply(store, claim, "i1")
    await store.finish(claim, result(claim))
    await publish(store)
    assert await prune(store, clock) == Pruned(runs=3, threads=1)


async def test_what_a_clear_left_behind_goes(store: Store, clock: Clock) -> None:
    await ask(store, request(attempt(1)), "i1")
    await ran(store, request(attempt(2, max_tries=4)))
    assert await prune(store, clock) == Pruned(runs=2, threads=2)


@pytest.mark.parametrize("who", [1, 2], ids=["by itself", "by another task"])
async def test_a_question_stays_while_its_answer_runs(store: Store, clock: Clock, who: int) -> None:
    """The worker that takes the answer over has to know that it was given."""
    await ask(store, request(attempt(1)), "i1")
    await publish(store)
    answering = attempt(1) if who == 1 else attempt(1, task="o" * 64, at=9)
    await store.accept([request(answer(answering, {"i1": "yes"}))])
    claim = await claim_one(store)
    await apply(store, claim, "i1")
    assert await prune(store, clock) == Pruned(0, 0)
    clock.advance(LEASE)
    again = await claim_one(store)
    assert (again.correlation_id, again.answered) == (claim.correlation_id, frozenset({"i1"}))
    await interrupt(store, again, "i2")
    await publish(store)
    assert await prune(store, clock) == Pruned(0, 0)


async def test_a_question_stays_while_a_retry_may_need_its_answer(store: Store, clock: Clock) -> None:
    await ask(store, request(attempt(1)), "i1")
    clock.advance(WEEK.total_seconds())
    await ran(store, request(answer(attempt(1), {"i1": "yes"})), ResultStatus.FAILURE)
    assert await store.prune(DAY, WEEK, 100) == Pruned(0, 0)
    assert await decision(store, request(attempt(2))) is Decision.RESUMED
    assert (await claim_one(store)).answered == frozenset({"i1"})


async def test_a_task_that_answers_another_keeps_what_it_answered_as_long_as_its_own(
    store: Store, clock: Clock
) -> None:
    own = request(attempt(1, task="o" * 64, at=8))
    await store.accept([own])
    claim = await claim_one(store)
    await store.finish(claim, result(claim, ResultStatus.FAILURE))
    await ask(store, request(attempt(1)), "i1")
    await store.accept([request(answer(attempt(2, task="o" * 64, at=9), {"i1": "yes"}))])
    answered = await claim_one(store)
    await apply(store, answered, "i1")
    await store.finish(answered, result(answered))
    waiting = {out.correlation_id for out in await store.unpublished(10)}
    await store.published(waiting - {own.event.event_id})
    assert await prune(store, clock) == Pruned(0, 0)
    await publish(store)
    assert await store.prune(WEEK, WEEK, 100) == Pruned(runs=3, threads=2)


async def test_answers_of_other_tasks_go_with_who_asked(backend: Backend, store: Store, clock: Clock) -> None:
    await ask(store, request(attempt(1)), "i1")
    await ran(store, request(answer(attempt(1, task="o" * 64, at=9), {"i1": "yes"})))
    assert await prune(store, clock) == Pruned(runs=2, threads=1)
    for table in (workflow_runs, lineages, tasks, threads, interrupts):
        assert backend.rows(table) == []


async def test_many_questions_that_others_answered_hold_nothing_up(store: Store, clock: Clock) -> None:
    """The oldest runs are those that asked, and each of them is the newest of its lineage."""
    asking = [request(attempt(1, task=f"{number:064d}", at=number)) for number in range(1, 4)]
    for number, one in enumerate(asking):
        await ask(store, one, f"i{number}")
    clock.advance(60)
    for number in range(3):
        await ran(store, request(answer(None, {f"i{number}": "yes"})))
    clock.advance(WEEK.total_seconds() + 1)
    removed = [await store.prune(WEEK, WEEK, 2) for _ in range(4)]
    assert [one.runs for one in removed] == [2, 2, 2, 0]
    assert sum(one.threads for one in removed) == 3
