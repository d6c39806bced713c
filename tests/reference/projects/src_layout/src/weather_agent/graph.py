"""A package below src, imported by its own name."""

from typing import TypedDict

from langgraph.graph import START, StateGraph

from weather_agent.nodes import forecast


class State(TypedDict, total=False):
    city: str
    forecast: str


graph = StateGraph(State).add_node(forecast).add_edge(START, "forecast").compile()
