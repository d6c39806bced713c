"""A graph that works until its gate opens, as ``witness`` does, and then asks a person."""

from __future__ import annotations

from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt
from witness import State, begin, watch


def ask(state: State) -> State:
    return {"answer": interrupt({"question": f"Is {state['name']} done?", "options": ["yes", "no"]})}


graph = (
    StateGraph(State)
    .add_node("begin", begin)
    .add_node("watch", watch)
    .add_node("ask", ask)
    .add_edge(START, "begin")
    .add_edge("begin", "watch")
    .add_edge("watch", "ask")
    .add_edge("ask", END)
)
