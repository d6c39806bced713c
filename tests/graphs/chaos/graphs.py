"""Graphs of four nodes, each of which leaves a line in its process's ledger when it begins and when it ends.

The ledger is the judge's evidence and no part of the graph: a file that each process opens for appending, so that a
line is there whole, or not at all, however the process ends.
"""

import asyncio
import operator
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langchain_core.runnables import RunnableConfig
from langgraph.graph import START, StateGraph
from langgraph.types import interrupt

FOLDER = "CHAOS_LEDGER"
"""Environment variable: where the ledgers are."""
HOLD = "hold"
"""A file beside the ledgers: as long as it is there, no run passes its first node."""


class State(TypedDict, total=False):
    delays: list[int]
    """How long each node takes, in milliseconds."""
    note: str
    trail: Annotated[list[str], operator.add]
    """The node executions that the state has come through."""


class Ledger:
    """The file of this process."""

    def __init__(self) -> None:
        path = Path(os.environ[FOLDER]) / f"{os.getpid()}-{uuid.uuid4().hex[:8]}.ledger"
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def write(self, what: str, execution: str, *facts: object) -> None:
        os.write(self._file, ("\t".join(map(str, (what, f"{time.time():.6f}", execution, *facts))) + "\n").encode())


ledger = Ledger()


@contextmanager
def noted(node: str, config: RunnableConfig) -> Iterator[str]:
    """Notes a node execution, and gives it a name."""
    execution, about, thread = uuid.uuid4().hex, config["metadata"], config["configurable"]["thread_id"]
    run = about.get("logical_run") or about["run_id"]  # as a version before named it
    ledger.write("begin", execution, node, about["langgraph_step"], about["correlation_id"], run, thread)
    try:
        yield execution
    except BaseException:
        ledger.write("cut", execution)
        raise
    ledger.write("end", execution)


def asynchronous(node: str, number: int) -> Any:
    async def run(state: State, config: RunnableConfig) -> State:
        with noted(node, config) as execution:
            await asyncio.sleep(state["delays"][number] / 1000)
        return {"trail": [f"{node}:{execution}"]}

    return run


async def fetch(state: State, config: RunnableConfig) -> State:
    """The first node of each."""
    with noted("fetch", config) as execution:
        while (Path(os.environ[FOLDER]) / HOLD).exists():  # noqa: ASYNC110 - another process makes and removes it
            await asyncio.sleep(0.05)
        await asyncio.sleep(state["delays"][0] / 1000)
    return {"trail": [f"fetch:{execution}"]}


def synchronous(node: str, number: int) -> Any:
    def run(state: State, config: RunnableConfig) -> State:
        with noted(node, config) as execution:
            time.sleep(state["delays"][number] / 1000)
        return {"trail": [f"{node}:{execution}"]}

    return run


def asking(node: str, number: int) -> Any:
    """A node that asks before it begins."""
    work = asynchronous(node, number)

    async def run(state: State, config: RunnableConfig) -> Any:
        interrupt(f"{node}?")
        return await work(state, config)

    return run


def _chain(**nodes: Any) -> Any:
    builder = StateGraph(State)
    for before, (name, node) in zip([START, *nodes], nodes.items(), strict=False):
        builder.add_node(name, node)
        builder.add_edge(before, name)
    return builder.compile()


think, report = asynchronous("think", 1), asynchronous("report", 3)
desk = _chain(fetch=fetch, think=think, trade=synchronous("trade", 2), report=report)
adviser = _chain(fetch=fetch, think=think, trade=asking("trade", 2), report=report)
_board = _chain(think=think, trade=asking("trade", 2))


async def consult(state: State) -> Any:
    """Calls the graph that asks."""
    return {"trail": (await _board.ainvoke({"delays": state["delays"]}))["trail"]}


committee = _chain(fetch=fetch, board=consult, report=report)


def ask(state: State) -> State:
    """Asks a person, and goes on with what the person said."""
    return {"note": interrupt("trade?")}


asking = _chain(fetch=fetch, ask=ask, trade=synchronous("trade", 1))
