"""Child graphs without a checkpointer: LangGraph alone fails on them where checkpoints are durable at each step."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from langgraph.func import entrypoint

from tests.support.runs import Desk, State, chain, opened
from workflow_events.results import ResultStatus


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with opened(tmp_path / "store.db") as desk:
        yield desk


def says(text: str):
    return lambda state: {"log": [text]}


async def test_a_node_may_be_a_graph_without_a_checkpointer(desk: Desk):
    child = chain(x=says("x"), y=says("y")).compile(checkpointer=False)
    done = await desk.run(await desk.claim("graph"), chain(a=child, b=says("b")))
    assert (done.result.status, done.result.result) == (ResultStatus.SUCCESS, {"log": ["x", "y", "b"]})


async def test_a_node_may_call_one(desk: Desk):
    child = chain(x=says("x")).compile(checkpointer=False)

    async def call(state: State) -> State:
        return {"log": [*(await child.ainvoke({"log": []}))["log"], "a"]}

    done = await desk.run(await desk.claim("graph"), chain(a=call))
    assert (done.result.status, done.result.result) == (ResultStatus.SUCCESS, {"log": ["x", "a"]})


async def test_a_synchronous_node_may_call_one(desk: Desk):
    child = chain(x=says("x")).compile(checkpointer=False)
    done = await desk.run(await desk.claim("graph"), chain(a=lambda state: child.invoke({"log": []})))
    assert (done.result.status, done.result.result) == (ResultStatus.SUCCESS, {"log": ["x"]})


async def test_a_flow_may_be_one(desk: Desk):
    @entrypoint(checkpointer=False)
    async def child(given: State) -> State:
        return {"log": ["flow"]}

    done = await desk.run(await desk.claim("graph"), chain(a=child))
    assert (done.result.status, done.result.result) == (ResultStatus.SUCCESS, {"log": ["flow"]})
