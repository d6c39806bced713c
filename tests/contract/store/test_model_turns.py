"""Turns of models, shared by all workers of a fleet."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from langgraph_worker.domain.model_turns import LONGEST_COOLING_SECONDS, GivenTurn, ModelLimit, TurnRequest
from langgraph_worker.domain.models import Cancel, Failure
from langgraph_worker.domain.retry_policy import BackOff, ErrorClass, Retried
from langgraph_worker.store.migrations.schema import model_turns, models
from tests.support.run_store import WEEK, Backend, Clock, Store, attempt, claim_one, event, request

TWO = ModelLimit(requests=2)


def take(store: Store, wanted: int = 0, limit: ModelLimit = TWO, model: str = "big", **more: object) -> list[GivenTurn]:
    asked = TurnRequest(model, limit, wanted, **more)  # type: ignore[arg-type]
    return store.take_turns(asked).result(timeout=10)


def waits(store: Store, wanted: int, limit: ModelLimit = TWO, model: str = "big") -> list[float]:
    """In whole seconds."""
    return [float(round(turn.wait_seconds)) for turn in take(store, wanted, limit, model)]


async def test_turns_are_shared_by_the_fleet_and_outlive_a_worker(backend: Backend, store: Store, clock: Clock) -> None:
    assert waits(store, 3) == [0, 0, 62]
    assert waits(store, 1, model="small") == [0]
    if not backend.shared:
        await store.close()
    other = await backend.open()
    assert waits(other, 2) == [62, 124]
    clock.advance(62)
    assert waits(other, 1) == [62]


async def test_workers_that_ask_at_once_share_what_is_left(backend: Backend, store: Store) -> None:
    if not backend.shared:
        pytest.skip("one process has the store")
    stores = [store, await backend.open(), await backend.open()]
    asked = [one.take_turns(TurnRequest("big", ModelLimit(30), 1)) for _ in range(20) for one in stores]
    found = await asyncio.gather(*map(asyncio.wrap_future, asked))
    assert sorted(round(turn.wait_seconds) for (turn,) in found) == [0] * 30 + [62] * 30


async def test_each_worker_keeps_to_its_own_limit_over_the_turns_of_all(store: Store) -> None:
    assert waits(store, 3, ModelLimit(4)) == [0, 0, 0]
    assert waits(store, 1, ModelLimit(2)) == [62]
    assert waits(store, 1, ModelLimit(4)) == [0]


async def test_what_is_given_back_and_what_is_answered_counts(store: Store) -> None:
    (first, _) = take(store, 2)
    assert [turn.slot for turn in take(store, 1, returned=(first.slot,))] == [first.slot]
    limit = ModelLimit(tokens=100)
    assert waits(store, 1, limit, "small") == [0]
    assert take(store, 0, limit, "small", answered=(100,)) == []
    assert waits(store, 1, limit, "small") == [62]


async def test_a_turn_ahead_is_kept(store: Store, clock: Clock) -> None:
    kept = take(store, 3)[2]
    clock.advance(60)
    (again,) = take(store, 0, held=(kept.slot,))
    assert (again.slot, round(again.wait_seconds)) == (kept.slot, 2)
    clock.advance(2)
    (other,) = take(store, 0, held=(kept.slot,))  # it may have been used
    assert other.slot == kept.slot
    assert [turn.slot > kept.slot for turn in take(store, 1)] == [True]


async def test_a_model_cools_for_all_and_the_longest_time_counts(backend: Backend, store: Store, clock: Clock) -> None:
    assert store.cooling().result(timeout=10) == {}
    store.cool("big", 20.0).result(timeout=10)
    store.cool("big", 5.0).result(timeout=10)
    if not backend.shared:
        await store.close()
    other = await backend.open()
    clock.advance(1)
    assert other.cooling().result(timeout=10) == {"big": 19.0}
    assert waits(other, 1) == [19]
    assert waits(other, 1, model="small") == [0]
    clock.advance(19)
    assert other.cooling().result(timeout=10) == {}
    other.cool("big", 1e9).result(timeout=10)
    assert other.cooling().result(timeout=10) == {"big": LONGEST_COOLING_SECONDS}


async def test_old_turns_go_and_idle_models_too(backend: Backend, store: Store, clock: Clock) -> None:
    for _ in range(5):
        take(store, 1)
        clock.advance(50)
    assert len(backend.rows(model_turns)) == 2  # those of the window
    store.cool("small", 1.0).result(timeout=10)
    await store.prune(WEEK, WEEK, 10)
    assert [row["model"] for row in backend.rows(models)] == ["big", "small"]
    clock.advance(timedelta(hours=12).total_seconds())
    take(store, 1)
    clock.advance(timedelta(hours=13).total_seconds())
    await store.prune(WEEK, WEEK, 10)
    assert [row["model"] for row in backend.rows(models)] == ["big"]
    clock.advance(timedelta(hours=12).total_seconds())
    await store.prune(WEEK, WEEK, 10)
    assert backend.rows(models) == backend.rows(model_turns) == []


@pytest.mark.parametrize("name", ["x" * 2_000, "a\0b\ud800"], ids=["long", "no text"])
async def test_any_name_is_a_model_s(store: Store, name: str) -> None:
    assert waits(store, 3, model=name) == [0, 0, 62]
    store.cool(name, 5.0).result(timeout=10)


async def test_a_run_keeps_its_turns_while_it_waits_and_no_retry_is_counted(store: Store, clock: Clock) -> None:
    await store.accept([request(attempt(1))])
    claim = await claim_one(store)
    kept = Retried(steps=3, turns={"big": (7, 8)})
    await store.release(claim, 40.0, retried=kept)
    clock.advance(39)
    assert await store.claim("w1", 1, ["graph"]) == []
    clock.advance(1)
    claim = await claim_one(store)
    assert (claim.retried, claim.takeovers) == (kept, 0)
    await store.release(claim)
    assert (await claim_one(store)).retried == kept


@pytest.mark.parametrize("how", ["cancelled", "superseded", "too late", "backs off"])
async def test_what_goes_no_further_frees_the_turns_that_it_kept(store: Store, clock: Clock, how: str) -> None:
    deadline = clock.now + timedelta(seconds=30) if how == "too late" else None
    asked = request(event(attempt(1), deadline=deadline))
    await store.accept([asked])
    claim = await claim_one(store)
    *_, ahead = take(store, 5)
    await store.release(claim, 0.0 if how == "backs off" else 40.0, retried=Retried(turns={"big": (ahead.slot,)}))
    assert waits(store, 1) == [124]
    match how:
        case "cancelled":
            await store.cancel([Cancel(asked.event.event_id, "")], timedelta(days=1))
        case "superseded":
            await store.accept([request(attempt(2))])
        case "too late":
            clock.advance(31)
            await store.expire(["graph"], 60)
        case "backs off":
            wait = BackOff(ErrorClass.RATE_LIMIT, 1.0, Retried(times={ErrorClass.RATE_LIMIT: 1}))
            await store.back_off(await claim_one(store), wait, Failure("E", "busy", ""))
    assert waits(store, 1) == [93 if how == "too late" else 124]


async def test_a_run_that_runs_has_its_turns_until_its_owner_ends_it(store: Store) -> None:
    """A call of it may be sent before its owner hears of the cancel."""
    asked = request(attempt(1))
    await store.accept([asked])
    claim = await claim_one(store)
    *_, ahead = take(store, 3)
    await store.release(claim, retried=Retried(turns={"big": (ahead.slot,)}))
    await claim_one(store)
    await store.cancel([Cancel(asked.event.event_id, "")], timedelta(days=1))
    assert waits(store, 2) == [62, 124]
