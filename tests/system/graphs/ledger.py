"""A graph of two nodes that writes down, outside the graph, which of them ran.

Files in ``folder`` steer it: ``gate`` must exist before the second node goes on; ``broken`` holds the name of the
exception that the second node raises while it exists.
"""

from __future__ import annotations

import asyncio
import builtins
from pathlib import Path
from typing import TypedDict

from langgraph.graph import END, START, StateGraph


class State(TypedDict, total=False):
    folder: str
    name: str
    answer: str


def write(state: State, node: str) -> None:
    with (Path(state["folder"]) / "ledger").open("a") as ledger:
        ledger.write(f"{state.get('name', '')}:{node}\n")


async def first(state: State) -> State:
    write(state, "first")
    return {}


async def second(state: State) -> State:
    write(state, "second")
    folder = Path(state["folder"])
    while not (folder / "gate").exists():  # noqa: ASYNC110 - a test in another process opens it
        await asyncio.sleep(0.05)
    if (folder / "broken").exists():
        raise getattr(builtins, (folder / "broken").read_text())("the market is closed")
    return {"answer": f"done for {state.get('name', '')}"}


graph = (
    StateGraph(State)
    .add_node("first", first)
    .add_node("second", second)
    .add_edge(START, "first")
    .add_edge("first", "second")
    .add_edge("second", END)
)
