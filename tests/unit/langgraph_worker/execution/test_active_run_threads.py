"""How a run is settled while a synchronous node of it is still in its thread, for every way in which a run can end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from langgraph.errors import GraphDrained
from langgraph.graph import START, StateGraph
from langgraph.runtime import RunControl

from langgraph_worker.checkpoints.memories import Memories
from langgraph_worker.checkpoints.saver import Checkpoints
from langgraph_worker.domain.models import Cancel, Claim, RunStatus
from langgraph_worker.domain.pauses import PauseChange
from langgraph_worker.domain.results import Outcome
from langgraph_worker.errors import StoreError
from langgraph_worker.execution.active_run import PAUSE_GRACE_SECONDS, ActiveRun
from langgraph_worker.execution.node_threads import NodeThreads
from langgraph_worker.execution.run_context import RunContext, Stop
from langgraph_worker.execution.run_meter import RunMeter
from langgraph_worker.execution.runner import Runner
from langgraph_worker.graphs.graph_spec import GraphSpec
from langgraph_worker.graphs.loader import Graph, Graphs
from langgraph_worker.store.sql.run_store import SqlRunStore
from tests.support.executors import FakeRunner
from tests.support.run_store import attempt, claim_one, event, replies, request, result
from tests.support.runs import LIMITS, State
from workflow_events.control import PauseScope
from workflow_events.results import ResultStatus

LEASE = 60.0
MINUTES = 60.0


class Store(SqlRunStore):
    """Notes what the worker writes at a run's end."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"sqlite:///{path}/store.db", lease_seconds=LEASE)
        self.ends: asyncio.Queue[tuple[str, bool]] = asyncio.Queue()

    async def finish(self, claim: Claim, *arguments: Any, keep_thread: bool = False) -> bool:
        kept = await super().finish(claim, *arguments, keep_thread=keep_thread)
        self.ends.put_nowait(("finish", keep_thread))
        return kept

    async def release(self, claim: Claim, delay: float = 0.0, *, keep_thread: bool = False, **rest: Any) -> bool:
        given = await super().release(claim, delay, keep_thread=keep_thread, **rest)
        self.ends.put_nowait(("release", keep_thread))
        return given


class Nodes(NodeThreads):
    """Notes when a run begins to wait for its threads."""

    def __init__(self) -> None:
        super().__init__(2)
        self.waits: asyncio.Queue[str] = asyncio.Queue()

    async def wait_idle(self, lease: Any) -> None:
        self.waits.put_nowait("waits")
        await super().wait_idle(lease)


