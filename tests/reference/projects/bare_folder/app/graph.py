"""A file of no package; a dependency is a folder that is written without a dot."""

from typing import TypedDict

from greetings import greet
from langgraph.graph import START, StateGraph


class State(TypedDict, total=False):
    name: str
    text: str


def say(state: State) -> State:
    return {"text": greet(state["name"])}


graph = StateGraph(State).add_node(say).add_edge(START, "say").compile()
