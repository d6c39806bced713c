"""A graph inside of a node that keeps its state between calls: a call of it that had not begun takes its input when the
run goes on (langchain-ai/langgraph#3206)."""

from __future__ import annotations

from typing import Any

import pytest
from langgraph.func import entrypoint
from langgraph.graph import END, START, StateGraph
from langgraph.types import RetryPolicy, interrupt

from langgraph_worker.domain.models import Decision
from tests.support.answers import Answering, Gate, questions
from tests.support.run_store import attempt, event
from tests.support.runs import Failing, State, chain

TALK = "a conversation"


class Child:
    """A graph that keeps its state, and what its node saw of it at each of its runs."""

    def __init__(self, gate: Gate | None = None, question: str | None = None) -> None:
        self.seen: list[list[str]] = []
        self._gate = gate
        self._question = question
        self.graph = chain(first=self._first, last=self._last).compile(checkpointer=True)

    def _first(self, state: State) -> State:
        self.seen.append(list(state["log"]))
        return {}

    async def _last(self, state: State) -> State:
        if self._question is not None:
            return {"log": [f"said {interrupt(self._question)}"]}
        if self._gate is not None and len(self.seen) > 1:
            await self._gate()
        return {"log": ["done"]}


def looping(child: Child, *, before: Any = None, after: Any = None) -> StateGraph:
    """A graph whose node calls the child three times, a superstep each."""

    async def node(state: State) -> State:
        calls = len(state.get("log", [])) + 1
        if before is not None and calls == 2:
            await before()
        found = await child.graph.ainvoke({"log": [f"in {calls}"]})
        return {"log": [",".join(found["log"])]}

    builder = StateGraph(State)
    builder.add_node("node", node)
    builder.add_edge(START, "node")
    if after is not None:
        builder.add_node("after", after)
        builder.add_edge("node", "after")
    builder.add_conditional_edges((after and "after") or "node", lambda state: "node" if len(state["log"]) < 3 else END)
    return builder


ALL = ["in 1,done", "in 1,done,in 2,done", "in 1,done,in 2,done,in 3,done"]


@pytest.mark.parametrize("end", ["stopped", "killed"])
async def test_a_call_that_had_not_begun_is_made_when_the_run_goes_on(case: Answering, end):
    child, gate = Child(), Gate()
    graph = looping(child, before=gate)
    claim = await case.claim(event(attempt(1), data={}), Decision.FRESH)
    taken = await case.vanish(claim, graph, gate, end)
    assert (await case.run(taken, graph)).result == {"log": ALL}
    assert child.seen == [["in 1"], ["in 1", "done", "in 2"], ["in 1", "done", "in 2", "done", "in 3"]]


@pytest.mark.parametrize("end", ["stopped", "killed"])
async def test_a_call_under_way_goes_on_where_it_was(case: Answering, end):
    gate = Gate()
    child = Child(gate)
    graph = looping(child)
    claim = await case.claim(event(attempt(1), data={}), Decision.FRESH)
    taken = await case.vanish(claim, graph, gate, end)
    assert (await case.run(taken, graph)).result == {"log": ALL}
    assert child.seen == [["in 1"], ["in 1", "done", "in 2"], ["in 1", "done", "in 2", "done", "in 3"]]


async def test_the_calls_behind_an_answer_are_made(case: Answering):
    child = Child()

    async def asks(state: State) -> State:
        return {"value": interrupt(f"after {len(state['log'])}?")}

    graph = looping(child, after=asks)
    asked = questions(await case.run(await case.claim(event(attempt(1), data={}), Decision.FRESH), graph))
    for number in (1, 2):
        result = await case.answer(graph, {asked[f"after {number}?"]: "go on"}, round=number)
        asked = questions(result)
    result = await case.answer(graph, {asked["after 3?"]: "end"}, round=3)
    assert result.result == {"log": ALL, "value": "end"}


async def test_an_answer_reaches_the_question_of_a_child_that_had_been_called_before(case: Answering):
    child = Child(question="go?")

    async def node(state: State) -> State:
        found = await child.graph.ainvoke({"log": ["in"]})
        return {"log": [found["log"][-1]]}

    graph = chain(node=node)
    builder = graph.add_conditional_edges("node", lambda state: "node" if len(state["log"]) < 2 else END)
    asked = questions(await case.run(await case.claim(event(attempt(1), data={}), Decision.FRESH), builder))
    asked = questions(await case.answer(builder, {asked["go?"]: 1}))
    result = await case.answer(builder, {asked["go?"]: 2}, round=2)
    assert result.result == {"log": ["said 1", "said 2"]}
    assert child.seen == [["in"], ["in", "said 1", "in"]]


