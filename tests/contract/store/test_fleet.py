"""The workers of a fleet, and the graphs that they know."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from langgraph_worker.domain.models import Request, WorkerInfo
from tests.support.run_store import LEASE, Backend, Clock, Store, claim_one, event, replies, request
from workflow_events.results import ResultStatus

DAY = 86_400.0


def worker(name: str, *graphs: str, version: str = "1") -> WorkerInfo:
    return WorkerInfo(name, version, "events", "fleet", {graph: f"runs {graph}" for graph in graphs})


async def test_nobody_has_announced_itself_at_first(store: Store) -> None:
    assert await store.workers(DAY) == []


async def test_workers_are_told_by_id_with_their_graphs(backend: Backend, store: Store) -> None:
    announced = [worker("b", "g"), worker("a", "h", "g"), worker("c")]
    for one in announced:
        await store.announce(one)
    expected = sorted(announced, key=lambda one: one.worker_id)
    assert await store.workers(60) == expected
    await store.close()
    assert await (await backend.open()).workers(60) == expected


async def test_a_worker_that_announces_itself_again_is_as_it_says_last(store: Store) -> None:
    await store.announce(worker("a", "old", "kept"))
    again = worker("a", "kept", "new", version="2")
    await store.announce(again)
    assert await store.workers(60) == [again]
    await store.announce(worker("a"))
    assert await store.workers(60) == [worker("a")]


async def test_only_who_gave_a_sign_of_life_in_time_is_told(store: Store, clock: Clock) -> None:
    await store.announce(worker("a"))
    await store.announce(worker("b"))
    clock.advance(30)
    await store.announce(worker("a"))
    clock.advance(30)
    assert await store.workers(60) == [worker("a"), worker("b")]
    assert await store.workers(59) == [worker("a")]
    assert await store.workers(29) == []


async def test_a_worker_is_forgotten_after_a_day_without_a_sign_of_life(store: Store, clock: Clock) -> None:
    await store.announce(worker("a", "g"))
    clock.advance(DAY)
    assert await store.workers(7 * DAY) == [worker("a", "g")]
    clock.advance(1)
    assert await store.workers(7 * DAY) == []
    await store.announce(worker("b"))
    assert await store.workers(7 * DAY) == [worker("b")]
    await store.announce(worker("a", "h"))  # and is welcome again
    assert await store.workers(7 * DAY) == [worker("a", "h"), worker("b")]


async def test_a_request_waits_for_a_graph_that_a_worker_has_announced(store: Store, clock: Clock) -> None:
    await store.announce(worker("a", "known"))
    await store.accept([request(graph="known"), request(graph="typo")])
    clock.advance(60)
    assert await store.expire(["mine"], 60) == 1
    [reply] = (await replies(store)).values()
    assert (reply.status, reply.error_type) == (ResultStatus.ERROR, "unknown_graph")
    assert "'typo'" in (reply.error or "")
    assert "Known: known, mine." in (reply.error or "")
    assert (await claim_one(store, graph="known")).graph == "known"


async def test_a_graph_that_its_worker_no_longer_announces_is_not_known(store: Store, clock: Clock) -> None:
    await store.announce(worker("a", "gone"))
    await store.announce(worker("b", "gone", "other"))
    await store.accept([request(graph="gone")])
    clock.advance(60)
    await store.announce(worker("a"))
    assert await store.expire([], 60) == 0
    await store.announce(worker("b", "other"))
    assert await store.expire([], 60) == 1


async def test_the_graphs_of_a_worker_are_known_for_a_day_after_its_last_sign_of_life(
    store: Store, clock: Clock
) -> None:
    await store.announce(worker("a", "known"))
    clock.advance(DAY / 2)
    await store.announce(worker("a", "known"))
    await store.accept([request(graph="known")])
    clock.advance(DAY)
    assert await store.expire([], 60) == 0
    clock.advance(1)
    assert await store.expire([], 60) == 1


async def test_who_lost_its_owner_waits_for_its_graph_from_then_on(store: Store, clock: Clock) -> None:
    await store.accept([request(graph="gone")])
    claim = await claim_one(store, graph="gone")
    for _ in range(10):
        clock.advance(LEASE - 1)
        assert store.renew("w1", [claim.lease]) == set()
    clock.advance(LEASE)
    assert await store.expire(["graph"], 60) == 0
    clock.advance(59)
    assert await store.expire(["graph"], 60) == 0
    clock.advance(1)
    assert await store.expire(["graph"], 60) == 1


async def late_reason(store: Store, clock: Clock) -> str:
    """The text of the one request that the store ends after its deadline."""
    clock.advance(10)
    assert await store.expire(["mine"], 60) == 1
    [reply] = (await replies(store)).values()
    assert (reply.status, reply.error_type, reply.retriable) == (ResultStatus.TIMEOUT, "deadline", True)
    return reply.error or ""


def short(clock: Clock, graph: str, **fields: Any) -> Request:
    return request(event(deadline=clock.now + timedelta(seconds=10), **fields), graph=graph)


async def test_a_short_deadline_of_an_unknown_graph_names_the_graph(store: Store, clock: Clock) -> None:
    await store.announce(worker("a", "count", "other"))
    await store.accept([short(clock, "cuont")])
    reason = await late_reason(store, clock)
    assert "no worker of the fleet serves a graph named 'cuont'" in reason
    assert "Known: count, mine, other. Did you mean 'count'? Correct the name" in reason


async def test_a_short_deadline_without_a_worker_of_the_graph_says_so(store: Store, clock: Clock) -> None:
    await store.announce(worker("a", "count"))
    clock.advance(60)
    await store.accept([short(clock, "count")])
    assert "no worker that serves graph 'count' runs now" in await late_reason(store, clock)


async def test_a_short_deadline_on_a_busy_thread_names_the_request_that_holds_it(store: Store, clock: Clock) -> None:
    await store.accept([request(event(thread_id="talk"), graph="mine")])
    first = await claim_one(store, graph="mine")
    await store.accept([short(clock, "mine", thread_id="talk")])
    reason = await late_reason(store, clock)
    assert f"request {first.correlation_id} holds its thread" in reason


async def test_a_short_deadline_beside_workers_claims_no_cause_that_is_not_known(store: Store, clock: Clock) -> None:
    await store.accept([short(clock, "mine")])
    reason = await late_reason(store, clock)
    assert "workers that serve graph 'mine' run, and none took it up" in reason
    assert "which one it was is not recorded" in reason
    assert "LANGGRAPH_WORKER_CONCURRENCY" in reason


async def test_a_request_that_came_after_its_deadline_is_not_blamed_on_workers_that_are_busy(
    store: Store, clock: Clock
) -> None:
    """No worker ran until then: the first one that starts takes it from Kafka when it is too late."""
    await store.accept([request(event(deadline=clock.now - timedelta(seconds=10)), graph="mine")])
    reason = await late_reason(store, clock)
    assert "no worker had taken the request from Kafka by then: none ran, or" in reason
    assert "Keep workers running" in reason
    assert "LANGGRAPH_WORKER_CONCURRENCY" not in reason
