"""What an executor does with a run that it may not, or cannot, continue: it is never reported as ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from langgraph.runtime import RunControl

from langgraph_worker.domain.models import Claim, RunStatus
from langgraph_worker.domain.results import Outcome
from langgraph_worker.errors import LeaseLostError, StoreError
from langgraph_worker.execution.executor import Executor
from langgraph_worker.execution.run_meter import RunMeter
from langgraph_worker.store.sql.run_store import SqlRunStore
from langgraph_worker.telemetry.figures import PREFIX
from langgraph_worker.telemetry.metrics import Metrics
from langgraph_worker.telemetry.usage import ModelCall
from tests.support.executors import FakeRunner, executor_of
from tests.support.run_store import attempt, request, result
from workflow_events.results import ModelUsage


class Store(SqlRunStore):
    """Notes when a run was given back."""

    def __init__(self, url: str) -> None:
        super().__init__(url, lease_seconds=3_600)
        self.released = asyncio.Event()

    async def release(self, claim: Claim, delay: float = 0.0, *, keep_thread: bool = False, **rest: Any) -> None:
        await super().release(claim, delay, keep_thread=keep_thread, **rest)
        self.released.set()


class Graphs(FakeRunner):
    """Runs that go on until the test ends them."""

    def __init__(self, trouble: Exception | None = None, calls: Sequence[ModelCall] = ()) -> None:
        self.trouble = trouble
        self.calls = calls
        self.started: asyncio.Queue[Claim] = asyncio.Queue()
        self.stopped: asyncio.Queue[Claim] = asyncio.Queue()
        self.end = asyncio.Event()

    async def run(self, claim: Claim, control: RunControl, meter: RunMeter) -> Outcome:
        self.started.put_nowait(claim)
        for call in self.calls:
            meter.count(call)
        if self.trouble is not None:
            raise self.trouble
        try:
            await self.end.wait()
        except asyncio.CancelledError:
            self.stopped.put_nowait(claim)
            raise
        return Outcome(result(claim), None)


@asynccontextmanager
async def executor(path: Path, graphs: Graphs, metrics: Metrics | None = None) -> AsyncIterator[tuple[Store, Executor]]:
    store = Store(f"sqlite:///{path}/store.db")
    await store.open()
    # The clock of its leases stands still: none ends by itself, however long a test takes.
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


async def test_a_run_that_lost_its_lease_is_stopped_and_lets_its_thread_go(tmp_path):
    graphs = Graphs()
    async with executor(tmp_path, graphs) as (store, one):
        await store.accept([request(attempt(1))])
        one.wake()
        older = await graphs.started.get()
        await store.accept([request(attempt(2))])
        one.wake()
        assert await graphs.stopped.get() == older
        newer = await graphs.started.get()
        assert (newer.event.attempt, newer.thread_id) == (attempt(2), older.thread_id)
        assert [out.correlation_id for out in await store.unpublished(10)] == [older.correlation_id]


async def test_a_run_whose_store_is_away_is_given_back_for_later(tmp_path):
    graphs = Graphs(StoreError("the disk is full"))
    async with executor(tmp_path, graphs) as (store, one):
        await store.accept([request()])
        one.wake()
        await store.released.wait()
        assert (await store.counts())[RunStatus.PENDING] == 1
        assert await store.unpublished(10) == []
        assert await store.claim("w2", 1, ["graph"]) == []


async def test_what_a_run_has_spent_before_it_is_given_back_is_in_the_figures(tmp_path):
    """It is spent, also if the run goes on elsewhere: there, only what is new counts."""
    call = ModelCall("m", ModelUsage(input_tokens=90, output_tokens=10, cost_usd=0.5))
    metrics, graphs = Metrics(["graph"]), Graphs(StoreError("the disk is full"), [call])
    async with executor(tmp_path, graphs, metrics) as (store, one):
        await store.accept([request()])
        one.wake()
        await store.released.wait()
    figures = metrics.registry.get_sample_value
    assert figures(f"{PREFIX}tokens_total", {"model": "m", "kind": "input"}) == 90
    assert figures(f"{PREFIX}tokens_total", {"model": "m", "kind": "output"}) == 10
    assert figures(f"{PREFIX}cost_usd_total", {"model": "m"}) == 0.5
    assert figures(f"{PREFIX}runs_given_back_total", {"graph": "graph", "reason": "store_trouble"}) == 1


async def test_a_checkpoint_that_finds_the_lease_lost_is_no_trouble_of_the_store(tmp_path):
    """A cancel ends a run in the store while it writes: it hears of that before its keeper tells it."""
    metrics, graphs = Metrics(["graph"]), Graphs(LeaseLostError("its lease is lost"))
    async with executor(tmp_path, graphs, metrics) as (store, one):
        await store.accept([request()])
        one.wake()
        await store.released.wait()
    figures, of_graph = metrics.registry.get_sample_value, {"graph": "graph"}
    assert figures(f"{PREFIX}runs_given_back_total", of_graph | {"reason": "store_trouble"}) is None
    assert figures(f"{PREFIX}runs_given_back_total", of_graph | {"reason": "lease_lost"})
