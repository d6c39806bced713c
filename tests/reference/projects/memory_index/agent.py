"""Search by meaning, with an embedding function of the project."""

from typing import TypedDict

from langgraph.graph import START, StateGraph
from langgraph.store.base import BaseStore


class State(TypedDict, total=False):
    put: list[str]
    ask: str
    found: list[str]


async def remember(state: State, *, store: BaseStore) -> State:
    for text in state["put"]:
        await store.aput(("facts",), text, {"text": text})
    return {}


async def find(state: State, *, store: BaseStore) -> State:
    found = await store.asearch(("facts",), query=state["ask"], limit=1)
    return {"found": [item.value["text"] for item in found]}


finds = StateGraph(State).add_sequence([remember, find]).add_edge(START, "remember").compile()
