"""What an executor does with the runs that a pause holds back: with those under way, and with those just claimed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from langgraph.errors import GraphDrained
from langgraph.runtime import RunControl

from langgraph_worker.domain.models import Claim, RunStatus
from langgraph_worker.domain.pauses import PauseChange
from langgraph_worker.domain.results import Outcome
from langgraph_worker.execution.executor import Executor
from langgraph_worker.execution.run_meter import RunMeter
from langgraph_worker.store.sql.run_store import SqlRunStore
from langgraph_worker.telemetry.figures import PREFIX
from langgraph_worker.telemetry.metrics import Metrics
from tests.support.executors import FakeRunner, executor_of
from tests.support.run_store import event, request, result
from workflow_events.control import PauseScope

FLEET, GRAPH, WORKFLOW = PauseScope.FLEET, PauseScope.GRAPH, PauseScope.WORKFLOW


def paused(scope: PauseScope = FLEET, name: str = "", *, at_once: bool = False) -> PauseChange:
    return PauseChange(scope, name, True, datetime(2026, 3, 1, 12, tzinfo=UTC), at_once)


def unpaused(scope: PauseScope = FLEET, name: str = "") -> PauseChange:
    return PauseChange(scope, name, False, datetime(2026, 3, 1, 13, tzinfo=UTC))


class Store(SqlRunStore):
    """Answers the claims only while the test lets it, and notes what was given back."""

    def __init__(self, url: str) -> None:
        super().__init__(url, lease_seconds=3_600)
        self.claimed: asyncio.Queue[int] = asyncio.Queue()
        self.released: asyncio.Queue[Claim] = asyncio.Queue()
        self.finished, self.answers = asyncio.Event(), asyncio.Event()
        self.answers.set()

    async def claim(self, worker_id: str, limit: int, graphs: Collection[str]) -> list[Claim]:
        claims = await super().claim(worker_id, limit, graphs)
        self.claimed.put_nowait(len(claims))
        await self.answers.wait()
        return claims

    async def finish(self, *arguments: Any, **options: Any) -> bool:
        kept = await super().finish(*arguments, **options)
        self.finished.set()
        return kept

    async def release(self, claim: Claim, delay: float = 0.0, *, keep_thread: bool = False, **rest: Any) -> bool:
        given = await super().release(claim, delay, keep_thread=keep_thread, **rest)
        self.released.put_nowait(claim)
        return given


class Graphs(FakeRunner):
    """Graphs of steps that end when the test says so."""

    def __init__(self) -> None:
        self.started: asyncio.Queue[Claim] = asyncio.Queue()
        self.cancelled = 0
        self.step_ends = asyncio.Event()

    async def run(self, claim: Claim, control: RunControl, meter: RunMeter) -> Outcome:
        self.started.put_nowait(claim)
        try:
            await self.step_ends.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if control.drain_requested:
            raise GraphDrained("drained")
        return Outcome(result(claim), None)


@asynccontextmanager
async def executor(path: Path, graphs: Graphs, metrics: Metrics | None = None) -> AsyncIterator[tuple[Store, Executor]]:
    store = Store(f"sqlite:///{path}/store.db")
    await store.open()
    timing = {"lease_seconds": "60", "renew_seconds": "0.2"}
    executor = executor_of(store, graphs, now=lambda: 1_000.0, metrics=metrics, **timing)
    parts = [asyncio.create_task(executor.run()), asyncio.create_task(executor.keep_leases())]
    try:
        yield store, executor
    finally:
        await executor.drain(0.0)
        for part in parts:
            part.cancel()
        await asyncio.wait(parts)
        await store.close()


async def started(store: Store, one: Executor, graphs: Graphs, **changes: Any) -> Claim:
    await store.accept([request(event(**changes))])
    one.wake()
    return await graphs.started.get()


async def test_what_runs_stops_at_the_end_of_its_superstep_and_goes_on_after_the_pause(tmp_path):
    graphs = Graphs()
    async with executor(tmp_path, graphs) as (store, one):
        claim = await started(store, one, graphs)
        await store.pause([paused()])
        one.set_pauses(await store.pauses())
        assert store.released.empty()
        graphs.step_ends.set()
        assert await store.released.get() == claim
        assert ((await store.counts())[RunStatus.PENDING], graphs.cancelled) == (1, 0)
        await store.pause([unpaused()])
        one.set_pauses(await store.pauses())
        again = await graphs.started.get()
        assert (again.correlation_id, again.takeovers, again.retried) == (claim.correlation_id, 0, claim.retried)


async def test_what_runs_stops_at_once_where_the_pause_says_so(tmp_path):
    graphs = Graphs()
    async with executor(tmp_path, graphs) as (store, one):
        claim = await started(store, one, graphs)
        await store.pause([paused(at_once=True)])
        for _ in range(2):  # as each look does
            one.set_pauses(await store.pauses())
        assert await store.released.get() == claim
        assert ((await store.counts())[RunStatus.PENDING], graphs.cancelled) == (1, 1)


async def test_a_pause_becomes_a_harder_one(tmp_path):
    graphs = Graphs()
    async with executor(tmp_path, graphs) as (store, one):
        claim = await started(store, one, graphs)
        one.set_pauses([paused(GRAPH, "graph")])
        one.set_pauses([paused(GRAPH, "graph"), paused(WORKFLOW, "dag", at_once=True)])
        assert await store.released.get() == claim


@pytest.mark.parametrize(
    "pause", [paused(GRAPH, "other", at_once=True), paused(WORKFLOW, "graph", at_once=True)], ids=["graph", "workflow"]
)
async def test_what_the_pause_does_not_name_goes_on(tmp_path, pause):
    graphs = Graphs()
    async with executor(tmp_path, graphs) as (store, one):
        await started(store, one, graphs)
        one.set_pauses([pause])
        graphs.step_ends.set()
        await store.finished.wait()
        assert (store.released.empty(), graphs.cancelled) == (True, 0)


async def test_a_claim_that_was_under_way_when_the_pause_came_is_given_back(tmp_path):
    """It is a start, in the store and in the figures: each start has one end there."""
    graphs, metrics = Graphs(), Metrics(["graph"])
    async with executor(tmp_path, graphs, metrics) as (store, one):
        store.answers.clear()
        await store.accept([request()])
        one.wake()
        while not await store.claimed.get():
            pass
        await store.pause([paused()])
        one.set_pauses(await store.pauses())
        store.answers.set()
        await store.released.get()
        assert (graphs.started.empty(), (await store.counts())[RunStatus.PENDING]) == (True, 1)
    figures = metrics.registry.get_sample_value
    assert figures(f"{PREFIX}run_starts_total", {"graph": "graph", "start": "first"}) == 1
    assert figures(f"{PREFIX}runs_given_back_total", {"graph": "graph", "reason": "paused"}) == 1


async def test_a_claim_after_the_end_of_a_pause_starts_although_the_worker_has_not_heard_of_it(tmp_path):
    graphs = Graphs()
    async with executor(tmp_path, graphs) as (store, one):
        one.set_pauses([paused()])
        await started(store, one, graphs)
        assert store.released.empty()
