"""Graphs that fail, each in its own way."""

from typing import Any, TypedDict

from langgraph.graph import START, StateGraph


class State(TypedDict, total=False):
    x: Any


class OutOfPaperError(Exception):
    pass


def raise_own(state: State) -> State:
    raise OutOfPaperError("tray 2")


def graph(**nodes: Any) -> Any:
    builder = StateGraph(State)
    for name, node in nodes.items():
        builder.add_node(name, node).add_edge(START, name)
    return builder.compile()


raises = graph(a=lambda state: {"x": 1 / state["x"]})
own_error = graph(a=raise_own)
bad_update = graph(a=lambda state: "no mapping")
conflict = graph(a=lambda state: {"x": 1}, b=lambda state: {"x": 2})
no_form = graph(a=lambda state: {"x": object()})


def bad_factory():
    raise OutOfPaperError("the factory has none")
