"""Runs at once of a graph over all workers of a fleet: never more than its limit; a full graph holds up no other."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest

from langgraph_worker.domain.models import Cancel, Claim, Failure, Request
from langgraph_worker.domain.pauses import PauseChange
from langgraph_worker.domain.retry_policy import BackOff, ErrorClass, Retried
from tests.support.run_store import (
    LEASE,
    START,
    Backend,
    Clock,
    Store,
    answer,
    attempt,
    event,
    interrupt,
    request,
    result,
)
from workflow_events.control import PauseScope

LIMIT = 3
BOTH = ["graph", "other"]
_WEEK = timedelta(days=7)


def many(count: int, graph: str = "graph") -> list[Request]:
    return [request(graph=graph) for _ in range(count)]


@pytest.fixture
async def store(backend: Backend) -> Store:
    """A store whose claims keep to the limit."""
    return await backend.open(max_running={"graph": LIMIT})


def paused(at: datetime, *, is_on: bool) -> PauseChange:
    return PauseChange(scope=PauseScope.WORKFLOW, name="paused", is_on=is_on, changed_at=at)


async def second(backend: Backend, first: Store, limit: int = LIMIT) -> Store:
    """Another worker's; on SQLite, where there is but one, the same."""
    return await backend.open(max_running={"graph": limit}) if backend.shared else first


async def test_no_more_start_than_the_limit_over_all_workers(backend: Backend, store: Store) -> None:
    other = await second(backend, store)
    await store.accept(many(10))
    assert len(await store.claim("w1", 2, ["graph"])) == 2
    assert len(await other.claim("w2", 10, ["graph"])) == LIMIT - 2
    assert await store.claim("w1", 10, ["graph"]) == await other.claim("w2", 10, ["graph"]) == []


async def test_two_that_claim_in_the_same_instant_keep_to_it(backend: Backend, store: Store) -> None:
    stores = [store, *[await second(backend, store) for _ in range(5)]]
    for _ in range(5):
        await store.accept(many(2 * LIMIT))
        claimed = await asyncio.gather(*(one.claim(f"w{n}", 2, BOTH) for n, one in enumerate(stores)))
        taken = [claim for claims in claimed for claim in claims]
        assert len(taken) == LIMIT
        for claim in taken:
            await store.finish(claim, result(claim))


@pytest.mark.parametrize("how", ["finished", "released", "backed off", "asking"])
async def test_what_runs_no_more_leaves_its_place(store: Store, how: str) -> None:
    await store.accept(many(LIMIT + 1))
    claims = await store.claim("w1", 10, ["graph"])
    match how:
        case "finished":
            await store.finish(claims[0], result(claims[0]))
        case "released":
            await store.release(claims[0], 60.0)
        case "backed off":
            waits = BackOff(ErrorClass.CONNECTION, 60.0, Retried({ErrorClass.CONNECTION: 1}))
            await store.back_off(claims[0], waits, Failure("connection", "gone", ""))
        case "asking":
            await interrupt(store, claims[0], "i1")
    assert len(await store.claim("w1", 10, ["graph"])) == 1
    assert await store.claim("w1", 10, ["graph"]) == []


async def test_an_answer_needs_a_place(store: Store) -> None:
    await store.accept([asks := request()])
    [claim] = await store.claim("w1", 1, ["graph"])
    await interrupt(store, claim, "i1")
    await store.accept(many(LIMIT))
    running = await store.claim("w1", 10, ["graph"])
    await store.accept([request(answer(None, {"i1": "yes"}, answers_to=asks.event.event_id))])
    assert await store.claim("w1", 10, ["graph"]) == []
    await store.finish(running[0], result(running[0]))
    assert len(await store.claim("w1", 10, ["graph"])) == 1


@pytest.mark.parametrize("how", ["cancelled", "superseded", "kept thread"])
async def test_a_run_that_may_still_be_at_work_keeps_its_place(store: Store, clock: Clock, how: str) -> None:
    """It has ended, and its owner has not let go: a node of it may still be running."""
    await store.accept([request(attempt(1)), *many(LIMIT)])
    claims = await store.claim("w1", LIMIT, ["graph"])
    [mine] = [claim for claim in claims if claim.event.attempt]
    match how:
        case "cancelled":
            await store.cancel([Cancel(mine.correlation_id)], _WEEK)
        case "superseded":
            await store.accept([request(attempt(2), "other")])
        case "kept thread":
            await store.finish(mine, result(mine), keep_thread=True)
    assert await store.claim("w1", 10, ["graph"]) == []
    await store.release(mine)
    assert len(await store.claim("w1", 10, ["graph"])) == 1


