"""A graph that keeps a ledger of its own: who is at work, by name and process."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TypedDict

from langgraph.graph import START, StateGraph

WORK_SECONDS = 0.05


class State(TypedDict, total=False):
    """
    :param ledger: a file; each node adds a line when it starts and one when it ends.
    :param gate: a file without which the node goes on; empty: there is none.
    """

    name: str
    ledger: str
    gate: str


def _note(state: State, what: str) -> None:
    with Path(state["ledger"]).open("a") as file:
        file.write(f"{what} {state['name']} {os.getpid()}\n")


async def work(state: State) -> State:
    _note(state, "start")
    await asyncio.sleep(WORK_SECONDS)
    while state.get("gate") and not Path(state["gate"]).exists():  # noqa: ASYNC110, ASYNC240 - it outlives a worker
        await asyncio.sleep(0.01)
    _note(state, "end")
    return {}


graph = StateGraph(State).add_node("work", work).add_edge(START, "work").compile()
