"""A fresh clone: the manifest names a file that git ignores."""

from typing import TypedDict

from langgraph.graph import START, StateGraph


class State(TypedDict, total=False):
    x: int


graph = StateGraph(State).add_node("n", lambda state: {"x": state["x"] + 1}).add_edge(START, "n").compile()
