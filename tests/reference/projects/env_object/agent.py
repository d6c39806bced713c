"""Variables from an object in the manifest."""

import os
from typing import TypedDict

from langgraph.graph import START, StateGraph

NAMES = ("REFERENCE_COLOUR", "REFERENCE_SIZE")


class State(TypedDict, total=False):
    values: list[str]


graph = (
    StateGraph(State)
    .add_node("say", lambda state: {"values": [os.environ[name] for name in NAMES]})
    .add_edge(START, "say")
    .compile()
)
