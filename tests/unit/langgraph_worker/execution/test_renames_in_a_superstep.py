"""A release that lost a node of a graph inside of a node, while what leads to that node is stored, and its superstep is
not over (rule 11). LangGraph drops such a write, and ends the graph as if nothing were left.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langgraph.graph import START, StateGraph
from langgraph.types import Command, Send

from langgraph_worker.checkpoints.saver import RunSaver
from tests.support.runs import Failing, State
from tests.unit.langgraph_worker.execution.test_nested_renames import built, built_in_a_thread, built_with_a_history
from workflow_events.results import ResultStatus

FORMS = [built, built_in_a_thread, built_with_a_history]


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Set when the output of the node ``a`` is durable."""
    event = asyncio.Event()
    put_writes = RunSaver.aput_writes

    async def noting(self: RunSaver, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
        await put_writes(self, config, writes, task_id, task_path)
        if ("log", ["a"]) in writes:
            event.set()

    monkeypatch.setattr(RunSaver, "aput_writes", noting)
    return event


def forks(target: str, stored: asyncio.Event, failing: Failing, *, how: str) -> StateGraph[Any]:
    """``a`` leads to the target, beside a node that fails once ``a`` is stored."""

    def a(state: State) -> Any:
        said = {"log": ["a"]}
        goto: Any = {"goto": target, "send": [Send(target, {})]}.get(how)
        return Command(update=said, goto=goto) if goto else said

    async def beside(state: State) -> State:
        await stored.wait()
        failing(state)
        return {"log": ["beside"]}

    builder = StateGraph(State).add_node("a", a).add_node("beside", beside)
    builder.add_node(target, lambda state: {"log": ["target"]})
    builder.add_edge(START, "a").add_edge(START, "beside")
    return builder.add_edge("a", target) if how == "edge" else builder


@pytest.mark.parametrize("how", ["edge", "goto", "send"])
@pytest.mark.parametrize("form", [built, built_with_a_history])
async def test_what_is_stored_of_a_superstep_leads_on(case, stored, form, how):
    failing = Failing(1, ConnectionError())
    await case.run(await case.desk.attempt("t", "g"), form(forks("b", stored, failing, how=how)))
    renamed = form(forks("renamed", stored, failing, how=how))
    for _ in range(2):  # what was wrong is not kept
        again = await case.run(await case.desk.attempt("t", "g"), renamed)
        assert (again.status, again.error_type, again.retriable) == (ResultStatus.FAILURE, "graph_changed", False)
        assert "no longer has the node 'sub|b'" in again.error
    done = await case.run(await case.desk.attempt("t", "g"), form(forks("b", stored, failing, how=how)))
    assert (done.status, sorted(done.result["log"])) == (ResultStatus.SUCCESS, ["a", "beside", "target"])


@pytest.mark.parametrize("form", FORMS)
async def test_what_was_sent_leads_on(case, form):
    """The superstep is over: the next one is to work on what was sent."""

    def sends(target: str, failing: Failing) -> StateGraph[Any]:
        builder = StateGraph(State).add_node("a", lambda state: Command(goto=[Send(target, {}), Send("c", {})]))
        return builder.add_node(target, failing).add_node("c", lambda state: {"log": ["c"]}).add_edge(START, "a")

    failing = Failing(1, ConnectionError())
    await case.run(await case.desk.attempt("t", "g"), form(sends("b", failing)))
    again = await case.run(await case.desk.attempt("t", "g"), form(sends("renamed", failing)))
    assert (again.status, again.error_type) == (ResultStatus.FAILURE, "graph_changed")
    assert "no longer has the node 'sub|b'" in again.error
    done = await case.run(await case.desk.attempt("t", "g"), form(sends("b", failing)))
    assert (done.status, sorted(done.result["log"])) == (ResultStatus.SUCCESS, ["b", "c"])


async def test_what_waits_for_several_is_not_skipped(case):
    """One of the two that it waits for has run."""

    def joins(target: str, failing: Failing) -> StateGraph[Any]:
        builder = StateGraph(State).add_node("a", lambda state: {"log": ["a"]}).add_node("b", failing)
        builder.add_node("long", lambda state: {"log": ["long"]}).add_node(target, lambda state: {"log": ["joined"]})
        builder.add_edge(START, "a").add_edge(START, "long").add_edge("long", "b")
        return builder.add_edge(["a", "b"], target)

    failing = Failing(1, ConnectionError())
    await case.run(await case.desk.attempt("t", "g"), built(joins("c", failing)))
    again = await case.run(await case.desk.attempt("t", "g"), built(joins("renamed", failing)))
    assert (again.status, again.error_type) == (ResultStatus.FAILURE, "graph_changed")
    assert "no longer has the edge from 'a+b' to 'sub|c'" in again.error
    # The other release has stored what b says, and that leads to its own node.
    back = await case.run(await case.desk.attempt("t", "g"), built(joins("c", failing)))
    assert "no longer has the edge from 'a+b' to 'sub|renamed'" in back.error
