"""A release that lost what a graph was to go on to, by a ``Send`` or a join: LangGraph leaves that out without an error
(rule 11)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langgraph.graph import START, StateGraph
from langgraph.types import Send

from tests.support.answers import Answering
from tests.support.runs import Failing, State, chain
from workflow_events.results import ResultStatus, WorkflowResultEvent


def passes(name: str) -> Callable[[State], State]:
    return lambda state: {"log": [name]}


def built(child: Any) -> Any:
    async def sub(state: State) -> State:
        return {"log": (await child.compile().ainvoke({}))["log"]}

    return chain(sub=sub)


def sent(failing: Failing, target: str = "b") -> Any:
    builder = StateGraph(State).add_node("a", passes("a")).add_node(target, failing).add_node("c", passes("c"))
    builder.add_edge(START, "a").add_edge(target, "c")
    return builder.add_conditional_edges("a", lambda state: [Send(target, {}), Send(target, {})], [target])


def joined(slow: Any, last: Any, target: str = "c", *, defer: bool = False) -> Any:
    """``a`` ends a superstep before ``b``; ``c`` waits for both."""
    builder = chain(start=passes("start"), b=slow).add_node("a", passes("a")).add_node(target, last, defer=defer)
    return builder.add_edge(START, "a").add_edge(["a", "b"], target)


async def twice(case: Answering, first: Any, then: Any) -> WorkflowResultEvent:
    """A try on one release, and the next one on another."""
    failed = await case.run(await case.desk.attempt("t", "g"), first)
    assert failed.error_type == "ConnectionError"
    return await case.run(await case.desk.attempt("t", "g"), then)


def assert_changed(result: WorkflowResultEvent, gone: str) -> None:
    assert (result.status, result.error_type, result.retriable) == (ResultStatus.FAILURE, "graph_changed", False)
    assert result.error is not None
    assert f"no longer has {gone}, which" in result.error


async def test_a_node_that_was_sent_something_is_not_skipped(case):
    failing = Failing(1, ConnectionError())
    assert_changed(await twice(case, built(sent(failing)), built(sent(failing, "renamed"))), "the node 'sub|b'")


@pytest.mark.parametrize("defer", [False, True])
async def test_a_node_whose_join_waits_for_others_is_not_skipped(case, defer):
    failing = Failing(1, ConnectionError())
    first = built(joined(failing, passes("c"), defer=defer))
    renamed = built(joined(failing, passes("c"), "renamed", defer=defer))
    assert_changed(await twice(case, first, renamed), "the edge from 'a+b' to 'sub|c'")


@pytest.mark.parametrize("defer", [False, True])
async def test_a_node_that_a_join_has_started_is_not_skipped(case, defer):
    failing = Failing(1, ConnectionError())
    first = built(joined(passes("b"), failing, defer=defer))
    renamed = built(joined(passes("b"), failing, "renamed", defer=defer))
    assert_changed(await twice(case, first, renamed), "the node 'sub|c'")


async def test_a_join_that_changed_in_the_runs_own_graph_is_not_forgotten(case):
    failing = Failing(1, ConnectionError())
    first = joined(failing, passes("c"))
    longer = chain(start=passes("start"), b=failing).add_node("a", passes("a")).add_node("c", passes("c"))
    longer.add_node("d", passes("d")).add_edge(START, "d").add_edge(START, "a").add_edge(["a", "b", "d"], "c")
    assert_changed(await twice(case, first, longer), "the edge from 'a+b' to 'c'")


@pytest.mark.parametrize("form", [lambda child: child, built])
@pytest.mark.parametrize("defer", [False, True])
async def test_unchanged_joins_go_on(case, form, defer):
    failing = Failing(1, ConnectionError())
    done = await twice(case, *[form(joined(failing, passes("c"), defer=defer))] * 2)
    assert (done.status, sorted(done.result["log"])) == (ResultStatus.SUCCESS, ["a", "b", "c", "start"])
