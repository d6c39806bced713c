"""Nodes that are asynchronous only, synchronous only, or both; a class as a node; side by side."""

import asyncio
import operator
import threading
from typing import Annotated, Any, TypedDict

from langchain_core.runnables import RunnableLambda
from langgraph.graph import START, StateGraph


class State(TypedDict, total=False):
    log: Annotated[list[Any], operator.add]


async def waits(state: State) -> State:
    await asyncio.sleep(0)
    return {"log": ["waits"]}


def blocks(state: State) -> State:
    threading.Event().wait(0.01)
    return {"log": ["blocks"]}


class Named:
    def __call__(self, state: State) -> State:
        return {"log": ["named"]}


def sync_form(state: State) -> State:
    return {"log": ["form"]}


async def async_form(state: State) -> State:
    return {"log": ["form"]}


def together(*nodes: Any) -> Any:
    builder = StateGraph(State)
    for name, node in nodes:
        builder.add_node(name, node).add_edge(START, name)
    builder.add_node("end", lambda state: {"log": [len(state["log"])]})
    return builder.add_edge([name for name, _ in nodes], "end").compile()


asynchronous = together(("a", waits), ("b", waits))
synchronous = together(("a", blocks), ("b", Named()))
mixed = together(("a", waits), ("b", blocks), ("c", RunnableLambda(sync_form, async_form)))
