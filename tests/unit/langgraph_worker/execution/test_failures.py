"""What a worker says of a graph that raised: in its result, and in its own log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from langgraph_worker.errors import StoreError
from langgraph_worker.execution.node_threads import NodeThreads
from langgraph_worker.graphs.graph_spec import GraphSpec
from langgraph_worker.graphs.loader import Graph, Graphs
from langgraph_worker.runtime.local_worker import local_worker
from langgraph_worker.settings.load import load_settings
from langgraph_worker.telemetry.logs import LineFormatter
from tests.support.runs import State, chain, opened
from workflow_events.results import ResultStatus, WorkflowResultEvent

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
    assert "failed: node 'count': KeyError: 'value' (graph " in first
    assert f'File "{HERE}"' in others[1]
    assert others[1].endswith(", in count")
    assert all(line.startswith("    ") for line in others)


async def in_a_group(state: State) -> State:
    async with asyncio.TaskGroup() as tools:
        tools.create_task(refused())
        tools.create_task(unreachable())
    return {}


async def refused() -> None:
    error = PermissionError("the key is not valid")
    error.status_code = 401  # type: ignore[attr-defined]
    raise error


async def unreachable() -> None:
    raise ConnectionError("no route")


async def test_a_groups_members_are_described_and_judged(tmp_path: Path) -> None:
    result = await ask(tmp_path, chain(tools=in_a_group))
    assert result.error == (
        "node 'tools': ExceptionGroup: unhandled errors in a TaskGroup (2 sub-exceptions): "
        "PermissionError: the key is not valid; ConnectionError: no route"
    )
    assert (result.error_type, result.retriable) == ("ExceptionGroup", False)
    assert result.traceback is not None
    assert ", in refused" in result.traceback
    assert ", in unreachable" in result.traceback


async def one_in_nested_groups(state: State) -> State:
    raise ExceptionGroup("outer", [ExceptionGroup("inner", [OSError("no route")])])


async def test_a_groups_only_member_gives_the_type(tmp_path: Path) -> None:
    result = await ask(tmp_path, chain(tools=one_in_nested_groups))
    assert (result.error_type, result.retriable) == ("OSError", True)
    assert result.error == ("node 'tools': ExceptionGroup: outer (1 sub-exception): OSError: no route")


def raises_a_group() -> None:
    raise BaseExceptionGroup("cleanup", [asyncio.CancelledError(), ConnectionError("closed")])


def raises_another() -> None:
    raise ConnectionError("closed")


@pytest.mark.parametrize("cleanup", [raises_a_group, raises_another])
async def test_a_cleanup_that_raises_does_not_make_a_cancelled_run_fail(
    tmp_path: Path, cleanup: Callable[[], None]
) -> None:
    began = asyncio.Event()

    async def waits(state: State) -> State:
        began.set()
        await asyncio.Event().wait()
        return {}

    @asynccontextmanager
    async def with_tools() -> AsyncIterator[Any]:
        try:
            yield chain(wait=waits)
        finally:
            cleanup()

    async with opened(tmp_path / "store.db") as desk:
        running = asyncio.create_task(desk.only_run(await desk.claim("g"), with_tools))
        await began.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running


@pytest.mark.parametrize("cleanup", [raises_a_group, raises_another])
async def test_a_cleanup_that_raises_makes_a_run_fail_that_nobody_has_cancelled(
    tmp_path: Path, cleanup: Callable[[], None]
) -> None:
    @asynccontextmanager
    async def with_tools() -> AsyncIterator[Any]:
        yield chain(a=lambda state: {})
        cleanup()

    async with opened(tmp_path / "store.db") as desk:
        result = (await desk.only_run(await desk.claim("g"), with_tools)).result
    assert result.status is ResultStatus.FAILURE
    assert "ConnectionError: closed" in (result.error or "")


@pytest.mark.parametrize("trouble", [StoreError("away"), StoreError("broken", retriable=False)])
async def test_a_store_that_fails_inside_of_a_group_is_no_failure_of_the_graph(
    tmp_path: Path, trouble: StoreError
) -> None:
    def fails(state: State) -> State:
        raise ExceptionGroup("tools", [ValueError("no"), ExceptionGroup("inner", [trouble])])

    async with opened(tmp_path / "store.db") as desk:
        with pytest.raises(StoreError) as raised:
            await desk.only_run(await desk.claim("g"), chain(a=fails))
    assert raised.value is trouble
