"""A graph's own limits: many supersteps, few supersteps, its config."""

from typing import Any, TypedDict

from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph


class State(TypedDict, total=False):
    left: int
    seen: Any


def count(state: State) -> State:
    return {"left": state["left"] - 1}


def look(state: State, config: RunnableConfig) -> State:
    own = config["configurable"].get("own")
    return {"seen": {"limit": config["recursion_limit"], "most": config.get("max_concurrency"), "own": own}}


builder = StateGraph(State).add_node(count).add_edge(START, "count")
builder.add_conditional_edges("count", lambda state: "count" if state["left"] > 0 else END)
long = builder.compile().with_config(recursion_limit=9_999)
short = builder.compile().with_config(recursion_limit=3)
configured = (
    StateGraph(State)
    .add_node(look)
    .add_edge(START, "look")
    .compile()
    .with_config(recursion_limit=77, max_concurrency=3, configurable={"own": "yes"})
)
