"""Long-term memory: put, get, search, delete; over threads, and before a question."""

from typing import Any, TypedDict

from langgraph.config import get_store
from langgraph.graph import START, StateGraph
from langgraph.store.base import BaseStore
from langgraph.types import interrupt


class State(TypedDict, total=False):
    user: str
    say: str
    found: Any


async def note(state: State, *, store: BaseStore) -> State:
    place = ("notes", state["user"])
    if state["say"] == "forget":
        for item in await store.asearch(place):
            await store.adelete(place, item.key)
    else:
        await store.aput(place, state["say"], {"text": state["say"], "length": len(state["say"])})
    found = await store.asearch(place, limit=10)
    return {"found": sorted(item.key for item in found)}


def put(state: State) -> State:
    get_store().put(("asked", state["user"]), "kept", {"say": state["say"]})
    return {"found": "put"}


def ask(state: State) -> State:
    return {"say": interrupt("go on?")}


def get(state: State) -> State:
    item = get_store().get(("asked", state["user"]), "kept")
    filtered = get_store().search(("asked",), filter={"say": item.value["say"] if item else ""})
    return {"found": [item and item.value, len(filtered)]}


notes = StateGraph(State).add_node(note).add_edge(START, "note").compile()
asks = StateGraph(State).add_sequence([put, ask, get]).add_edge(START, "put").compile()
two_nodes = StateGraph(State).add_sequence([put, get]).add_edge(START, "put").compile()
