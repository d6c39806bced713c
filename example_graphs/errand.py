"""A graph that takes a while, and whose last step may fail: to cancel it, and to see what a retry runs again.

buy --> deliver
"""

from __future__ import annotations

import asyncio

from langgraph.config import get_config, get_store
from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict


class ErrandInput(TypedDict, total=False):
    """`item`: what is bought, any text. `seconds`: how long that takes, a number
    or its text. `closed_doors`: how often `deliver` fails.
    """

    item: str
    seconds: float | str
    closed_doors: int


class Errand(TypedDict, total=False):
    """`bought`, `delivered`: how often each node has run, over all tries of the task."""

    item: str
    bought: int
    delivered: int


class ClosedDoorError(Exception):
    """A retry of the task can help. The worker repeats by itself what fails for a moment only, such as a connection."""


class ErrandState(ErrandInput, Errand):
    """The input and the result."""


async def buy(state: ErrandInput) -> Errand:
    """What must not be paid twice."""
    await asyncio.sleep(float(state.get("seconds", 0)))
    return {"bought": await count("buy")}


async def deliver(state: ErrandState) -> Errand:
    """Fails as often as the input says, with an error that a retry can help."""
    tries = await count("deliver")
    if tries <= state.get("closed_doors", 0):
        raise ClosedDoorError(f"nobody opens the door for {state.get('item', 'it')}")
    return {"delivered": tries}


async def count(node: str) -> int:
    """One more run of a node on this thread; how many there were. The long-term memory keeps it if the node fails."""
    memory, namespace = get_store(), ("runs", get_config()["configurable"]["thread_id"])
    item = await memory.aget(namespace, node)
    times = 1 + (item.value["times"] if item else 0)
    await memory.aput(namespace, node, {"times": times})
    return times


graph = (
    StateGraph(ErrandState, input_schema=ErrandInput, output_schema=Errand)
    .add_node("buy", buy)
    .add_node("deliver", deliver)
    .add_edge(START, "buy")
    .add_edge("buy", "deliver")
    .add_edge("deliver", END)
    .compile(name="errand")
)
