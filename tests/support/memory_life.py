"""``python -m tests.support.memory_life URL KILL_AT``: a worker without Kafka that runs one request and is killed.

It is killed at a point of the run: ``put`` (the node has put its item, and has not ended), ``next`` (in the node after
it) or ``asked`` (the question of the node is stored as the run's result).
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from langgraph.graph import StateGraph
from langgraph.runtime import RunControl, Runtime
from langgraph.types import interrupt

from langgraph_worker.checkpoints.memories import Memories
from langgraph_worker.checkpoints.saver import Checkpoints
from langgraph_worker.domain.models import Claim
from langgraph_worker.domain.results import Outcome
from langgraph_worker.execution.node_threads import NodeThreads
from langgraph_worker.execution.runner import Runner
from langgraph_worker.graphs.graph_spec import GraphSpec
from langgraph_worker.graphs.loader import Graph, Graphs
from langgraph_worker.store.sql.run_store import SqlRunStore
from tests.support.run_store import attempt, request
from tests.support.runs import LEASE, LIMITS, State, chain

NOTES = ("notes",)


def kill_here() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def never() -> None:
    """Go on."""


def graph(at: Callable[[str], None]) -> StateGraph:
    """A node that puts, a node that goes on, a node that puts and asks, and one that reads."""

    def first(state: State, runtime: Runtime) -> State:
        runtime.store.put(NOTES, "first", {"n": 1})
        at("put")
        return {"log": ["first"]}

    async def following(state: State) -> State:
        at("next")
        return {"log": ["following"]}

    async def asks(state: State, runtime: Runtime) -> State:
        await runtime.store.aput(NOTES, "asks", {"n": 2})
        return {"log": [interrupt("well?")]}

    async def reads(state: State, runtime: Runtime) -> State:
        return {"log": sorted(item.key for item in await runtime.store.asearch(NOTES))}

    return chain(first=first, following=following, asks=asks, reads=reads)


@asynccontextmanager
async def worker(url: str, later: timedelta = timedelta()) -> AsyncIterator[tuple[SqlRunStore, Runner]]:
    """A worker's store and runner.

    :param later: how far ahead its clock is: the leases of a worker that is gone are over.
    """
    store = SqlRunStore(url, lease_seconds=LEASE, now=lambda: datetime.now(UTC) + later)
    await store.open()
    try:
        checkpoints, memories = Checkpoints(store), Memories(store)
        await checkpoints.setup()
        await memories.setup()
        yield store, Runner(Graphs({}), checkpoints, memories, store, "w1", LIMITS)
    finally:
        await store.close()


async def run(runner: Runner, claim: Claim, at: Callable[[str], None]) -> Outcome:
    """One claim, on the graph of this module."""
    graphs = Graphs({"graph": Graph.from_variable(GraphSpec("graph", "x", False, "x"), graph(at))})
    made = Runner(graphs, runner.checkpoints, runner.memories, runner.store, "w1", LIMITS)
    return await made.run(claim, RunControl())


async def main(url: str, kill_at: str) -> None:
    asyncio.get_running_loop().set_default_executor(NodeThreads(2))
    async with worker(url) as (store, runner):
        await store.accept([request(attempt(1))])
        [claim] = await store.claim("w1", 1, ["graph"])
        outcome = await run(runner, claim, lambda point: kill_here() if point == kill_at else never())
        assert await store.finish(claim, outcome.result, outcome.failure)
        kill_here()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
