"""Graphs that do what tests need: leave a trace in files, wait for one, go wrong in each way."""

import asyncio
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any, TypedDict

from langgraph.config import get_stream_writer
from langgraph.graph import START, StateGraph
from langgraph.types import interrupt
from pydantic import BaseModel

_LOOK_EVERY = 0.02


class State(TypedDict, total=False):
    task: str
    ledger: str
    """A file that gets a line for each node that ran."""
    gate: str
    """A file that a gated node waits for."""
    size: int
    value: Any


class Order(BaseModel):
    quantity: int


def note(state: State, line: str) -> None:
    with Path(state["ledger"]).open("a") as ledger:
        ledger.write(f"{line}\n")


def chain(schema: Any, **nodes: Any) -> StateGraph:
    builder = StateGraph(schema)
    before = START
    for name, node in nodes.items():
        builder.add_node(name, node)
        builder.add_edge(before, name)
        before = name
    return builder


def say(state: State) -> State:
    return {"value": state.get("task", "nothing")}


def first(state: State) -> State:
    note(state, "first")
    return {}


async def wait_for_gate(state: State) -> State:
    note(state, "waiting")
    while not Path(state["gate"]).exists():  # noqa: ASYNC110, ASYNC240 - a file outlives a killed worker
        await asyncio.sleep(_LOOK_EVERY)
    note(state, "passed")
    return {}


async def wait_for_gate_whatever_happens(state: State) -> State:
    while not Path(state["gate"]).exists():  # noqa: ASYNC240
        try:
            note(state, "waiting")
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            note(state, "not now")
    return {}


def tell(state: State) -> State:
    write = get_stream_writer()
    for number in range(state.get("size", 1)):
        write({"at": number})
    return {}


def wait_for_gate_in_thread(state: State) -> State:
    note(state, "waiting")
    while not Path(state["gate"]).exists():
        time.sleep(_LOOK_EVERY)
    note(state, "passed")
    return {}


def last(state: State) -> State:
    note(state, "last")
    return {"value": "done"}


def fail(state: State) -> State:
    raise OSError("the exchange is closed")


def grow(state: State) -> State:
    return {"value": "x" * state["size"]}


def give_a_lock(state: State) -> State:
    return {"value": {"tools": [1, threading.Lock()]}}


def give_an_exception(state: State) -> State:
    return {"value": {"errors": [ValueError("storable, but no JSON")]}}


def ask(state: State) -> State:
    return {"value": interrupt({"question": "Buy?"})}


def leave(state: State) -> State:
    sys.exit(0)


async def leave_the_loop(state: State) -> State:
    sys.exit(0)


def die(state: State) -> State:
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


async def stand_still(state: State) -> State:
    note(state, "began")
    time.sleep(state["size"])  # noqa: ASYNC251 - an agent that computes without awaiting
    note(state, "ended")
    return {}


echo = chain(State, say=say)
steps = chain(State, first=first, last=last)
gated = chain(State, first=first, gate=wait_for_gate, last=last).compile()
gated_sync = chain(State, first=first, gate=wait_for_gate_in_thread, last=last).compile()
nested = chain(State, inner=chain(State, first=first, gate=wait_for_gate, last=last).compile())
waits = chain(State, gate=wait_for_gate)
stubborn = chain(State, gate=wait_for_gate_whatever_happens)
tells = chain(State, first=tell, gate=wait_for_gate)
raises = chain(State, fail=fail)
picky = chain(Order, say=lambda order: {})
big = chain(State, grow=grow)
unstorable = chain(State, lock=give_a_lock)
unsendable = chain(State, errors=give_an_exception)
asks = chain(State, ask=ask)
exits = chain(State, leave=leave)
exits_loop = chain(State, leave=leave_the_loop)
dies = chain(State, die=die)
stands_still = chain(State, compute=stand_still)


def not_a_graph() -> str:
    return "a text"
