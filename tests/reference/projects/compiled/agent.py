"""Compiled graphs and a builder, with a reducer; one that raises."""

import operator
from typing import Annotated, TypedDict

from langgraph.graph import END, START, StateGraph


class State(TypedDict, total=False):
    log: Annotated[list[str], operator.add]
    x: int


def double(state: State) -> State:
    return {"x": state["x"] * 2, "log": ["double"]}


async def add(state: State) -> State:
    return {"x": state["x"] + 1, "log": ["add"]}


def refuse(state: State) -> State:
    if state["x"] > 3:
        raise ValueError(f"{state['x']} is too much")
    return {"log": ["fine"]}


builder = StateGraph(State)
builder.add_node(double)
builder.add_node(add)
builder.add_edge(START, "double")
builder.add_edge("double", "add")
builder.add_edge("add", END)
chain = builder.compile()

failing = StateGraph(State)
failing.add_node(double)
failing.add_node(refuse)
failing.add_edge(START, "double")
failing.add_edge("double", "refuse")
fails = failing.compile()
