"""A graph that keeps its state, called by several tasks at one checkpoint of the graph around it: each call has its own
answer when the run goes on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import tool
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import RetryPolicy, Send, interrupt

from langgraph_worker.domain.models import Decision
from tests.support.answers import Answering, Gate, questions
from tests.support.run_store import attempt, event
from tests.support.runs import State, chain

ENDS = pytest.mark.parametrize("end", ["stopped", "killed"])


class Echo:
    """A graph that keeps its state, and the last input of each of its calls that ran."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.graph = chain(first=self._first).compile(checkpointer=True)

    async def _first(self, state: State) -> State:
        self.seen.append(state["log"][-1])
        return {"log": [f"done {state['log'][-1]}"]}

    async def call(self, text: str) -> str:
        return str((await self.graph.ainvoke({"log": [text]}))["log"][-1])


async def claimed(case: Answering, data: Any = None) -> Any:
    return await case.claim(event(attempt(1), data=data or {}), Decision.FRESH)


def fanning_out(node: Any, **options: Any) -> StateGraph:
    """A graph that sends two items to one node."""
    builder = StateGraph(State)
    builder.add_node("node", node, **options)
    return builder.add_conditional_edges(
        START, lambda state: [Send("node", {"value": number}) for number in (1, 2)], ["node"]
    )


@ENDS
async def test_the_tasks_of_a_workflow_call_it_one_after_the_other(case, end):
    child, gate = Echo(), Gate()

    @task
    async def calls(number: int) -> str:
        if number == 2:
            await gate()
        return await child.call(f"in {number}")

    @entrypoint()
    async def flow(data: Any) -> Any:
        return {"log": [await calls(number) for number in range(4)]}

    taken = await case.vanish(await claimed(case), flow, gate, end)
    assert (await case.run(taken, flow)).result == {"log": [f"done in {number}" for number in range(4)]}


async def test_a_workflow_calls_it_before_and_behind_a_question(case):
    child = Echo()

    @task
    async def calls(text: str) -> str:
        return await child.call(text)

    @entrypoint()
    async def flow(data: Any) -> Any:
        one = await calls("one")
        return {"log": [one, await calls(f"two {interrupt('go on?')}")]}

    asked = questions(await case.run(await claimed(case), flow))
    result = await case.answer(flow, {asked["go on?"]: "yes"})
    assert (result.result, child.seen) == ({"log": ["done one", "done two yes"]}, ["one", "two yes"])


@ENDS
async def test_branches_call_it_one_after_the_other(case, end):
    child, gate, went = Echo(), Gate(), asyncio.Event()

    async def node(state: State) -> State:
        if state["value"] == 2:
            await went.wait()
            await gate()
        found = await child.call(f"in {state['value']}")
        went.set()
        return {"log": [found]}

    graph = fanning_out(node)
    taken = await case.vanish(await claimed(case), graph, gate, end)
    assert (await case.run(taken, graph)).result["log"] == ["done in 1", "done in 2"]


async def test_a_branch_that_langgraph_tries_again_calls_it_itself(case):
    child, went, failed = Echo(), asyncio.Event(), []

    async def node(state: State) -> State:
        if state["value"] == 2:
            await went.wait()
            if not failed:
                failed.append(1)
                raise ConnectionError("gone")
        found = await child.call(f"in {state['value']}")
        went.set()
        return {"log": [found]}

    graph = fanning_out(node, retry_policy=RetryPolicy(initial_interval=0.001, retry_on=ConnectionError))
    assert (await case.run(await claimed(case), graph)).result["log"] == ["done in 1", "done in 2"]


@pytest.mark.parametrize("at_once", [True, False])
async def test_branches_ask_through_it_and_each_gets_its_answer(case, at_once):
    async def asks(state: State) -> State:
        return {"log": [f"said {interrupt('q ' + state['log'][-1])}"]}

    child = chain(asks=asks).compile(checkpointer=True)

    async def node(state: State) -> State:
        found = await child.ainvoke({"log": [f"in {state['value']}"]})
        return {"log": [",".join(found["log"][-2:])]}

    graph = fanning_out(node)
    asked = questions(await case.run(await claimed(case), graph))
    if at_once:
        result = await case.answer(graph, {asked["q in 1"]: "one", asked["q in 2"]: "two"})
    else:
        left = questions(await case.answer(graph, {asked["q in 1"]: "one"}))
        result = await case.answer(graph, {left["q in 2"]: "two"}, round=2)
    assert result.error is None
    assert result.result["log"] == ["in 1,said one", "in 2,said two"]


@ENDS
async def test_two_tools_of_one_message_call_it(case, end):
    gate, went, asked = Gate(), asyncio.Event(), []

    class Model(GenericFakeChatModel):
        def bind_tools(self, *_: Any, **__: Any) -> Any:
            return self

    def think(state: MessagesState) -> MessagesState:
        asked.append(state["messages"][-1].content)
        return {"messages": [AIMessage(f"answer to {asked[-1]}")]}

    child = chain(MessagesState, think=think).compile(checkpointer=True)

    @tool
    async def expert(question: str) -> str:
        """Ask the expert."""
        if question == "two":
            await went.wait()
            await gate()
        found = await child.ainvoke({"messages": [HumanMessage(question)]})
        went.set()
        return str(found["messages"][-1].content)

    calls: Any = [
        {"name": "expert", "args": {"question": one}, "id": one, "type": "tool_call"} for one in ("one", "two")
    ]
    agent = create_agent(Model(messages=iter([AIMessage("", tool_calls=calls), AIMessage("end")])), [expert])
    claim = await claimed(case, {"messages": [{"role": "user", "content": "hi"}]})
    result = await case.run(await case.vanish(claim, agent, gate, end), agent)
    contents = [message["content"] for message in result.result["messages"]]
    assert contents == ["hi", "", "answer to one", "answer to two", "end"]


@ENDS
async def test_a_node_of_a_child_without_state_calls_it_in_a_loop(case, end):
    child, gate = Echo(), Gate()

    async def calls(state: State) -> State:
        number = len(state.get("log", []))
        if number == 1:
            await gate()
        return {"log": [await child.call(f"{state['value']}.{number}")]}

    plain = chain(calls=calls).add_conditional_edges("calls", lambda state: "calls" if len(state["log"]) < 2 else END)
    inner = plain.compile()

    async def node(state: State) -> State:
        found = await inner.ainvoke({"value": len(state.get("log", []))})
        return {"log": [",".join(found["log"])]}

    graph = chain(node=node)
    builder = graph.add_conditional_edges("node", lambda state: "node" if len(state["log"]) < 2 else END)
    taken = await case.vanish(await claimed(case), builder, gate, end)
    assert (await case.run(taken, builder)).result == {"log": ["done 0.0,done 0.1", "done 1.0,done 1.1"]}
