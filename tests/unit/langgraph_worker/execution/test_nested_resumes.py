"""Unchanged graphs inside of nodes go on where they were, whatever their shape: none is taken for a changed one (rule
11)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from langgraph.func import entrypoint, task
from langgraph.graph import START, StateGraph
from langgraph.types import Command, RetryPolicy, Send

from tests.support.answers import Gate
from tests.support.runs import Failing, State, chain
from workflow_events.results import ResultStatus


def passes(name: str) -> Callable[[State], State]:
    return lambda state: {"log": [name]}


def joined(failing: Failing) -> Any:
    builder = StateGraph(State).add_node("a", passes("a")).add_node("b", failing).add_node("c", passes("c"))
    return builder.add_edge(START, "a").add_edge(START, "b").add_edge(["a", "b"], "c")


def deferred(failing: Failing) -> Any:
    builder = StateGraph(State).add_node("a", passes("a")).add_node("b", failing)
    builder.add_node("c", passes("c"), defer=True)
    return builder.add_edge(START, "a").add_edge("a", "b").add_edge("a", "c")


def sent(failing: Failing) -> Any:
    builder = StateGraph(State).add_node("a", passes("a")).add_node("b", failing).add_node("c", passes("c"))
    builder.add_edge(START, "a").add_edge("b", "c")
    return builder.add_conditional_edges("a", lambda state: [Send("b", {}), Send("c", {})], ["b", "c"])


def going(failing: Failing) -> Any:
    def a(state: State) -> Command[Any]:
        return Command(update={"log": ["a"]}, goto=["b", "c"])

    return chain(a=a).add_node("b", failing).add_node("c", passes("c"))


def looping(failing: Failing) -> Any:
    builder = chain(a=passes("a"), b=failing)
    return builder.add_conditional_edges(
        "b", lambda state: "a" if len(state["log"]) < 4 else "__end__", ["a", "__end__"]
    )


def retried(failing: Failing) -> Any:
    failing.left *= 3  # one more than a run tries
    policy = RetryPolicy(max_attempts=2, initial_interval=0.001, retry_on=ConnectionError)
    return chain(a=passes("a")).add_node("b", failing, retry_policy=policy).add_edge("a", "b")


def nested(failing: Failing) -> Any:
    return chain(a=passes("a"), inner=chain(b=failing).compile(), c=passes("c"))


SHAPES = [joined, deferred, sent, going, looping, retried, nested]


@pytest.mark.parametrize("history", [None, True])
@pytest.mark.parametrize("shape", SHAPES)
async def test_a_child_goes_on_after_a_failure(case, shape, history):
    whole = (await chain(sub=shape(Failing(0, ConnectionError())).compile()).compile().ainvoke({}))["log"]
    failing = Failing(1, ConnectionError())
    child = shape(failing)

    async def sub(state: State) -> State:
        return {"log": (await child.compile(checkpointer=history).ainvoke({}))["log"]}

    graph = chain(sub=sub)
    failed = await case.run(await case.desk.attempt("t", "g"), graph)
    assert failed.error_type == "ConnectionError"
    done = await case.run(await case.desk.attempt("t", "g"), graph)
    assert (done.status, done.error) == (ResultStatus.SUCCESS, None)
    assert sorted(done.result["log"]) == sorted(whole)


@pytest.mark.parametrize("history", [None, True])
@pytest.mark.parametrize("how", ["edges", "sends"])
async def test_what_a_child_has_finished_does_not_run_again(case, how, history):
    """Beside a node that failed: it may have sent a mail, or paid."""
    failing, done = Failing(1, ConnectionError()), asyncio.Event()

    async def beside(state: State) -> State:
        await done.wait()
        return failing(state)

    def a(state: State) -> State:
        case.ran.log.append("a")
        done.set()
        return {"log": ["a"]}

    builder = StateGraph(State).add_node("a", a).add_node("b", beside)
    if how == "edges":
        builder.add_edge(START, "a").add_edge(START, "b")
    else:
        builder.add_conditional_edges(START, lambda state: [Send("a", {}), Send("b", {})], ["a", "b"])
    graph = chain(sub=builder.compile(checkpointer=history))
    failed = await case.run(await case.desk.attempt("t", "g"), graph)
    assert failed.error_type == "ConnectionError"
    assert (await case.run(await case.desk.attempt("t", "g"), graph)).status is ResultStatus.SUCCESS
    assert case.ran.log == ["a"]


async def test_a_functional_child_goes_on_after_a_failure(case):
    failing = Failing(1, ConnectionError())

    @task
    def step(name: str) -> str:
        return failing({})["log"][0] if name == "b" else name

    @entrypoint()
    async def child(names: list[str]) -> list[str]:
        return [await step(name) for name in names]

    async def sub(state: State) -> State:
        return {"log": await child.ainvoke(["a", "b", "c"])}

    graph = chain(sub=sub)
    await case.run(await case.desk.attempt("t", "g"), graph)
    assert (await case.run(await case.desk.attempt("t", "g"), graph)).result == {"log": ["a", "b", "c"]}


async def test_a_node_may_give_up_a_child_that_went_on(case):
    failing, gate = Failing(1, ConnectionError()), Gate()

    async def slow(state: State) -> State:
        if not failing.left:
            await gate()
        return failing(state)

    async def sub(state: State) -> State:
        going = asyncio.ensure_future(chain(a=passes("a"), b=slow).compile().ainvoke({}))
        stopped = asyncio.ensure_future(gate.reached.wait())
        await asyncio.wait({going, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if going.done():
            return {"log": going.result()["log"]}
        going.cancel()
        await asyncio.wait({going})
        return {"log": ["given up"]}

    await case.run(await case.desk.attempt("t", "g"), chain(sub=sub))
    done = await case.run(await case.desk.attempt("t", "g"), chain(sub=sub))
    assert (done.status, done.result) == (ResultStatus.SUCCESS, {"log": ["given up"]})
