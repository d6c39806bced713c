"""A command instead of an input: it changes the state, and says where to go on."""

import operator
from typing import Annotated, Any, Literal, TypedDict

from langgraph.graph import START, StateGraph
from langgraph.types import Command


class State(TypedDict, total=False):
    log: Annotated[list[Any], operator.add]
    x: int


def choose(state: State) -> Command[Literal["small", "large"]]:
    return Command(update={"log": ["choose"]}, goto="small" if state["x"] < 10 else "large")


def small(state: State) -> State:
    return {"log": ["small"]}


def large(state: State) -> State:
    return {"log": ["large"]}


jumps = StateGraph(State).add_node(choose).add_node(small).add_node(large).add_edge(START, "choose").compile()
