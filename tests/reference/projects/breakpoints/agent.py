"""Static breakpoints: compiled in, and given with a run."""

import operator
from typing import Annotated, TypedDict

from langgraph.graph import START, StateGraph


class State(TypedDict, total=False):
    log: Annotated[list[str], operator.add]


def node(name):
    return lambda state: {"log": [name]}


builder = StateGraph(State).add_sequence([("a", node("a")), ("b", node("b")), ("c", node("c"))]).add_edge(START, "a")
before = builder.compile(interrupt_before=["b"])
after = builder.compile(interrupt_after=["b"])
plain = builder.compile()
