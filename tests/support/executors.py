"""Executors without an intake."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from langgraph_worker.domain.models import Claim
from langgraph_worker.execution.executor import Executor
from langgraph_worker.execution.graph_shares import GraphShares
from langgraph_worker.execution.lease_keeper import LeaseKeeper, LeaseTiming
from langgraph_worker.execution.node_threads import NodeThreads
from langgraph_worker.execution.run_context import RunContext
from langgraph_worker.execution.run_meter import RunMeter
from langgraph_worker.settings.load import load_settings
from langgraph_worker.telemetry.metrics import Metrics
from langgraph_worker.telemetry.progress import Progress


class FakeRunner:
    """What stands for a runner, counts nothing and reports nothing."""

    progress = Progress()

    def meter_for(self, claim: Claim) -> RunMeter:
        return RunMeter(claim.spent)


class NoIntake:
    """Is told of the slots, and takes nothing in."""

    def claimed(self, runs: object) -> None:
        pass

    def slots_in_use(self, count: int) -> None:
        pass

    def turn_ended(self, *, nothing_can_start: bool, open_graphs: object) -> None:
        pass


def executor_of(
    store: Any,
    runner: Any,
    on_result: Callable[[], None] = lambda: None,
    now: Callable[[], float] = time.monotonic,
    metrics: Metrics | None = None,
    **settings: str,
) -> Executor:
    """An executor of a worker with these settings, for graph ``graph``.

    :param now: the clock that its leases are judged by.
    """
    chosen = load_settings(settings)
    nodes, lease_seconds = NodeThreads(1), chosen.lease_seconds
    context = RunContext(store, runner, nodes, chosen.worker_id, lease_seconds, on_result, metrics or Metrics())
    keeper = LeaseKeeper(store, chosen.worker_id, LeaseTiming.from_settings(chosen), now=now)
    shares = GraphShares(["graph"], chosen.concurrency, {})
    return Executor(context, keeper, shares, NoIntake())
