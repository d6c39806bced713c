"""How far a run goes and how wide it is: as its graph means it, unless the fleet or the event lowers it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypedDict

import pytest
from langgraph.errors import GraphRecursionError
from langgraph.graph import START, StateGraph
from langgraph.pregel import Pregel

from langgraph_worker.execution.runner import RunLimits
from langgraph_worker.settings.load import load_settings
from tests.support.runs import TESTS, Desk, State, chain, opened
from workflow_events.models import RunConfig
from workflow_events.results import ResultStatus


class Loop(TypedDict, total=False):
    n: int


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with opened(tmp_path / "store.db") as desk:
        yield desk


def limited(desk: Desk, steps: int | None) -> Desk:
    """The desk of a worker with this setting."""

    def runner(graphs: Any) -> Any:
        made = desk.runner(graphs)
        return replace(made, limits=replace(made.limits, recursion_limit=steps))

    return replace(desk, runner=runner)


def loop(to: int | None = None) -> Pregel[Any]:
    """A graph that goes on for so many supersteps, or for ever."""
    builder = StateGraph(Loop)
    builder.add_node("a", lambda state: {"n": state.get("n", 0) + 1})
    builder.add_edge(START, "a")
    builder.add_conditional_edges("a", lambda state: "__end__" if state["n"] == to else "a")
    return builder.compile()


@pytest.mark.parametrize(
    ("own", "setting", "asked", "reached", "set_by"),
    [
        (30, None, None, 30, "the graph itself: with_config(recursion_limit=...)"),
        (30, 40, 50, 30, "the graph itself: with_config(recursion_limit=...)"),
        (30, 20, None, 20, "the worker: LANGGRAPH_WORKER_RECURSION_LIMIT"),
        (30, 20, 25, 20, "the worker: LANGGRAPH_WORKER_RECURSION_LIMIT"),
        (30, 20, 10, 10, "the event: config.recursion_limit"),
        (None, 20, 1000, 20, "the worker: LANGGRAPH_WORKER_RECURSION_LIMIT"),
        (None, None, 10, 10, "the event: config.recursion_limit"),
    ],
)
async def test_the_lowest_limit_holds_and_the_error_says_whose_it_is(desk, own, setting, asked, reached, set_by):
    desk, graph = limited(desk, setting), loop()
    if own is not None:
        graph = graph.with_config(recursion_limit=own)
    claim = await desk.claim("g", config=RunConfig(recursion_limit=asked))
    result = (await desk.run(claim, graph)).result
    assert (result.status, result.error_type, result.retriable) == (ResultStatus.FAILURE, "GraphRecursionError", False)
    assert f"Recursion limit of {reached} reached. It is set by {set_by}" in result.error


async def test_without_a_limit_a_graph_goes_as_far_as_with_langgraph_alone(desk):
    desk = limited(desk, None)
    assert (await desk.run(await desk.claim("g"), loop(150))).result.result == {"n": 150}


async def test_a_graphs_own_high_limit_holds(desk):
    desk = limited(desk, None)
    graph = loop(150).with_config(recursion_limit=9_999)
    assert (await desk.run(await desk.claim("g"), graph)).result.result == {"n": 150}


async def test_the_limit_of_a_child_graph_is_not_taken_for_the_runs(desk):
    async def calls(state: State) -> State:
        await loop().ainvoke({}, {"recursion_limit": 4})
        return {}

    result = (await desk.run(await desk.claim("g"), chain(calls=calls))).result
    assert "Recursion limit of 4 reached without" in result.error


def test_the_setting_is_not_set_by_default(monkeypatch):
    assert RunLimits.from_settings(load_settings({})).recursion_limit is None
    monkeypatch.setenv("LANGGRAPH_WORKER_RECURSION_LIMIT", "50")
    assert RunLimits.from_settings(load_settings({})).recursion_limit == 50


@pytest.mark.parametrize(("own", "asked", "most"), [(None, None, 4), (2, None, 2), (2, 3, 2), (3, 1, 1), (None, 2, 2)])
async def test_as_many_nodes_run_at_once_as_the_graph_or_the_event_says(desk, own, asked, most):
    running = highest = 0

    async def node(state: State) -> State:
        nonlocal running, highest
        running += 1
        highest = max(highest, running)
        for _ in range(20):  # turns of the event loop, in which others could start
            await asyncio.sleep(0)
        running -= 1
        return {"log": ["n"]}

    builder = StateGraph(State)
    for name in "abcd":
        builder.add_node(name, node)
        builder.add_edge(START, name)
    graph = builder.compile()
    if own is not None:
        graph = graph.with_config(max_concurrency=own)
    await desk.run(await desk.claim("g", config=RunConfig(max_concurrency=asked)), graph)
    assert highest == most


DEFAULT_LIMIT = """
from langgraph.errors import GraphRecursionError
from langgraph.graph import START, StateGraph
from langgraph_worker.execution.recursion_limits import DEFAULT_RECURSION_LIMIT

builder = StateGraph(dict).add_node("a", lambda state: state).add_edge(START, "a").add_edge("a", "a")
try:
    builder.compile().invoke({"n": 1})
except GraphRecursionError as error:
    print(DEFAULT_RECURSION_LIMIT, error)
"""


def test_langgraphs_default_limit_is_the_one_that_the_worker_compares_with():
    """The worker imports it from LangGraph's private ``_internal``: no public name has it, and no config shows it. If
    that is gone, look for a public one first.
    """
    env = {"PYTHONPATH": str(TESTS.parent), "LANGGRAPH_DEFAULT_RECURSION_LIMIT": "12"}
    ended = subprocess.run([sys.executable, "-c", DEFAULT_LIMIT], env=env, capture_output=True, text=True, check=True)
    assert ended.stdout.startswith("12 Recursion limit of 12 reached")


@pytest.mark.parametrize("setting", [None, 20_000])
async def test_a_child_graphs_own_limit_holds_where_only_langgraphs_default_is_above_it(desk, setting):
    child = loop(40).with_config(recursion_limit=4)
    builder = StateGraph(Loop).add_node("child", child).add_edge(START, "child")
    with pytest.raises(GraphRecursionError, match="Recursion limit of 4 reached"):
        builder.compile().invoke({})
    result = (await limited(desk, setting).run(await desk.claim("g"), builder)).result
    assert "Recursion limit of 4 reached without" in result.error


@pytest.mark.parametrize("setting", [None, 20_000])
async def test_no_setting_raises_langgraphs_default(desk, setting, monkeypatch):
    monkeypatch.setattr("langgraph_worker.execution.recursion_limits.DEFAULT_RECURSION_LIMIT", 30)
    result = (await limited(desk, setting).run(await desk.claim("g"), loop())).result
    assert "Recursion limit of 30 reached. It is set by LangGraph's default" in result.error
