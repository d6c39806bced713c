"""What a deferral costs an agent: task time and slot seconds, by how long the agent works and ``defer_after``.

A real scheduler, triggerer and worker, with Airflow's own default of ``[workers] min_heartbeat_interval``. Task time is
from the start of the task to its end, as Airflow notes them. Slot seconds are how long the executor's processes of the
task lived, all of its parts together.

Run it alone: ``python -m benchmarks.short_agents``. Figures of a busy machine say little; their ratios say more.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import tempfile
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from devtools.airflow import AirflowStack
from devtools.kafka import choose
from devtools.processes import wait_until
from devtools.worker import Worker

SECONDS = (0.2, 2.0, 20.0)
DAG = """
from airflow.sdk import DAG
from airflow_provider_langgraph.operators.langgraph import LangGraphTriggerOperator

with DAG("short_agents", render_template_as_native_obj=True):
    LangGraphTriggerOperator(
        task_id="agent",
        graph="sleeper",
        input={"seconds": "{{ dag_run.conf['seconds'] }}"},
        defer_after="{{ dag_run.conf['defer_after'] }}",
    )
"""
GRAPH = """
import asyncio
from typing import TypedDict
from langgraph.graph import END, START, StateGraph


class State(TypedDict):
    seconds: float


async def sleep(state: State) -> State:
    await asyncio.sleep(state["seconds"])
    return state


graph = StateGraph(State).add_node("sleep", sleep).add_edge(START, "sleep").add_edge("sleep", END)
"""


@dataclass(frozen=True, slots=True)
class Measured:
    """One task.

    :param task: from its start to its end, in seconds.
    :param slot: how long its processes lived, in seconds.
    :param parts: the number of its processes.
    """

    task: float
    slot: float
    parts: int


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.short_agents", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--defer-after", type=float, nargs="+", default=[0, 2, 5, 10], metavar="SECONDS")
    parser.add_argument("--agents", type=float, nargs="+", default=list(SECONDS), metavar="SECONDS")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, choose() as broker:
        dags, graphs = _files(Path(folder))
        fleet = f"bench{uuid.uuid4().hex[:8]}"
        env = {"AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "5"}
        with (
            Worker(broker, graphs, Path(folder), fleet=fleet),
            AirflowStack([dags], kafka=broker.client, fleet=fleet, env=env) as airflow,
        ):
            measure(airflow, 0.2, 0)  # the first task of an Airflow is slow
            print(HEAD)
            for seconds in options.agents:
                for defer_after in options.defer_after:
                    found = [measure(airflow, seconds, defer_after) for _ in range(options.rounds)]
                    print(line(seconds, defer_after, found), flush=True)


HEAD = f"{'agent':>7} {'defer_after':>12} {'task s':>8} {'(least, most)':>16} {'slot s':>8} {'parts':>6} {'load':>6}"


def line(seconds: float, defer_after: float, found: Sequence[Measured]) -> str:
    """A line of the table: medians."""
    tasks = [one.task for one in found]
    span = f"{min(tasks):.1f}, {max(tasks):.1f}"
    slot = statistics.median(one.slot for one in found)
    parts = statistics.median(one.parts for one in found)
    return (
        f"{seconds:7.1f} {defer_after:12.1f} {statistics.median(tasks):8.1f} {span:>16} {slot:8.1f} {parts:6.1f}"
        f" {os.getloadavg()[0]:6.1f}"
    )


def measure(airflow: AirflowStack, seconds: float, defer_after: float) -> Measured:
    """Run one task.

    :raises DevtoolsError: it did not succeed.
    """
    run_id = airflow.run_dag("short_agents", {"seconds": seconds, "defer_after": defer_after})
    state = airflow.wait_for_run("short_agents", run_id, timeout=240)
    task = airflow.api.task_instance("short_agents", run_id, "agent")
    if state != "success":
        raise SystemExit(airflow.api.logs("short_agents", run_id, "agent"))
    count = 2 if "Waiting for the reply" in airflow.api.logs("short_agents", run_id, "agent") else 1
    parts = wait_until("the executor to note the task's end", lambda: _parts(airflow, task.id, count), timeout=30)
    return Measured(task.duration or 0.0, sum(parts), len(parts))


def _parts(airflow: AirflowStack, task_id: str, count: int) -> list[float]:
    """How long each process of a task lived; empty before the executor has noted so many."""
    lines = [one for one in airflow.children["scheduler"].output().splitlines() if task_id in one]
    parts = [float(found[1]) for one in lines if (found := re.search(r"Workload finished.*duration=([\d.]+)", one))]
    return parts if len(parts) >= count else []


def _files(folder: Path) -> tuple[Path, Path]:
    dags, graphs = folder / "dags", folder / "graphs"
    for one in (dags, graphs):
        one.mkdir()
    (dags / "short_agents.py").write_text(DAG)
    (graphs / "sleeper.py").write_text(GRAPH)
    manifest = graphs / "langgraph.json"
    manifest.write_text(json.dumps({"dependencies": ["."], "graphs": {"sleeper": "./sleeper.py:graph"}}))
    return dags, manifest


if __name__ == "__main__":
    main()
