"""Runs per second of a 3-node no-op graph, 50 at once: by the worker, and by a direct call with the stock saver.

The worker does all of its work but Kafka's part: it claims a run under a lease, makes every superstep durable and
fenced, records every execution of a node and stores the result. The direct call stores checkpoints and nothing else.

Run it alone: ``make bench-runs``. It needs a PostgreSQL (:mod:`devtools.postgres`).
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

import aiosqlite
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import START, StateGraph
from langgraph.pregel import Pregel
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from devtools.postgres import PostgresServer, choose_postgres
from langgraph_worker.checkpoints.memories import Memories
from langgraph_worker.checkpoints.saver import Checkpoints
from langgraph_worker.domain.models import Origin, Request, RunStatus
from langgraph_worker.execution.executor import Executor
from langgraph_worker.execution.graph_shares import GraphShares
from langgraph_worker.execution.lease_keeper import LeaseKeeper, LeaseTiming
from langgraph_worker.execution.node_threads import NodeThreads
from langgraph_worker.execution.run_context import RunContext
from langgraph_worker.execution.runner import RunLimits, Runner
from langgraph_worker.graphs.graph_spec import GraphSpec
from langgraph_worker.graphs.loader import Graph, Graphs
from langgraph_worker.intake.backlog_limits import BacklogLimits
from langgraph_worker.intake.free_room import FreeRoom
from langgraph_worker.settings.load import load_settings
from langgraph_worker.store.sql.run_store import SqlRunStore
from langgraph_worker.store.sql.run_writes import Outcome, Write
from workflow_events.models import EventSource, EventType, WorkflowEvent, WorkflowEventPayload

CONCURRENCY = 50


class State(TypedDict):
    count: int


async def _add(state: State) -> State:
    return {"count": state["count"] + 1}


def build() -> StateGraph[State]:
    """A chain of three nodes, each of which adds one."""
    builder = StateGraph(State)
    before = START
    for name in ("a", "b", "c"):
        builder.add_node(name, _add)
        builder.add_edge(before, name)
        before = name
    return builder


# ---- the direct call ----


async def direct(saver: BaseCheckpointSaver[str] | None, runs: int) -> float:
    """The seconds that ``runs`` calls take, :data:`CONCURRENCY` at once."""
    graph = build().compile(checkpointer=saver)
    numbers = iter(range(runs))

    async def one_after_another() -> None:
        for number in numbers:
            config = {"configurable": {"thread_id": f"direct-{number}-{time.monotonic_ns()}"}}
            options: dict[str, Any] = {} if saver is None else {"durability": "sync"}
            assert (await graph.ainvoke({"count": 0}, config, **options))["count"] == 3  # type: ignore[call-overload]

    began = time.perf_counter()
    await asyncio.gather(*(one_after_another() for _ in range(CONCURRENCY)))
    return time.perf_counter() - began


@asynccontextmanager
async def stock_postgres(url: str, pool: int) -> AsyncIterator[AsyncPostgresSaver]:
    options = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
    async with AsyncConnectionPool(url, min_size=pool, max_size=pool, kwargs=options, open=False) as connections:
        saver = AsyncPostgresSaver(connections)  # type: ignore[arg-type]
        await saver.setup()
        yield saver


@asynccontextmanager
async def stock_sqlite(path: Path) -> AsyncIterator[AsyncSqliteSaver]:
    async with aiosqlite.connect(path) as connection:
        saver = AsyncSqliteSaver(connection)
        await saver.setup()
        await connection.execute("PRAGMA synchronous=FULL")  # as durable as PostgreSQL
        yield saver


async def fenced(url: str, runs: int) -> float:
    """The direct call, but with the worker's checkpointer, each run under a lease."""
    store = SqlRunStore(url)
    await store.open()
    try:
        checkpoints = Checkpoints(store)
        await checkpoints.setup()
        await _accept(store, runs)
        claims = iter([claim for _ in range(0, runs, 100) for claim in await store.claim("bench", 100, ["g"])])

        compiled = build().compile()

        async def one_after_another() -> None:
            for claim in claims:
                graph = compiled.copy(update={"checkpointer": checkpoints.saver_for(claim)})
                config = {"configurable": {"thread_id": claim.thread_id}}
                state = await graph.ainvoke({"count": 0}, config, durability="sync")  # type: ignore[call-overload]
                assert state["count"] == 3

        began = time.perf_counter()
        await asyncio.gather(*(one_after_another() for _ in range(CONCURRENCY)))
        return time.perf_counter() - began
    finally:
        await store.close()


# ---- the worker ----


@dataclass
class Spent:
    """What a worker's time was spent for.

    :param writing: seconds that the thread of the runs' transactions was busy.
    :param batches: the number of writes of each of its transactions.
    """

    writing: float = 0.0
    batches: list[int] = field(default_factory=list)

    @contextmanager
    def watching(self, store: SqlRunStore) -> Iterator[None]:
        commit = store._commit

        async def timed(batch: list[Write]) -> list[Outcome]:
            began = time.perf_counter()
            try:
                return await commit(batch)
            finally:
                self.writing += time.perf_counter() - began
                self.batches.append(len(batch))

        store._group._commit = timed  # type: ignore[assignment]
        yield


