"""Cancels and requests that meet, on the database where two workers write at the very same moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from datetime import datetime, timedelta
from typing import Any, TypeVar

import pytest
from sqlalchemy import Connection, delete, text

from langgraph_worker.store import accept, control
from langgraph_worker.store.endings import Terms
from langgraph_worker.store.port import Accepted, Cancel, Cancelled, Decision
from langgraph_worker.store.schema import tasks
from langgraph_worker.store.sql import SqlRunStore
from tests.support.run_store import attempt, claim_one, request, result
from workflow_events.models import Attempt
from workflow_events.results import ResultStatus

pytestmark = pytest.mark.integration

DAY = timedelta(days=1)
ROUNDS = 60
_WAITS = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
_T = TypeVar("_T")


@pytest.fixture
async def stores(postgres_url: str) -> AsyncIterator[list[SqlRunStore]]:
    """Two workers."""
    opened = [SqlRunStore(postgres_url) for _ in range(2)]
    for store in opened:
        await store.open()
    yield opened
    for store in opened:
        await store.close()


async def while_in(
    store: SqlRunStore, work: Callable[[Connection, Terms], _T], other: Callable[[], Any]
) -> tuple[_T, Any]:
    """Do something in a transaction of one worker; before that ends, another begins, and comes as far as it can."""
    loop = asyncio.get_running_loop()

    def write(connection: Connection, now: datetime) -> tuple[_T, Future[Any]]:
        done = work(connection, Terms(1_000_000, "p1", now))
        meanwhile = asyncio.run_coroutine_threadsafe(other(), loop)
        while not meanwhile.done() and not connection.execute(_WAITS).scalar_one():
            pass
        return done, meanwhile

    done, meanwhile = await asyncio.to_thread(store.database.write, write)
    return done, await asyncio.wrap_future(meanwhile)


async def test_a_cancel_waits_for_a_request_that_is_just_being_accepted(stores: list[SqlRunStore]) -> None:
    one, other = stores
    asked = request()
    of = asked.event.event_id
    accepted, became = await while_in(
        one,
        lambda connection, terms: accept.accept(connection, [asked], terms),
        lambda: other.cancel([Cancel(of)], DAY),
    )
    assert ([found.decision for found in accepted], became) == ([Decision.FRESH], {of: Cancelled.ENDED})
    assert await one.claim("w1", 1, ["graph"]) == []


async def test_a_request_waits_for_its_cancel_that_is_just_being_noted(stores: list[SqlRunStore]) -> None:
    one, other = stores
    asked = request()
    of = asked.event.event_id
    became, accepted = await while_in(
        one,
        lambda connection, terms: control.cancel(connection, [Cancel(of)], terms.now + DAY, terms),
        lambda: other.accept([asked]),
    )
    assert (became, [found.decision for found in accepted]) == ({of: Cancelled.NOTED}, [Decision.CANCELLED])


async def test_an_older_attempt_waits_for_the_announcement_of_a_newer_one(stores: list[SqlRunStore]) -> None:
    one, other = stores
    _, accepted = await while_in(
        one,
        lambda connection, terms: control.supersede(connection, [attempt(2)], terms),
        lambda: other.accept([request(attempt(1))]),
    )
    assert [found.decision for found in accepted] == [Decision.LATE]


async def test_a_request_and_its_cancel_never_miss_each_other(stores: list[SqlRunStore]) -> None:
    one, other = stores
    met = []
    for _ in range(ROUNDS):
        asked = request()
        of = asked.event.event_id
        [accepted], became = await asyncio.gather(one.accept([asked]), other.cancel([Cancel(of)], DAY))
        met.append((accepted.decision, became[of]))
    assert set(met) <= {(Decision.FRESH, Cancelled.ENDED), (Decision.CANCELLED, Cancelled.NOTED)}
    assert await one.claim("w1", 10, ["graph"]) == []


async def test_cancels_and_newer_attempts_never_lock_writers_out(stores: list[SqlRunStore]) -> None:
    one, other = stores
    for turn in range(1, 9):
        batch = [request(_try(turn, number)) for number in range(4)]
        await one.accept(batch)
        claims = await one.claim("w1", 4, ["graph"])
        assert len(claims) == 4
        done, became, superseded, again = await asyncio.gather(
            asyncio.gather(*(one.finish(claim, result(claim, ResultStatus.FAILURE)) for claim in claims)),
            other.cancel([Cancel(asked.event.event_id) for asked in reversed(batch)], DAY),
            other.supersede([_try(turn + 1, number) for number in reversed(range(4))]),
            one.accept(batch),
        )
        cancelled = [of for of, what in became.items() if what is Cancelled.ENDED]
        assert sum(done) + len(cancelled) + superseded == len(batch)
        assert {found.decision for found in again} == {Decision.DUPLICATE}


def _try(number: int, task: int) -> Attempt:
    return attempt(number, task=f"{task:064d}", at=10 * number + task)


async def test_a_task_that_is_forgotten_while_a_newer_attempt_is_announced(stores: list[SqlRunStore]) -> None:
    """Whatever is deleted between two looks at it."""
    one, other = stores
    await one.supersede([attempt(2)])
    await while_in(
        one,
        lambda connection, _: connection.execute(delete(tasks)),
        lambda: other.supersede([attempt(3)]),
    )
    accepted: list[Accepted] = await one.accept([request(attempt(2)), request(attempt(3))])
    assert [found.decision for found in accepted] == [Decision.LATE, Decision.FRESH]
    assert (await claim_one(one)).event.attempt == attempt(3)
