"""The parts that runs need, whoever brings the requests: store, leases, checkpoints, executor."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime

from langgraph_worker.checkpoints.loadable_classes import LoadableClasses
from langgraph_worker.checkpoints.memories import Memories
from langgraph_worker.checkpoints.saver import Checkpoints
from langgraph_worker.domain.memory import MemoryLimits
from langgraph_worker.execution.executor import Executor
from langgraph_worker.execution.graph_shares import GraphShares
from langgraph_worker.execution.lease_keeper import LeaseKeeper, LeaseTiming
from langgraph_worker.execution.node_threads import NodeThreads
from langgraph_worker.execution.run_context import RunContext
from langgraph_worker.execution.runner import RunLimits, Runner
from langgraph_worker.execution.turn_queue import TurnQueue
from langgraph_worker.graphs.loader import Graphs
from langgraph_worker.intake.free_room import FreeRoom
from langgraph_worker.runtime.make_store import make_store
from langgraph_worker.settings.model import WorkerSettings
from langgraph_worker.store.sql.run_store import SqlRunStore
from langgraph_worker.telemetry.metrics import Metrics
from langgraph_worker.telemetry.prices import price_list
from langgraph_worker.telemetry.progress import Progress
from langgraph_worker.telemetry.traces.port import NoTracing, Tracing


@dataclass(frozen=True, slots=True)
class RunParts:
    """What is opened first and closed last.

    :param store: open.
    :param keeper: of the store's leases; the checkpoints ask it.
    """

    store: SqlRunStore
    keeper: LeaseKeeper
    checkpoints: Checkpoints
    memories: Memories
    metrics: Metrics
    turns: TurnQueue


async def open_run_parts(
    stack: AsyncExitStack,
    settings: WorkerSettings,
    graphs: Graphs,
    now: Callable[[], datetime] | None = None,
    metrics: Metrics | None = None,
) -> RunParts:
    """Open the store, with the tables of the checkpoints and of the long-term memory. The stack closes it.

    :param metrics: count what the runs do; None: nobody reads them.
    :raises StoreError: it cannot be used.
    """
    await asyncio.to_thread(price_list)  # here, and not on the event loop when the first model has answered
    store = make_store(settings, graphs, now)
    await store.open()
    stack.push_async_callback(store.close)
    keeper = LeaseKeeper(store, settings.worker_id, LeaseTiming.from_settings(settings))
    loadable = LoadableClasses(graphs.folders, graphs.packages, settings.checkpoint_packages)
    metrics = metrics or Metrics()
    checkpoints = Checkpoints(store, keeper.ensure_lease, loadable, settings.warn_state_bytes, metrics)
    await checkpoints.setup()
    memories = Memories(store, graphs.memory, _memory_limits(settings))
    await memories.setup()
    turns = TurnQueue(store, graphs.models, metrics)
    stack.callback(turns.close)
    return RunParts(store, keeper, checkpoints, memories, metrics, turns)


def _memory_limits(settings: WorkerSettings) -> MemoryLimits:
    return MemoryLimits(settings.max_memory_items, settings.max_memory_bytes, settings.max_memory_item_bytes)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What an executor reports to.

    :param progress: where the runs' progress is published.
    :param free_room: hears of its slots.
    :param on_result: called when a result is stored.
    :param tracing: makes the runs' traces.
    """

    progress: Progress
    free_room: FreeRoom
    on_result: Callable[[], None]
    tracing: Tracing = field(default_factory=NoTracing)


def make_executor(
    settings: WorkerSettings, graphs: Graphs, nodes: NodeThreads, parts: RunParts, around: Surroundings
) -> Executor:
    """An executor of these graphs, not running yet. Call it in the event loop."""
    limits = RunLimits.from_settings(settings)
    runner = Runner(
        graphs,
        parts.checkpoints,
        parts.memories,
        parts.store,
        settings.worker_id,
        limits,
        around.progress,
        parts.turns,
    )
    context = RunContext(
        parts.store,
        runner,
        nodes,
        settings.worker_id,
        settings.lease_seconds,
        around.on_result,
        parts.metrics,
        around.tracing,
    )
    shares = GraphShares(graphs.names, settings.concurrency, settings.graph_concurrency)
    return Executor(context, parts.keeper, shares, around.free_room)
