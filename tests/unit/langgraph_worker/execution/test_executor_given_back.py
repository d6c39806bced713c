"""What an executor does with a run that it may not, or cannot, continue: it is never reported as ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from langgraph.runtime import RunControl

from langgraph_worker.domain.models import Claim, Failure, RunStatus
from langgraph_worker.domain.results import Outcome
from langgraph_worker.domain.retry_policy import BackOff, ErrorClass, Retried
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

    async def release(self, claim: Claim, delay: float = 0.0, *, keep_thread: bool = False, **rest: Any) -> bool:
        given = await super().release(claim, delay, keep_thread=keep_thread, **rest)
        self.released.set()
        return given


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


def given_back(metrics: Metrics) -> dict[str, float]:
    """Runs that were given back, by reason."""
    [family] = (one for one in metrics.registry.collect() if one.name == f"{PREFIX}runs_given_back")
    return {one.labels["reason"]: one.value for one in family.samples if one.name.endswith("_total")}


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
    graphs, metrics = Graphs(), Metrics(["graph"])
    async with executor(tmp_path, graphs, metrics) as (store, one):
        await store.accept([request(attempt(1))])
        one.wake()
        older = await graphs.started.get()
        await store.accept([request(attempt(2))])
        one.wake()
        assert await graphs.stopped.get() == older
        newer = await graphs.started.get()
        assert (newer.event.attempt, newer.thread_id) == (attempt(2), older.thread_id)
        assert [out.correlation_id for out in await store.unpublished(10)] == [older.correlation_id]
        assert given_back(metrics) == {"ended_outside": 1}


class Late(Graphs):
    """A run that comes to its end when a newer attempt has ended it."""

    def __init__(self, end: Callable[[Claim], Outcome]) -> None:
        super().__init__()
        self.end_of = end
        self.store: Store | None = None

    async def run(self, claim: Claim, control: RunControl, meter: RunMeter) -> Outcome:
        if claim.event.attempt != attempt(1):
            return await super().run(claim, control, meter)
        assert self.store is not None
        await self.store.accept([request(attempt(2))])
        return self.end_of(claim)


def backs_off(claim: Claim) -> Outcome:
    wait = BackOff(ErrorClass.TIMEOUT, 1.0, Retried({ErrorClass.TIMEOUT: 1}))
    return Outcome(result(claim), Failure("ReadTimeout", "slow", "", "ask"), wait)


@pytest.mark.parametrize("end", [lambda claim: Outcome(result(claim), None), backs_off], ids=["ends", "backs off"])
async def test_a_start_whose_end_comes_too_late_counts_as_ended_from_outside(tmp_path, end):
    """Each start has one end in the figures: it has neither ended its run, nor is the run repeated."""
    graphs, metrics = Late(end), Metrics(["graph"])
    async with executor(tmp_path, graphs, metrics) as (store, one):
        graphs.store = store
        await store.accept([request(attempt(1))])
        one.wake()
        await graphs.started.get()  # the newer attempt: the thread is free
    assert given_back(metrics)["ended_outside"] == 1
    figures = metrics.registry.get_sample_value
    assert figures(f"{PREFIX}runs_total", {"graph": "graph", "status": "success"}) is None
    assert figures(f"{PREFIX}retries_total", {"graph": "graph", "error_class": "timeout"}) is None


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
    assert given_back(metrics) == {"store_trouble": 1}


async def test_a_checkpoint_that_finds_the_lease_lost_is_no_trouble_of_the_store(tmp_path):
    """A cancel ends a run in the store while it writes: it hears of that before its keeper tells it."""
    metrics, graphs = Metrics(["graph"]), Graphs(LeaseLostError("its lease is lost"))
    async with executor(tmp_path, graphs, metrics) as (store, one):
        await store.accept([request()])
        one.wake()
        await store.released.wait()
    # It may start again before the worker stops, and is then released.
    assert set(given_back(metrics)) - {"released"} == {"lease_lost"}
