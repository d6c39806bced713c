"""What the store says of everything that is under way."""

from __future__ import annotations

from langgraph_worker.domain.models import FleetFigures
from tests.support.run_store import LEASE, Clock, Store, claim_one, request, result


async def test_an_empty_store_has_nothing_under_way(store: Store) -> None:
    assert await store.fleet_figures() == FleetFigures({}, {}, 0)


async def test_what_waits_and_what_runs_is_counted_by_graph(store: Store) -> None:
    await store.accept([request(graph="a"), request(graph="a"), request(graph="b"), request(graph="b")])
    assert await store.fleet_figures() == FleetFigures({"a": 2, "b": 2}, {}, 0)
    [claim] = await store.claim("w1", 1, ["a"])
    assert await store.fleet_figures() == FleetFigures({"a": 1, "b": 2}, {"a": 1}, 0)
    await store.release(claim)
    assert await store.fleet_figures() == FleetFigures({"a": 2, "b": 2}, {}, 0)


async def test_a_run_whose_owner_has_vanished_is_still_said_to_run(store: Store, clock: Clock) -> None:
    await store.accept([request()])
    await claim_one(store)
    clock.advance(LEASE + 1)
    assert await store.fleet_figures() == FleetFigures({}, {"graph": 1}, 0)


async def test_a_result_counts_until_the_broker_has_it(store: Store) -> None:
    await store.accept([request()])
    claim = await claim_one(store)
    assert await store.finish(claim, result(claim))
    assert await store.fleet_figures() == FleetFigures({}, {}, 1)
    await store.unpublished(10)
    await store.published([claim.correlation_id])
    assert await store.fleet_figures() == FleetFigures({}, {}, 0)
