"""A project's file has the name of a module of Python's, which still is the one that is imported."""

import graphlib
from typing import TypedDict

from langgraph.graph import START, StateGraph


class State(TypedDict, total=False):
    needs: dict[str, list[str]]
    order: list[str]


def sort(state: State) -> State:
    return {"order": [*graphlib.TopologicalSorter(state["needs"]).static_order()]}


graph = StateGraph(State).add_node(sort).add_edge(START, "sort").compile()
