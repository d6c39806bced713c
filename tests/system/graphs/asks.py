"""A graph that asks a person what its input says, and answers with the answer."""

from __future__ import annotations

from typing import TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt


class State(TypedDict, total=False):
    ask: str
    answer: str


def ask(state: State) -> State:
    return {"answer": f"a person said {interrupt({'question': state['ask']})}"}


graph = StateGraph(State).add_node("ask", ask).add_edge(START, "ask").add_edge("ask", END)
