"""A graph that lives until its gate opens, and writes down, outside the graph, when it began, stopped and ended.

Its gate is the file ``gate`` or ``gate-{name}`` in ``folder``. Each line of ``ledger`` there is JSON: which run, what
became of it, when. It tells its name as progress.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from pathlib import Path
from typing import TypedDict

from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph


class State(TypedDict, total=False):
    folder: str
    name: str
    answer: str


def note(state: State, what: str) -> None:
    line = {"name": state["name"], "what": what, "at": time.time()}
    with (Path(state["folder"]) / "ledger").open("a") as ledger:
        ledger.write(f"{json.dumps(line)}\n")


async def begin(state: State) -> State:
    note(state, "begun")
    return {}


async def watch(state: State) -> State:
    get_stream_writer()(f"{state['name']} is watching")
    gates = [Path(state["folder"]) / name for name in ("gate", f"gate-{state['name']}")]
    try:
        while not any(gate.exists() for gate in gates):  # noqa: ASYNC110 - a test in another process opens it
            await asyncio.sleep(0.1)
    except asyncio.CancelledError:
        note(state, "stopped")
        raise
    return {}


async def end(state: State) -> State:
    note(state, "done")
    return {"answer": f"{state['name']} saw {secrets.token_hex(8)}"}


graph = (
    StateGraph(State)
    .add_node("begin", begin)
    .add_node("watch", watch)
    .add_node("end", end)
    .add_edge(START, "begin")
    .add_edge("begin", "watch")
    .add_edge("watch", "end")
    .add_edge("end", END)
)
