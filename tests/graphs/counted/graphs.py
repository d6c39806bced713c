"""Graphs that note each start of a node in a file, on disk before the node goes on, however the process ends."""

import asyncio
import os
from pathlib import Path
from typing import TypedDict

from langgraph.graph import START, StateGraph
from langgraph.types import interrupt

_LOOK_EVERY = 0.02


class State(TypedDict, total=False):
    case: str
    ledger: str
    """A file that gets a line for each node that began: the case, and the node's name."""
    gate: str
    """A file that node ``two`` waits for; none if it is not given."""
    done: list[str]
    answer: str


def note(state: State, node: str) -> State:
    ledger = os.open(state["ledger"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(ledger, f"{state['case']} {node}\n".encode())
        os.fsync(ledger)
    finally:
        os.close(ledger)
    return {"done": [*state.get("done", ()), node]}


async def one(state: State) -> State:
    return note(state, "one")


async def two(state: State) -> State:
    done = note(state, "two")
    while "gate" in state and not Path(state["gate"]).exists():  # noqa: ASYNC110, ASYNC240
        await asyncio.sleep(_LOOK_EVERY)
    return done


async def three(state: State) -> State:
    return note(state, "three")


async def ask(state: State) -> State:
    done = note(state, "ask")
    return {**done, "answer": interrupt("Buy?")}


async def fail(state: State) -> State:
    note(state, "fail")
    raise ValueError("the market is closed")


async def stumble(state: State) -> State:
    """The first time it begins, it fails for a moment."""
    done = note(state, "stumble")
    if Path(state["ledger"]).read_text().splitlines().count(f"{state['case']} stumble") == 1:  # noqa: ASYNC240
        raise ConnectionError("the market does not answer")
    return done


def chained(*nodes) -> StateGraph:
    return StateGraph(State).add_sequence(nodes).add_edge(START, nodes[0].__name__)


chain = chained(one, two, three)
asks = chained(one, ask, three)
raises = chained(one, fail)
stumbles = chained(one, stumble, three)