@pytest.mark.parametrize("end", ["stopped", "killed"])
async def test_another_turn_of_a_conversation_calls_the_child_with_its_own_input(case: Answering, end):
    child, gate, stops = Child(), Gate(), [False]

    async def node(state: State) -> State:
        if stops[0]:
            await gate()
        found = await child.graph.ainvoke({"log": [f"in {state['value']}"]})
        return {"log": [",".join(found["log"])]}

    graph = chain(node=node)
    one, two = (event(attempt(1, task=name * 64, at=1_000 * number), data={"value": number}, thread_id=TALK)
                for number, name in ((1, "a"), (2, "b")))  # fmt: skip
    await case.run(await case.claim(one, Decision.FRESH), graph)
    stops[0] = True
    taken = await case.vanish(await case.claim(two, Decision.FRESH), graph, gate, end)
    assert (await case.run(taken, graph)).result["log"] == ["in 1,done", "in 1,done,in 2,done"]


async def test_a_child_of_a_child_takes_its_input_too(case: Answering):
    inner, gate = Child(), Gate()

    async def calls(state: State) -> State:
        found = await inner.graph.ainvoke({"log": [f"in {len(inner.seen) + 1}"]})
        return {"log": [",".join(found["log"])]}

    outer = chain(calls=calls).compile(checkpointer=True)

    async def node(state: State) -> State:
        if state.get("log"):
            await gate()
        found = await outer.ainvoke({"log": []})
        return {"log": [found["log"][-1]]}

    graph = chain(node=node)
    builder = graph.add_conditional_edges("node", lambda state: "node" if len(state["log"]) < 2 else END)
    claim = await case.claim(event(attempt(1), data={}), Decision.FRESH)
    taken = await case.vanish(claim, builder, gate, "killed")
    assert (await case.run(taken, builder)).result == {"log": ALL[:2]}


async def test_a_synchronous_node_calls_its_child_too(case: Answering):
    child, gate = Child(), Gate()

    async def stops(state: State) -> State:
        if len(state["log"]) == 1:
            await gate()
        return {}

    def node(state: State) -> State:
        found = plain.invoke({"log": [f"in {len(state.get('log', [])) + 1}"]})
        return {"log": [",".join(found["log"])]}

    plain = chain(first=child._first, last=lambda state: {"log": ["done"]}).compile(checkpointer=True)
    graph = chain(node=node, stops=stops)
    builder = graph.add_conditional_edges("stops", lambda state: "node" if len(state["log"]) < 3 else END)
    claim = await case.claim(event(attempt(1), data={}), Decision.FRESH)
    taken = await case.vanish(claim, builder, gate, "killed")
    assert (await case.run(taken, builder)).result == {"log": ALL}


async def test_a_node_that_langgraph_tries_again_calls_its_child_with_its_own_input(case: Answering):
    child, failing = Child(), Failing(1, ConnectionError("gone"))

    async def node(state: State) -> State:
        if state.get("log"):
            failing(state)
        found = await child.graph.ainvoke({"log": [f"in {len(state.get('log', [])) + 1}"]})
        return {"log": [",".join(found["log"])]}

    builder = StateGraph(State)
    builder.add_node("node", node, retry_policy=RetryPolicy(initial_interval=0.001, retry_on=ConnectionError))
    builder.add_edge(START, "node")
    builder.add_conditional_edges("node", lambda state: "node" if len(state["log"]) < 2 else END)
    claim = await case.claim(event(attempt(1), data={}), Decision.FRESH)
    assert (await case.run(claim, builder)).result == {"log": ALL[:2]}
    assert failing.left == 0


async def test_a_workflow_in_a_node_that_keeps_its_state_is_called_with_its_own_input(case: Answering):
    gate = Gate()

    @entrypoint(checkpointer=True)
    async def child(number: int, *, previous: Any = None) -> Any:
        return f"{previous or ''}{number}"

    async def node(state: State) -> State:
        if len(state.get("log", [])) == 1:
            await gate()
        return {"log": [await child.ainvoke(len(state.get("log", [])) + 1)]}

    graph = chain(node=node)
    builder = graph.add_conditional_edges("node", lambda state: "node" if len(state["log"]) < 3 else END)
    claim = await case.claim(event(attempt(1), data={}), Decision.FRESH)
    taken = await case.vanish(claim, builder, gate, "killed")
    assert (await case.run(taken, builder)).result == {"log": ["1", "12", "123"]}
