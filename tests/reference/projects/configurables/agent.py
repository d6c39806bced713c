"""What a node sees of its run's config."""

from typing import Any, TypedDict

from langchain_core.runnables import RunnableConfig
from langgraph.config import get_config
from langgraph.graph import START, StateGraph

NAMES = ("user", "graph_id", "assistant_id", "run_id", "thread_id", "missing")


class State(TypedDict, total=False):
    seen: Any
    tags: Any


def look(state: State, config: RunnableConfig) -> State:
    values = config["configurable"]
    assert get_config()["configurable"] == values
    return {"seen": {name: str(values[name]) for name in NAMES if name in values}, "tags": config.get("tags")}


looks = StateGraph(State).add_node(look).add_edge(START, "look").compile()
