"""A graph's run as LangGraph alone does it, without a worker and without kills: what every other run must equal."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from langgraph_worker.checkpoints.earlier_calls import begin_new_call
from langgraph_worker.errors import ForeignThreadError
from tests.random_graphs.answering import answer_to, to_answer
from tests.random_graphs.builder import Builder, StumbleError
from tests.random_graphs.description import Flow, Graph
from tests.random_graphs.ledger import Entry, ListLedger, Place

_MOST_TURNS = 40
_SECONDS = 15.0
_THREADS = 16  # as in a worker's life

INPUT: dict[str, Any] = {"log": ["in"], "item": ""}


_THREAD = "t"


class Counting(InMemorySaver):
    """Counts its puts: about so often a worker's store is written.

    As a worker's saver, it refuses every thread but one: a node that names another one raises the same here. And it
    lets a kept child begin a new call behind an answer or a failure: LangGraph alone gives the earlier call's result
    (tests/contract/checkpoints/test_checkpoints_kept_children.py).
    """

    def __init__(self) -> None:
        super().__init__()
        self.puts = 0

    def get_tuple(self, config: Any) -> Any:
        if config["configurable"]["thread_id"] != _THREAD:
            raise ForeignThreadError("another thread")
        found = super().get_tuple(config)
        if found is not None:
            begin_new_call(config, found.metadata)
        return found

    def put(self, *given: Any, **named: Any) -> Any:
        self.puts += 1
        return super().put(*given, **named)

    def put_writes(self, *given: Any, **named: Any) -> None:
        self.puts += 1
        super().put_writes(*given, **named)


@dataclass
class Expected:
    """How a graph's run goes.

    :ivar result: of its last talk.
    :ivar turns: for each turn but the last, the questions that it ends with, sorted: none at the end of a talk; for a
        failure, None.
    :ivar error: the exception that it ends with on every try; empty: none.
    :ivar puts: writes of LangGraph's saver.
    """

    result: Any = None
    error: str = ""
    turns: list[list[str] | None] = field(default_factory=list)
    entries: Sequence[Entry] = ()
    puts: int = 0

    @property
    def starts(self) -> Counter[str]:
        return Counter(entry.key for entry in self.entries if entry.kind == "start")


class UnfitGraphError(Exception):
    """LangGraph itself cannot run it: the generator's fault."""


async def run_alone(part: Graph | Flow, talks: int = 1) -> Expected:
    """Run a graph to its end, and answer what it asks.

    :param talks: how often, on one thread.
    :raises UnfitGraphError: see there.
    """
    # A synchronous flow waits in its thread for its tasks, which need threads too: the usual few may all be waiting.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS))
    ledger, saver, expected, tries = ListLedger(), Counting(), Expected(), [1]
    graph = Builder(ledger, Place("alone"), lambda: tries[0]).build(part).copy(update={"checkpointer": saver})
    config: Any = {"configurable": {"thread_id": _THREAD}, "recursion_limit": 100}
    given: Any = INPUT
    try:
        async with asyncio.timeout(_SECONDS):
            for turn in range(_MOST_TURNS):
                given = await _turn(graph, given, config, expected, turn, tries)
                if given is _OVER and talks > 1 and not expected.error:
                    expected.turns.append([])
                    talks, given, tries[0] = talks - 1, INPUT, 1
                if given is _OVER:
                    expected.entries, expected.puts = ledger.entries, saver.puts
                    return expected
    except TimeoutError as error:
        raise UnfitGraphError("it does not end") from error
    raise UnfitGraphError("it asks without end")


_OVER = object()


async def _turn(graph: Any, given: Any, config: Any, expected: Expected, turn: int, tries: list[int]) -> Any:
    try:
        done = await graph.ainvoke(given, config, version="v2")
    except (StumbleError, ForeignThreadError) as error:
        if tries[0] == 2:
            expected.error = type(error).__name__
            return _OVER
        tries[0] = 2
        expected.turns.append(None)
        return None
    # Not those of the state: it lists a question until its node has ended, answered or not.
    asked = {str(one.value): one.id for one in done.interrupts}
    if not asked:
        expected.result = done.value
        return _OVER
    expected.turns.append(sorted(asked))
    chosen = to_answer(sorted(asked), turn)
    return Command(resume={asked[question]: answer_to(question) for question in chosen})