class Node:
    """A synchronous node that works until it is let go."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.started, self.ended = asyncio.Event(), threading.Event()
        self.go = threading.Event()

    def __call__(self, state: Any = None) -> State:
        self._loop.call_soon_threadsafe(self.started.set)
        assert self.go.wait(15)
        self.ended.set()
        return {}


@dataclass
class Bench:
    """One worker's runs."""

    store: Store
    nodes: Nodes
    node: Node = field(default_factory=Node)

    def start(self, claim: Claim, runner: Any) -> ActiveRun:
        return ActiveRun(RunContext(self.store, runner, self.nodes, "w1", LEASE, lambda: None), claim)

    async def first(self) -> tuple[str, bool] | str:
        """What comes first: the run waits for its threads, or it ends in the store."""
        both = {asyncio.create_task(self.nodes.waits.get()), asyncio.create_task(self.store.ends.get())}
        done, other = await asyncio.wait(both, timeout=15, return_when=asyncio.FIRST_COMPLETED)
        for task in other:
            task.cancel()
        return done.pop().result()

    def pass_time(self, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
        """So much time passes for the event loop."""
        loop = asyncio.get_running_loop()
        before = loop.time
        monkeypatch.setattr(loop, "time", lambda: before() + seconds)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    store, nodes = Store(tmp_path), Nodes()
    await store.open()
    asyncio.get_running_loop().set_default_executor(nodes)
    bench = Bench(store, nodes)
    yield bench
    bench.node.go.set()
    await store.close()


class Leaves(FakeRunner):
    """A runner whose graph leaves a synchronous node at work, and then ends as the test says."""

    def __init__(self, node: Node, end: Callable[[Claim], Awaitable[Outcome]]) -> None:
        self._node, self._end = node, end
        self.ended = asyncio.Event()

    async def run(self, claim: Claim, control: RunControl, meter: RunMeter) -> Outcome:
        try:
            asyncio.get_running_loop().run_in_executor(None, self._node)
            await self._node.started.wait()
            return await self._end(claim)
        finally:
            self.ended.set()


def ends(status: ResultStatus) -> Callable[[Claim], Awaitable[Outcome]]:
    async def end(claim: Claim) -> Outcome:
        return Outcome(result(claim, status))

    return end


def raises(error: Exception) -> Callable[[Claim], Awaitable[Outcome]]:
    async def end(claim: Claim) -> Outcome:
        raise error

    return end


async def never(claim: Claim) -> Outcome:
    await asyncio.Event().wait()
    raise AssertionError("it was cancelled")


async def claimed(bench: Bench, **about: Any) -> Claim:
    await bench.store.accept([request(event(**about))])
    return await claim_one(bench.store, "w1")


# ---- LangGraph ----


async def test_a_retry_does_not_start_beside_the_node_that_a_failing_sibling_left(bench):
    slow = bench.node

    async def fails(state: State) -> State:
        await slow.started.wait()
        raise OSError("gone")

    builder = StateGraph(State)
    for name, node in {"slow": slow, "fails": fails}.items():
        builder.add_node(name, node)
        builder.add_edge(START, name)
    checkpoints = Checkpoints(bench.store)
    await checkpoints.setup()
    graphs = Graphs({"graph": Graph.from_variable(GraphSpec("graph", "x", False, "x"), builder)})
    await bench.store.accept([request(attempt(1))])
    runner = Runner(graphs, checkpoints, Memories(bench.store), bench.store, "w1", LIMITS)
    active = bench.start(await claim_one(bench.store), runner)
    assert await bench.first() == "waits"
    assert not slow.ended.is_set()
    slow.go.set()
    assert await bench.store.ends.get() == ("finish", False)
    assert slow.ended.is_set()
    await active.settled
    assert [one.error_type for one in (await replies(bench.store)).values()] == ["OSError"]


# ---- every end waits for the node ----


@pytest.mark.parametrize(
    ("end", "then"),
    [
        (ends(ResultStatus.FAILURE), "finish"),
        (ends(ResultStatus.TIMEOUT), "finish"),
        (raises(StoreError("away")), "release"),
        (raises(GraphDrained("stop")), "release"),
        (raises(asyncio.CancelledError()), "finish"),
    ],
    ids=["failure", "timeout", "store trouble", "drained", "cancels itself"],
)
async def test_a_run_is_settled_when_its_node_has_ended(bench, end, then):
    active = bench.start(await claimed(bench), Leaves(bench.node, end))
    assert await bench.first() == "waits"
    bench.node.go.set()
    assert await bench.store.ends.get() == (then, False)
    assert bench.node.ended.is_set()
    await active.settled
    assert bench.store.ends.empty()


@pytest.mark.parametrize("how", ["cancelled", "superseded"])
async def test_a_run_that_is_ended_from_outside_holds_its_thread_until_its_node_has_ended(bench, how):
    await bench.store.accept([request(attempt(1))])
    claim = await claim_one(bench.store)
    runner = Leaves(bench.node, never)
    active = bench.start(claim, runner)
    await bench.node.started.wait()
    if how == "cancelled":
        await bench.store.cancel([Cancel(claim.correlation_id, "killed", None)], timedelta(days=1))
        await bench.store.accept([request(attempt(2))])
    else:
        await bench.store.accept([request(attempt(2))])
    assert [one.status for one in (await replies(bench.store)).values()] == [ResultStatus.CANCELLED]
    active.stop(Stop.LEASE_LOST)
    assert await bench.first() == "waits"
    assert await bench.store.claim("w2", 1, ["graph"]) == []
    bench.node.go.set()
    assert await bench.store.ends.get() == ("release", False)
    assert bench.node.ended.is_set()
    await active.settled
    assert (await claim_one(bench.store, "w2")).thread_id == claim.thread_id


@pytest.mark.parametrize("status", [ResultStatus.SUCCESS, ResultStatus.INTERRUPTED])
async def test_a_graph_that_came_to_its_end_is_answered_at_once_and_its_thread_held(bench, status):
    """The author's own thread: no retry will start it again."""
    await bench.store.accept([request(event(thread_id="talk")), request(event(thread_id="talk"))])
    active = bench.start(await claim_one(bench.store), Leaves(bench.node, ends(status)))
    assert await bench.first() == ("finish", True)
    assert await bench.store.claim("w2", 1, ["graph"]) == []
    bench.node.go.set()
    assert await bench.store.ends.get() == ("release", False)
    await active.settled
    assert len(await bench.store.claim("w2", 1, ["graph"])) == 1


# ---- a node that does not end ----


async def test_a_deadline_is_answered_in_time_and_the_thread_held(bench, monkeypatch):
    claim = await claimed(bench, deadline=datetime.now(UTC) + timedelta(minutes=30), thread_id="talk")
    await bench.store.accept([request(event(thread_id="talk"))])
    active = bench.start(claim, Leaves(bench.node, ends(ResultStatus.FAILURE)))
    assert await bench.first() == "waits"
    bench.pass_time(31 * MINUTES, monkeypatch)
    assert await bench.store.ends.get() == ("finish", True)
    assert not bench.nodes.is_idle(claim.lease)
    assert await bench.store.claim("w2", 1, ["graph"]) == []
    bench.node.go.set()
    assert await bench.store.ends.get() == ("release", False)
    await active.settled
    assert len(await bench.store.claim("w2", 1, ["graph"])) == 1


async def test_a_cancel_ends_the_wait_for_a_node_after_a_lease(bench, monkeypatch):
    claim = await claimed(bench, deadline=datetime.now(UTC) + timedelta(minutes=30))
    active = bench.start(claim, Leaves(bench.node, ends(ResultStatus.FAILURE)))
    assert await bench.first() == "waits"
    await bench.store.cancel([Cancel(claim.correlation_id, "killed", None)], timedelta(days=1))
    active.stop(Stop.LEASE_LOST)
    bench.pass_time(LEASE, monkeypatch)
    await active.settled
    assert not bench.nodes.is_idle(claim.lease)
    assert [one.status for one in (await replies(bench.store)).values()] == [ResultStatus.CANCELLED]


async def test_a_slot_is_free_a_lease_after_the_answer_whatever_a_node_does(bench, monkeypatch):
    claim = await claimed(bench, deadline=datetime.now(UTC) + timedelta(minutes=30))
    active = bench.start(claim, Leaves(bench.node, ends(ResultStatus.TIMEOUT)))
    assert await bench.first() == "waits"
    bench.pass_time(31 * MINUTES, monkeypatch)
    assert await bench.store.ends.get() == ("finish", True)
    assert not active.settled.done()
    bench.pass_time(LEASE, monkeypatch)
    await active.settled
    assert not bench.nodes.is_idle(claim.lease)


@pytest.mark.parametrize("is_over", [False, True], ids=["runs", "waits for its node"])
async def test_a_worker_that_stops_leaves_its_thread_held(bench, monkeypatch, is_over):
    """The node ends with the process, normally before the lease does."""
    claim = await claimed(bench, deadline=datetime.now(UTC) + timedelta(minutes=30))
    active = bench.start(claim, Leaves(bench.node, ends(ResultStatus.FAILURE) if is_over else never))
    if is_over:
        assert await bench.first() == "waits"
        active.stop(Stop.RELEASED)
    else:
        await bench.node.started.wait()
        active.stop(Stop.RELEASED)
        assert await bench.first() == "waits"
    bench.pass_time(10, monkeypatch)
    assert await bench.store.ends.get() == ("finish" if is_over else "release", True)
    await active.settled
    assert await bench.store.claim("w2", 1, ["graph"]) == []
    assert bench.store.ends.empty()


async def test_an_asynchronous_node_that_does_not_stop_is_held_like_one_in_a_thread(bench, monkeypatch):
    at_work, released = asyncio.Event(), asyncio.Event()

    async def stubborn(claim: Claim) -> Outcome:
        bench.node.go.set()
        await bench.nodes.wait_idle(claim.lease)
        at_work.set()
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue
        return Outcome(result(claim))

    claim = await claimed(bench, deadline=datetime.now(UTC) + timedelta(minutes=30), thread_id="talk")
    await bench.store.accept([request(event(thread_id="talk"))])
    active = bench.start(claim, Leaves(bench.node, stubborn))
    await at_work.wait()
    bench.pass_time(31 * MINUTES, monkeypatch)
    assert await bench.store.ends.get() == ("finish", True)
    assert await bench.store.claim("w2", 1, ["graph"]) == []
    released.set()
    assert await bench.store.ends.get() == ("release", False)
    await active.settled
    assert [one.status for one in (await replies(bench.store)).values()] == [ResultStatus.TIMEOUT]
    assert len(await bench.store.claim("w2", 1, ["graph"])) == 1


def paused(*, at_once: bool = False) -> PauseChange:
    return PauseChange(PauseScope.FLEET, "", True, datetime(2026, 3, 1, tzinfo=UTC), at_once)


async def test_a_pause_at_once_gives_the_run_back_soon_and_holds_its_thread_until_the_node_has_ended(
    bench, monkeypatch
):
    claim = await claimed(bench)
    active = bench.start(claim, Leaves(bench.node, never))
    await bench.node.started.wait()
    active.pause([paused(at_once=True)])
    assert await bench.first() == "waits"
    bench.pass_time(PAUSE_GRACE_SECONDS, monkeypatch)
    assert await bench.store.ends.get() == ("release", True)
    assert (await bench.store.counts())[RunStatus.PENDING] == 1
    assert await bench.store.claim("w2", 1, ["graph"]) == []
    bench.node.go.set()
    assert await bench.store.ends.get() == ("release", False)
    assert bench.node.ended.is_set()
    await active.settled
    again = await claim_one(bench.store, "w2")
    assert (again.correlation_id, again.takeovers) == (claim.correlation_id, 0)


async def test_a_pause_waits_for_the_end_of_the_superstep(bench):
    active = bench.start(await claimed(bench), Leaves(bench.node, raises(GraphDrained("stop"))))
    active.pause([paused()])
    assert await bench.first() == "waits"
    bench.node.go.set()
    assert await bench.store.ends.get() == ("release", False)
    await active.settled


async def test_a_pause_leaves_a_run_alone_that_has_failed_and_waits_for_a_node(bench, monkeypatch):
    active = bench.start(await claimed(bench), Leaves(bench.node, ends(ResultStatus.FAILURE)))
    assert await bench.first() == "waits"
    active.pause([paused(at_once=True)])
    bench.pass_time(PAUSE_GRACE_SECONDS, monkeypatch)
    bench.node.go.set()
    assert await bench.store.ends.get() == ("finish", False)
    assert bench.node.ended.is_set()
    await active.settled
