"""Nodes and tasks that write to the custom stream."""

from typing import Any, TypedDict

from langgraph.config import get_stream_writer
from langgraph.func import entrypoint, task
from langgraph.graph import START, StateGraph
from langgraph.types import StreamWriter


class State(TypedDict, total=False):
    x: int


def count(state: State) -> State:
    write = get_stream_writer()
    for number in range(state["x"]):
        write({"number": number})
    return {"x": 0}


async def say(state: State, writer: StreamWriter) -> State:
    writer("a text")
    writer(["a", "list", None])
    return {"x": 1}


writes = StateGraph(State).add_sequence([count, say]).add_edge(START, "count").compile()


@task
def half(number: int) -> float:
    get_stream_writer()({"half of": number})
    return number / 2


@entrypoint()
def task_writes(asked: dict[str, Any]) -> dict[str, Any]:
    return {"half": half(asked["number"]).result()}
