"""What ``langgraph-worker forget`` leaves: nothing of the chosen work, all of others', and no way to run it again."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from langgraph_worker.domain.models import Decision, Failure
from langgraph_worker.store.migrations.schema import lineages, metadata, tombstones, workflow_runs
from langgraph_worker.store.sql.erasure import Erased, ErasedRun, forks_of
from langgraph_worker.store.sql.run_store import SqlRunStore
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
    publish,
    ran,
    request,
    result,
)
from workflow_events.models import EventType, Fork
from workflow_events.results import ResultStatus

MONTH = timedelta(days=30)


# No command reaches the store in memory.
pytestmark = pytest.mark.parametrize("backend", ["sqlite", "postgres"], indirect=True)


@pytest.fixture
async def kept(store: Store) -> SqlRunStore:
    assert isinstance(store, SqlRunStore)
    return store


async def ended(store: SqlRunStore, asked, status: ResultStatus = ResultStatus.SUCCESS):
    """A run that has ended, and whose result is published."""
    await ran(store, asked, status)
    await publish(store)
    return asked


def all_rows(backend: Backend) -> str:
    return str([row for table in metadata.sorted_tables for row in backend.rows(table)])


async def test_all_attempts_of_a_task_are_erased_and_none_runs_again(backend: Backend, kept: SqlRunStore) -> None:
    first = request(event(attempt(1, task="erased")))
    await kept.accept([first])
    claim = await claim_one(kept)
    await kept.finish(claim, result(claim, ResultStatus.FAILURE, error="secret"), Failure("E", "secret", "secret"))
    await publish(kept)
    retried = await ended(kept, request(attempt(2, task="erased")))
    other = await ended(kept, request(attempt(1, at=5, task="other")))

    erased = await kept.erase([retried.event.event_id], MONTH)
    names = {first.event.event_id, retried.event.event_id}
    assert (set(erased.ids), erased.threads, erased.shared, erased.refusals) == (names, 1, (), ())

    assert [row["correlation_id"] for row in backend.rows(workflow_runs)] == [other.event.event_id]
    assert {row["correlation_id"] for row in backend.rows(tombstones)} == names
    assert "secret" not in all_rows(backend)
    assert "erased" not in all_rows(backend)
    assert await decision(kept, retried) is Decision.DUPLICATE
    assert await kept.claim("w1", 10, ["graph"]) == []


async def test_a_trial_removes_nothing(backend: Backend, kept: SqlRunStore) -> None:
    asked = await ended(kept, request(event(attempt(1))))
    before = all_rows(backend)
    gone = ErasedRun(asked.event.event_id, "graph", "dag", "run")
    assert await kept.erase([asked.event.event_id], MONTH, is_trial=True) == Erased((gone,), 1)
    assert all_rows(backend) == before


async def test_a_question_goes_with_its_answer_and_who_gave_it(backend: Backend, kept: SqlRunStore) -> None:
    claim = await ask(kept, request(event(attempt(1))), "q")
    asked = request(answer(attempt(1), {"q": "the secret answer"}, by="ann the secret"))
    await kept.accept([asked])
    answering = await claim_one(kept)
    await apply(kept, answering)
    await kept.finish(answering, result(answering))
    await publish(kept)
    erased = await kept.erase([claim.correlation_id], MONTH)
    assert set(erased.ids) == {claim.correlation_id, asked.event.event_id}
    assert "secret" not in all_rows(backend)


async def test_what_is_not_over_is_not_erased_nor_is_what_belongs_to_it(backend: Backend, kept: SqlRunStore) -> None:
    first = await ended(kept, request(event(attempt(1))), ResultStatus.FAILURE)
    retried = request(attempt(2))
    await kept.accept([retried])
    before = all_rows(backend)

    async def why() -> str:
        erased = await kept.erase([first.event.event_id], MONTH)
        assert (erased.ids, erased.threads) == ((), 0)
        [refusal] = erased.refusals
        assert refusal.correlation_id == retried.event.event_id
        return refusal.why

    assert (await why()).startswith("it has not ended: cancel it")
    assert all_rows(backend) == before
    claim = await claim_one(kept)
    assert (await why()).startswith("it has not ended")
    await kept.finish(claim, result(claim), keep_thread=True)
    assert (await why()).startswith("its result has not reached Kafka yet")
    await publish(kept)
    assert "a node is at work on its thread" in str(await kept.erase([first.event.event_id], MONTH))
    await kept.release(claim)
    assert len((await kept.erase([first.event.event_id], MONTH)).ids) == 2


async def test_what_cannot_go_holds_nothing_else(backend: Backend, kept: SqlRunStore) -> None:
    """Neither of another task, nor on its thread."""
    one, two = [
        await ended(kept, request(event(attempt(1, at=at, task=str(at) * 64), thread_id=thread)))
        for at, thread in ((1, None), (2, "talk"))
    ]
    waits = request(event(attempt(1, at=3, task="3" * 64), thread_id="talk"))
    await kept.accept([waits])
    chosen = [asked.event.event_id for asked in (one, two, waits)]
    for is_trial in (True, False):
        erased = await kept.erase(chosen, MONTH, is_trial=is_trial)
        assert (set(erased.ids), erased.threads, len(erased.shared)) == (set(chosen[:2]), 1, 1)
        assert [refusal.correlation_id for refusal in erased.refusals] == [chosen[2]]
    assert {row["correlation_id"] for row in backend.rows(workflow_runs)} == {chosen[2]}


async def test_forks_of_what_goes_are_found_at_every_depth(kept: SqlRunStore) -> None:
    origin, other = [await ended(kept, request(event(None, event_id=UUID(int=number)))) for number in (1, 2)]

    async def fork(of: UUID, number: int) -> UUID:
        named = Fork(of=of, checkpoint_id="c")
        forked = event(None, event_type=EventType.WORKFLOW_FORKED, fork=named, event_id=UUID(int=number), data={})
        return (await ended(kept, request(forked))).event.event_id

    first = await fork(origin.event.event_id, 11)
    second = await fork(first, 12)
    await fork(other.event.event_id, 13)
    talk = event(None, event_id=UUID(int=14), data={"text": f'"fork":{{"of":"{origin.event.event_id}"'})
    await ended(kept, request(talk))
    assert await kept.read(lambda connection: forks_of(connection, [origin.event.event_id])) == [first, second]
    await kept.erase([origin.event.event_id, first], MONTH)
    assert await kept.read(lambda connection: forks_of(connection, [origin.event.event_id, first])) == [second]


async def test_a_question_that_is_pending_holds_its_run(kept: SqlRunStore) -> None:
    claim = await ask(kept, request(event(attempt(1))), "q")
    await publish(kept)
    [refusal] = (await kept.erase([claim.correlation_id], MONTH)).refusals
    assert refusal.why == "it waits for a person: answer its question, or cancel it"


async def test_a_shared_thread_stays_until_its_last_run_goes(backend: Backend, kept: SqlRunStore) -> None:
    one, two = [
        await ended(kept, request(event(attempt(1, at=at, task=str(at) * 64), thread_id="talk"))) for at in (1, 2)
    ]
    erased = await kept.erase([one.event.event_id], MONTH)
    assert (erased.ids, erased.threads, len(erased.shared)) == ((one.event.event_id,), 0, 1)
    erased = await kept.erase([two.event.event_id], MONTH)
    assert (erased.ids, erased.threads, erased.shared) == ((two.event.event_id,), 1, ())


async def test_the_task_that_answered_for_another_one_stays(kept: SqlRunStore) -> None:
    """Its request is of the work that it answered; what it asked for itself is its own."""
    claim = await ask(kept, request(event(attempt(1))), "q")
    other = attempt(1, at=9_000, task="o" * 64)
    own = await ended(kept, request(event(other)))
    given = answer(attempt(1, at=9_500, task="o" * 64), {"q": 1}, answers_to=claim.correlation_id)
    await kept.accept([request(given)])
    answering = await claim_one(kept)
    await apply(kept, answering)
    await kept.finish(answering, result(answering))
    await publish(kept)
    erased = await kept.erase([claim.correlation_id], MONTH)
    assert set(erased.ids) == {claim.correlation_id, given.event_id}
    assert await decision(kept, own) is Decision.DUPLICATE
    await publish(kept)
    assert (await kept.erase([own.event.event_id], MONTH)).ids == (own.event.event_id,)


async def test_the_task_that_answered_for_another_one_is_erased_alone(backend: Backend, kept: SqlRunStore) -> None:
    claim = await ask(kept, request(event(attempt(1))), "q")
    own = await ended(kept, request(event(attempt(1, at=9_000, task="o" * 64))))
    given = answer(attempt(1, at=9_500, task="o" * 64), {"q": 1}, answers_to=claim.correlation_id)
    await kept.accept([request(given)])
    answering = await claim_one(kept)
    await apply(kept, answering)
    await kept.finish(answering, result(answering))
    await publish(kept)
    assert (await kept.erase([own.event.event_id], MONTH)).ids == (own.event.event_id,)
    assert {row["lineage"] for row in backend.rows(lineages)} == {claim.lineage}


async def test_a_refused_request_is_erased(kept: SqlRunStore) -> None:
    late = request(event(attempt(1)))
    await ended(kept, request(attempt(2)))
    await kept.accept([late])
    await publish(kept)
    assert late.event.event_id in (await kept.erase([late.event.event_id], MONTH)).ids


async def test_what_is_not_there_is_nothing(kept: SqlRunStore) -> None:
    assert await kept.erase([request(event(None)).event.event_id], MONTH) == Erased()
