"""What a worker says of a graph that raised: in its result, and in its own log."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from langgraph_worker.execution.node_threads import NodeThreads
from langgraph_worker.graphs.graph_spec import GraphSpec
from langgraph_worker.graphs.loader import Graph, Graphs
from langgraph_worker.runtime.local_worker import local_worker
from langgraph_worker.settings.load import load_settings
from langgraph_worker.telemetry.logs import LineFormatter
from tests.support.runs import State, chain
from workflow_events.results import WorkflowResultEvent

HERE = "tests/unit/langgraph_worker/execution/test_failures.py"


async def ask(folder: Path, graph: Any) -> WorkflowResultEvent:
    """The result of one run, by a worker without Kafka."""
    settings = load_settings({"store_url": f"sqlite:///{folder / 'store.db'}"})
    graphs = Graphs({"g": Graph.from_variable(GraphSpec("g", "x", False, "x"), graph)})
    event = {
        "event_id": str(uuid4()),
        "event_type": "workflow.triggered",
        "source": "airflow",
        "workflow_id": "dag",
        "workflow_run_id": "run",
        "graph": "g",
        "payload": {"data": {"log": []}},
    }
    async with local_worker(settings, graphs, NodeThreads(2)) as worker:
        return await worker.ask(event)


def count(state: State) -> State:
    return {"value": len(state["value"])}


async def test_the_result_has_the_graphs_own_frames(tmp_path: Path) -> None:
    result = await ask(tmp_path, chain(count=count))
    assert (result.error, result.error_type) == ("node 'count': KeyError: 'value'", "KeyError")
    assert result.traceback is not None
    assert [line for line in result.traceback.splitlines() if line.startswith("  ")] == [
        f'  File "{HERE}", line {count.__code__.co_firstlineno + 1}, in count',
        '    return {"value": len(state["value"])}',
    ]


async def test_the_line_of_its_end_has_them_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    await ask(tmp_path, chain(count=count))
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    first, *others = LineFormatter().format(record).split("\n")
    assert first.endswith(": node 'count': KeyError: 'value'")
    assert f'File "{HERE}"' in others[1] and others[1].endswith(", in count")
    assert all(line.startswith("    ") for line in others)
