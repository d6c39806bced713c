"""Which of many waiting runs starts first: by priority, by age, and by what has started before."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import create_engine, insert, select

from langgraph_worker.domain.models import Claim, Decision, Failure, Request
from langgraph_worker.domain.retry_policy import BackOff, ErrorClass, Retried
from langgraph_worker.domain.turns import MOST_MOVED_SECONDS, POINT_SECONDS
from langgraph_worker.store.migrations.schema import threads, workflow_runs
from tests.support.run_store import (
    LEASE,
    START,
    Backend,
    Clock,
    Store,
    answer,
    ask,
    attempt,
    claim_one,
    decision,
    driver_url,
    event,
    request,
    result,
)
from workflow_events.models import Attempt
from workflow_events.results import ResultStatus


def of_priority(priority: int, **changes: object) -> Request:
    return request(event(priority=priority, **changes))  # type: ignore[arg-type]


def ids(asked: Collection[Request] | Collection[Claim]) -> list[UUID]:
    return [one.event.event_id for one in asked]


async def one_by_one(store: Store, count: int) -> list[UUID]:
    """Start so many, each in a claim of its own: as a worker with one slot does."""
    found: list[Claim] = []
    for _ in range(count):
        found += await store.claim("w1", 1, ["graph"])
    return ids(found)


async def test_the_higher_priority_starts_first(store: Store) -> None:
    low, usual, high = of_priority(-5), of_priority(0), of_priority(7)
    await store.accept([usual, low, high])
    assert await one_by_one(store, 3) == ids([high, usual, low])


async def test_of_one_priority_the_oldest_starts_first(store: Store, clock: Clock) -> None:
    asked = [of_priority(3) for _ in range(4)]
    await store.accept(asked[:2])
    clock.advance(1)
    await store.accept(asked[2:])
    assert await one_by_one(store, 4) == ids(asked)


async def test_a_point_overtakes_what_came_within_its_time_and_nothing_older(store: Store, clock: Clock) -> None:
    old, young = of_priority(0), of_priority(0)
    await store.accept([old])
    clock.advance(1)
    await store.accept([young])
    clock.advance(POINT_SECONDS - 0.5)
    urgent = of_priority(1)
    await store.accept([urgent])
    assert await one_by_one(store, 3) == ids([old, urgent, young])


@pytest.mark.parametrize("priority", [10**9, -(10**9)])
async def test_no_priority_moves_a_run_for_longer_than_the_bound(store: Store, clock: Clock, priority: int) -> None:
    extreme, usual = of_priority(priority), of_priority(0)
    first, second = (usual, extreme) if priority > 0 else (extreme, usual)
    await store.accept([first])
    clock.advance(MOST_MOVED_SECONDS + 1)
    await store.accept([second])
    assert await one_by_one(store, 2) == ids([first, second])


async def test_many_of_high_priority_do_not_starve_what_is_old(store: Store, clock: Clock) -> None:
    """A store that always has something of a high priority: what waits is older than it at last."""
    waits = of_priority(0)
    await store.accept([waits])
    started: list[UUID] = []
    for _ in range(MOST_MOVED_SECONDS // 600 + 2):
        await store.accept([of_priority(10**6)])
        claim = (await store.claim("w1", 1, ["graph"]))[0]
        await store.finish(claim, result(claim))
        started.append(claim.correlation_id)
        clock.advance(600)
    assert waits.event.event_id in started


async def test_requests_on_a_thread_keep_their_order_whatever_their_priority(store: Store) -> None:
    first, second = of_priority(0, thread_id="talk"), of_priority(9, thread_id="talk")
    other = of_priority(5)
    await store.accept([first, second, other])
    assert await one_by_one(store, 3) == ids([other, first])


async def test_a_claim_of_several_takes_of_each_workflow_its_first_and_the_earliest_turn_before_all(
    store: Store,
) -> None:
    urgent = [of_priority(9, workflow_id="urgent") for _ in range(3)]
    usual = [of_priority(0, workflow_id="usual") for _ in range(3)]
    await store.accept([*usual, *urgent])
    assert ids(await store.claim("w1", 2, ["graph"])) == ids([urgent[0], usual[0]])
    assert await one_by_one(store, 2) == ids(urgent[1:])


async def test_a_deployment_gains_no_place_of_another_by_priority(store: Store) -> None:
    def of(deployment: str, number: int, priority: int) -> Request:
        tried: Attempt = attempt(1, task=f"{deployment}{number}" * 8, at=number, deployment=deployment)
        return request(event(tried, priority=priority))

    loud = [of("loud", 10 + number, 1000) for number in range(6)]
    calm = [of("calm", 20 + number, 1) for number in range(2)]
    await store.accept([*loud, *calm])
    assert set(ids(await store.claim("w1", 4, ["graph"]))) == set(ids([*loud[:2], *calm]))


async def test_what_has_lost_its_owner_goes_on_before_all_else(store: Store, clock: Clock) -> None:
    started, urgent = of_priority(-100), of_priority(100)
    await store.accept([started])
    await claim_one(store)
    clock.advance(LEASE)
    await store.accept([urgent])
    assert await one_by_one(store, 2) == ids([started, urgent])


@pytest.mark.parametrize("how", ["released", "backed off"])
async def test_what_is_given_back_has_its_own_turn_again(store: Store, clock: Clock, how: str) -> None:
    older, given_back, urgent = of_priority(0), of_priority(1), of_priority(5)
    await store.accept([given_back])
    claim = await claim_one(store)
    await store.accept([older])
    if how == "released":
        await store.release(claim)
    else:
        waits = BackOff(ErrorClass.CONNECTION, 1.0, Retried({ErrorClass.CONNECTION: 1}))
        await store.back_off(claim, waits, Failure("connection", "gone", "", error_class=ErrorClass.CONNECTION))
        clock.advance(1)
    await store.accept([urgent])
    assert await one_by_one(store, 3) == ids([urgent, given_back, older])


async def test_a_retry_has_the_priority_of_its_own_event(store: Store, clock: Clock) -> None:
    await store.accept([request(event(attempt(1), priority=50))])
    claim = await claim_one(store)
    await store.finish(claim, result(claim, ResultStatus.FAILURE))
    again, usual = request(event(attempt(2), priority=0)), of_priority(1)
    await store.accept([again, usual])
    assert await one_by_one(store, 2) == ids([usual, again])


@pytest.mark.parametrize(("asked", "given"), [(9, 0), (0, 9)])
async def test_an_answer_has_the_higher_priority_of_the_two(store: Store, asked: int, given: int) -> None:
    await ask(store, of_priority(asked), "i1")
    answers, usual = request(answer(None, {"i1": "yes"}, priority=given)), of_priority(5)
    await store.accept([usual])
    assert await decision(store, answers) is Decision.ANSWER
    assert await one_by_one(store, 2) == ids([answers, usual])


async def test_a_turn_is_computed_once_and_kept(backend: Backend, store: Store, clock: Clock) -> None:
    await store.accept([of_priority(2)])
    clock.advance(5)
    [row] = backend.rows(workflow_runs)
    assert row["turn"] == START - timedelta(seconds=2 * POINT_SECONDS)


async def test_one_graphs_long_backlog_hides_no_other_graph(store: Store) -> None:
    """However urgent it is: of each graph a claim looks at its own earliest."""
    await store.accept([request(event(priority=1000, workflow_id=f"w{n}", thread_id="talk")) for n in range(3)])
    await store.accept([request(event(priority=1000, deadline=None), "busy") for _ in range(300)])
    await store.accept([other := request(event(workflow_id="mine"), "quiet")])
    found = await store.claim("w1", 3, ["busy", "quiet", "graph"])
    assert other.event.event_id in ids(found)


@pytest.mark.parametrize("backend", ["sqlite", "postgres"], indirect=True)
async def test_a_run_that_an_earlier_worker_accepted_has_a_turn(backend: Backend, store: Store) -> None:
    """Its INSERT names no turn."""
    await store.accept([kept := request()])
    engine = create_engine(driver_url(backend.url))
    with engine.begin() as connection:
        row = dict(connection.execute(select(workflow_runs)).mappings().one())
        older = {key: value for key, value in row.items() if key not in ("seq", "turn")}
        name = UUID(int=5)
        connection.execute(insert(threads), {"thread_id": "older", "token": 0})
        older |= {"correlation_id": name, "thread_id": "older"}
        older["event"] = kept.event.model_copy(update={"event_id": name}).model_dump_json()
        connection.execute(insert(workflow_runs), older)
    engine.dispose()
    assert set(await one_by_one(store, 2)) == {name, kept.event.event_id}
