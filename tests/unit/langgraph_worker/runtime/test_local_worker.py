"""A worker whose requests come from the program that holds it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from langgraph.graph import START, StateGraph
from langgraph.types import interrupt

from langgraph_worker.execution.node_threads import NodeThreads
from langgraph_worker.graphs.graph_spec import GraphSpec
from langgraph_worker.graphs.loader import Graph, Graphs
from langgraph_worker.runtime.local_worker import LocalWorker, UnansweredError, local_worker
from langgraph_worker.settings.load import load_settings
from workflow_events.results import ResultStatus


def ask(state: dict[str, Any]) -> dict[str, Any]:
    return {"answer": interrupt("sure?")}


def graph(node: Any) -> Any:
    return StateGraph(dict).add_node("node", node).add_edge(START, "node").compile()


def opened(folder: Path, **nodes: Any) -> AbstractAsyncContextManager[LocalWorker]:
    settings = load_settings({"store_url": f"sqlite:///{folder / 'store.db'}"})
    specs = {name: GraphSpec(name, "x", False, "x") for name in nodes}
    graphs = {name: Graph.from_variable(specs[name], graph(node)) for name, node in nodes.items()}
    return local_worker(settings, Graphs(graphs), NodeThreads(2))


def event(name: str, **fields: Any) -> dict[str, Any]:
    return {
        "event_id": str(uuid4()),
        "event_type": "workflow.triggered",
        "source": "langgraph",
        "workflow_id": "w",
        "workflow_run_id": "r",
        "graph": name,
        "payload": {"data": {"x": 1}},
        **fields,
    }


def answer(questions: list[Any], value: Any, **fields: Any) -> dict[str, Any]:
    given = [{"interrupt_id": question.id, "value": value} for question in questions]
    return event("asks", event_type="workflow.resumed", round=1, answers=given, **fields)


@pytest.fixture
async def worker(tmp_path: Path) -> AsyncIterator[LocalWorker]:
    async with opened(tmp_path, doubles=lambda state: {"x": state["x"] * 2}, asks=ask) as found:
        yield found


async def test_a_request_is_answered(worker: LocalWorker):
    result = await worker.ask(event("doubles"))
    assert (result.status, result.result) == (ResultStatus.SUCCESS, {"x": 2})


async def test_the_same_request_runs_once(tmp_path: Path):
    ran: list[int] = []

    def node(state: dict[str, Any]) -> dict[str, Any]:
        ran.append(state["x"])
        return state

    asked = event("counts")
    async with opened(tmp_path, counts=node) as worker:
        first = await worker.ask(asked)
    async with opened(tmp_path, counts=node) as worker:
        assert await worker.ask(asked) == first
    assert ran == [1]


async def test_what_is_wrong_with_an_event_is_a_result(worker: LocalWorker):
    result = await worker.ask(event("doubles", config={"recursion_limit": 0}))
    assert (result.status, result.error_type) == (ResultStatus.ERROR, "invalid_event")
    assert "field 'config.recursion_limit'" in (result.error or "")


async def test_questions_are_those_of_one_run_of_a_workflow(worker: LocalWorker):
    asked = await worker.ask(event("asks", thread_id="a", workflow_run_id="a"))
    await worker.ask(event("asks", thread_id="b", workflow_run_id="b"))
    assert await worker.questions("w", "a") == asked.interrupts
    await worker.ask(answer(asked.interrupts, "yes", thread_id="a", workflow_run_id="a"))
    assert await worker.questions("w", "a") == []
    assert len(await worker.questions("w", "b")) == 1


async def test_an_input_for_a_thread_that_waits_for_a_person_is_taken_back(worker: LocalWorker):
    asked = await worker.ask(event("asks", thread_id="talk"))
    with pytest.raises(UnansweredError) as error:
        await worker.ask(event("asks", thread_id="talk", workflow_run_id="another"))
    assert error.value.questions == asked.interrupts
    done = await worker.ask(answer(asked.interrupts, "yes", thread_id="talk"))
    assert done.result == {"answer": "yes"}
    # Nothing else waits for the thread.
    assert (await worker.ask(event("asks", thread_id="talk"))).status is ResultStatus.INTERRUPTED


async def test_a_call_that_is_cancelled_cancels_its_request(tmp_path: Path):
    begun = asyncio.Event()

    async def hang(state: dict[str, Any]) -> dict[str, Any]:
        begun.set()
        await asyncio.Event().wait()
        return state

    asked = event("hangs")
    async with opened(tmp_path, hangs=hang) as worker:
        call = asyncio.create_task(worker.ask(asked))
        await begun.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert (await worker.ask(asked)).status is ResultStatus.CANCELLED
