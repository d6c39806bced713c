from typing import TypedDict

from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph


class State(TypedDict):
    text: str
    summary: str


def make_graph(config: RunnableConfig):
    words = config["configurable"].get("words", 3)

    def shorten(state: State):
        return {"summary": " ".join(state["text"].split()[:words])}

    builder = StateGraph(State)
    builder.add_node("shorten", shorten)
    builder.add_edge(START, "shorten")
    builder.add_edge("shorten", END)
    return builder
