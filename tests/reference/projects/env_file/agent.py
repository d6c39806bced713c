"""Variables from a file, read at import and in a node."""

import os
from typing import TypedDict

from langgraph.graph import START, StateGraph

GREETING = os.environ["REFERENCE_GREETING"]


class State(TypedDict, total=False):
    text: str


def say(state: State) -> State:
    return {"text": f"{GREETING} {os.environ['REFERENCE_NUMBER']}"}


graph = StateGraph(State).add_node(say).add_edge(START, "say").compile()