async def test_a_dead_owners_runs_keep_their_places_and_are_taken_over_in_them(
    backend: Backend, store: Store, clock: Clock
) -> None:
    survivor = await second(backend, store)
    await store.accept(many(3 * LIMIT))
    lost = await store.claim("w1", LIMIT - 1, ["graph"])
    kept = await survivor.claim("w2", 10, ["graph"])
    assert len(kept) == 1
    clock.advance(LEASE - 1)
    assert survivor.renew("w2", [kept[0].lease]) == set()
    assert await survivor.claim("w2", 10, ["graph"]) == []
    clock.advance(1)
    taken = await survivor.claim("w2", 10, ["graph"])
    assert {claim.correlation_id for claim in taken} == {claim.correlation_id for claim in lost}
    assert await survivor.claim("w2", 10, ["graph"]) == []


async def test_a_takeover_comes_before_every_start_whatever_its_priority(
    backend: Backend, store: Store, clock: Clock
) -> None:
    await store.accept([request(event(priority=-50)) for _ in range(LIMIT)])
    lost = await store.claim("w1", 10, ["graph"])
    await store.accept([request(event(priority=50)) for _ in range(LIMIT)])
    clock.advance(LEASE)
    found: list[Claim] = []
    for _ in range(LIMIT):
        found += await store.claim("w2", 1, ["graph"])
    assert {claim.correlation_id for claim in found} == {claim.correlation_id for claim in lost}


async def test_an_orphan_that_cannot_go_on_holds_no_place(store: Store, clock: Clock) -> None:
    """Its workflow is paused: what it leaves free is used, and it waits for a place when the pause is over."""
    await store.accept([request(event(workflow_id="paused")) for _ in range(LIMIT)])
    await store.claim("w1", 10, ["graph"])
    await store.pause([paused(START, is_on=True)])
    clock.advance(LEASE)
    await store.accept(many(LIMIT))
    running = await store.claim("w1", 10, ["graph"])
    assert [claim.event.workflow_id for claim in running] == ["dag"] * LIMIT
    await store.pause([paused(START + _WEEK, is_on=False)])
    assert await store.claim("w1", 10, ["graph"]) == []
    await store.finish(running[0], result(running[0]))
    assert len(await store.claim("w1", 10, ["graph"])) == 1


async def test_a_full_graph_hides_no_other_graph_and_stops_no_claim(store: Store) -> None:
    await store.accept(many(400))
    await store.claim("w1", 10, ["graph"])
    waits = many(5, "other")
    await store.accept(waits)
    found = await store.claim("w1", 5, BOTH)
    assert {claim.correlation_id for claim in found} == {one.event.event_id for one in waits}


async def test_a_graph_with_some_room_fills_no_claim_with_what_has_no_place(store: Store) -> None:
    await store.accept([*many(400), *many(5, "other")])
    found = await store.claim("w1", 8, BOTH)
    assert sorted(claim.graph for claim in found) == ["graph"] * LIMIT + ["other"] * 5


async def test_each_claimant_keeps_to_its_own_limit(backend: Backend, store: Store) -> None:
    if not backend.shared:
        pytest.skip("one worker")
    strict, without = await second(backend, store, 1), await backend.open()
    await store.accept(many(10))
    assert len(await store.claim("w1", 2, ["graph"])) == 2
    assert await strict.claim("w2", 10, ["graph"]) == []
    assert len(await without.claim("w3", 5, ["graph"])) == 5
    assert await store.claim("w1", 10, ["graph"]) == []


async def test_what_is_in_a_full_graph_waits_for_no_slot_of_a_worker(store: Store) -> None:
    asked = [*many(LIMIT + 1), *many(1, "other")]
    await store.accept(asked)
    names = [one.event.event_id for one in asked]
    assert await store.can_start(names, BOTH) == set(names)  # each by itself
    claims = await store.claim("w1", 10, ["graph"])
    assert await store.can_start(names, BOTH) == {names[-1]}
    await store.finish(claims[0], result(claims[0]))
    assert await store.can_start(names, BOTH) == {names[LIMIT], names[-1]}


async def test_a_graph_without_a_limit_has_none(store: Store) -> None:
    await store.accept(many(50, "other"))
    assert len(await store.claim("w1", 100, BOTH)) == 50