async def worker(url: str, runs: int, spent: Spent) -> float:
    """The seconds from the first claim to the last stored result."""
    store = SqlRunStore(url)
    await store.open()
    try:
        checkpoints = Checkpoints(store)
        await checkpoints.setup()
        memories = Memories(store)
        await memories.setup()
        await _accept(store, runs)
        compiled: Pregel[Any] = build().compile()
        graphs = Graphs({"g": Graph.from_variable(GraphSpec("g", "x", False, "x"), compiled)})
        limits = RunLimits(25, 65_536, 1_000_000)
        runner = Runner(graphs, checkpoints, memories, store, "bench", limits)
        with spent.watching(store):
            return await _drive(store, runner, runs)
    finally:
        await store.close()


async def _accept(store: SqlRunStore, runs: int) -> None:
    for first in range(0, runs, 500):
        await store.accept([_request(number) for number in range(first, min(first + 500, runs))])


def _request(number: int) -> Request:
    event = WorkflowEvent(
        event_type=EventType.WORKFLOW_TRIGGERED,
        source=EventSource.AIRFLOW,
        workflow_id="bench",
        workflow_run_id="bench",
        payload=WorkflowEventPayload(data={"count": 0}),
    )
    return Request(event, "g", "results", Origin("c", "events", 0, number))


class _NoConsumer:
    """Delivers nothing: the runs are in the store already."""

    def allow(self, total: int) -> None:
        pass

    def look_ahead(self, wanted: bool) -> None:
        pass


async def _drive(store: SqlRunStore, runner: Runner, runs: int) -> float:
    done = asyncio.Event()
    ended = 0

    def one_more() -> None:
        nonlocal ended
        ended += 1
        if ended == runs:
            done.set()

    settings = load_settings({"concurrency": str(CONCURRENCY), "worker_id": "bench"})
    nodes = NodeThreads(settings.node_threads)
    context = RunContext(
        store,
        runner,
        nodes,
        settings.worker_id,
        settings.lease_seconds,
        on_result=one_more,
    )
    keeper = LeaseKeeper(store, settings.worker_id, LeaseTiming.from_settings(settings))
    limits = BacklogLimits(store, settings)
    free_room = FreeRoom(_NoConsumer(), store, settings.concurrency, settings.prefetch, limits)
    executor = Executor(context, keeper, GraphShares(["g"], settings.concurrency, {}), free_room)
    keeping = asyncio.create_task(executor.keep_leases())
    began = time.perf_counter()
    running = asyncio.create_task(executor.run())
    await done.wait()
    seconds = time.perf_counter() - began
    await executor.drain(1.0)
    keeping.cancel()
    await asyncio.wait({running, keeping})
    assert (await store.counts())[RunStatus.COMPLETED] >= runs
    return seconds


# ---- the table ----


@dataclass(frozen=True)
class Contender:
    """One line of the table."""

    name: str
    seconds: Callable[[], Any]


def measure(server: PostgresServer, folder: Path, runs: int, rounds: int) -> None:
    """Measure each contender once in each round; print the medians, and what the worker's time is spent for."""
    spent = {"PostgreSQL": Spent(), "SQLite": Spent()}

    async def with_stock_postgres() -> float:
        async with stock_postgres(server.create_database("bench"), 10) as saver:
            return await direct(saver, runs)

    async def with_stock_sqlite() -> float:
        async with stock_sqlite(folder / f"stock-{time.monotonic_ns()}.db") as saver:
            return await direct(saver, runs)

    contenders = [
        Contender("direct, no saver", lambda: direct(None, runs)),
        Contender("direct, InMemorySaver", lambda: direct(InMemorySaver(), runs)),
        Contender("direct, stock AsyncPostgresSaver, pool of 10", with_stock_postgres),
        Contender("direct, fenced saver, PostgreSQL", lambda: fenced(server.create_database("bench"), runs)),
        Contender("worker, PostgreSQL", lambda: worker(server.create_database("bench"), runs, spent["PostgreSQL"])),
        Contender("direct, stock AsyncSqliteSaver", with_stock_sqlite),
        Contender(
            "direct, fenced saver, SQLite",
            lambda: fenced(f"sqlite:///{folder}/fenced-{time.monotonic_ns()}.db", runs),
        ),
        Contender(
            "worker, SQLite",
            lambda: worker(f"sqlite:///{folder}/worker-{time.monotonic_ns()}.db", runs, spent["SQLite"]),
        ),
    ]
    rates: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for _ in range(rounds):
        for contender in contenders:
            rates[contender.name].append(runs / asyncio.run(contender.seconds()))
    print(f"{runs} runs of a 3-node no-op graph, {CONCURRENCY} at once, {rounds} rounds, {server.description}")
    for name, found in rates.items():
        print(f"{name:<46} {statistics.median(found):7.0f} runs/s   ({min(found):.0f} to {max(found):.0f})")
    for backend, stock in (("PostgreSQL", "AsyncPostgresSaver, pool of 10"), ("SQLite", "AsyncSqliteSaver")):
        ratio = statistics.median(rates[f"worker, {backend}"]) / statistics.median(rates[f"direct, stock {stock}"])
        took = runs * rounds / statistics.mean(rates[f"worker, {backend}"])
        sizes = spent[backend].batches
        print(
            f"{backend}: the worker does {ratio:.2f} times the stock saver's runs; {len(sizes) / runs / rounds:.2f} "
            f"transactions a run of {statistics.mean(sizes):.1f} writes; their thread is busy "
            f"{spent[backend].writing / took:.0%} of the time"
        )


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with choose_postgres() as server, tempfile.TemporaryDirectory() as folder:
        measure(server, Path(folder), arguments.runs, arguments.rounds)


if __name__ == "__main__":
    main()
