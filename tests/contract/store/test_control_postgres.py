"""Cancels and requests that meet, on the database where two workers write at the very same moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import delete

from langgraph_worker.domain.models import Accepted, Cancel, Cancelled, Decision, RunStatus
from langgraph_worker.domain.pauses import PauseChange
from langgraph_worker.store.migrations.schema import tasks
from langgraph_worker.store.sql import accept, claims, control_writes, pauses
from langgraph_worker.store.sql.claims import Claimant
from langgraph_worker.store.sql.run_store import SqlRunStore
from tests.support.meeting import while_in
from tests.support.run_store import attempt, claim_one, request, result
from workflow_events.control import PauseScope
from workflow_events.models import Attempt
from workflow_events.results import ResultStatus

pytestmark = pytest.mark.integration

DAY = timedelta(days=1)
ROUNDS = 60


@pytest.fixture
async def stores(postgres_url: str) -> AsyncIterator[list[SqlRunStore]]:
    """Two workers."""
    opened = [SqlRunStore(postgres_url) for _ in range(2)]
    for store in opened:
        await store.open()
    yield opened
    for store in opened:
        await store.close()


async def test_a_cancel_waits_for_a_request_that_is_just_being_accepted(stores: list[SqlRunStore]) -> None:
    one, other = stores
    asked = request()
    of = asked.event.event_id
    accepted, became = await while_in(
        one,
        lambda connection, context: accept.accept(connection, [asked], context),
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
        lambda connection, context: control_writes.cancel(connection, [Cancel(of)], context.now + DAY, context),
        lambda: other.accept([asked]),
    )
    assert (became, [found.decision for found in accepted]) == ({of: Cancelled.NOTED}, [Decision.CANCELLED])


async def test_an_older_attempt_waits_for_the_announcement_of_a_newer_one(stores: list[SqlRunStore]) -> None:
    one, other = stores
    _, accepted = await while_in(
        one,
        lambda connection, context: control_writes.supersede(connection, [attempt(2)], context),
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


STOP = PauseChange(PauseScope.FLEET, "", True, datetime(2026, 3, 1, tzinfo=UTC))


async def test_a_pause_waits_for_the_claims_under_way_so_that_nothing_starts_after_it(
    stores: list[SqlRunStore],
) -> None:
    one, other = stores
    asked = request()
    await one.accept([asked])
    claimant = Claimant("w1", ["graph"], datetime(2200, 1, 1, tzinfo=UTC))
    running: list[RunStatus] = []

    async def pause() -> None:
        await other.pause([STOP])
        counts = await other.counts()
        running.extend(status for status, count in counts.items() if count)

    claimed, _ = await while_in(
        one, lambda connection, context: claims.claim(connection, claimant, 1, context), lambda: pause()
    )
    assert [claim.correlation_id for claim in claimed] == [asked.event.event_id]
    # Whoever looks once the pause is stored finds all that has started.
    assert running == [RunStatus.RUNNING]


async def test_a_claim_that_waited_for_a_pause_keeps_to_it(stores: list[SqlRunStore]) -> None:
    one, other = stores
    await one.accept([request()])
    _, claimed = await while_in(
        one, lambda connection, _: pauses.pause(connection, [STOP]), lambda: other.claim("w1", 1, ["graph"])
    )
    assert claimed == []
