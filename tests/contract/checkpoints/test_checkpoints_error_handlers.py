"""Nodes with an error handler, after a crash. LangGraph's own saver is one of those that are tried: what it does, ours
do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from langgraph.errors import NodeError
from langgraph.graph import START, StateGraph

from langgraph_worker.idempotency import idempotency_key
from tests.support.checkpoints import OnThread, Shelf
from tests.support.runs import Failing, State


class Handled:
    """A graph whose node ``a`` always fails and is handled, beside a node ``c`` that may fail."""

    def __init__(self, beside: Callable[[], Any], *, is_async: bool = True) -> None:
        self.ran: list[str] = []
        self.keys: list[str] = []
        self.is_async = is_async
        self.beside = beside

    def fails(self, state: State) -> State:
        self.ran.append("a")
        raise ValueError("refused")

    def handles(self, state: State, error: NodeError) -> State:
        self.ran.append("handler")
        self.keys.append(idempotency_key())
        return {"log": ["handled"]}

    async def fails_async(self, state: State) -> State:
        return self.fails(state)

    async def handles_async(self, state: State, error: NodeError) -> State:
        return self.handles(state, error)

    async def c(self, state: State) -> State:
        self.ran.append("c")
        return await self.beside()  # type: ignore[no-any-return]

    def after(self, state: State) -> State:
        self.ran.append("b")
        return {"log": ["b"]}

    def graph(self) -> StateGraph[Any]:
        builder = StateGraph(State)
        node, handler = (self.fails_async, self.handles_async) if self.is_async else (self.fails, self.handles)
        builder.add_node("a", node, error_handler=handler)
        builder.add_node("c", self.c)
        builder.add_node("b", self.after)
        builder.add_edge(START, "a")
        builder.add_edge(START, "c")
        builder.add_edge("c", "b")
        return builder


def fails_once(shelf: Shelf) -> Callable[[], Any]:
    """Fails when the handler's output is stored, and passes later."""
    failing = Failing(1, ConnectionError("gone"))

    async def beside() -> State:
        while failing.left and not await _is_handled(shelf.running):
            pass
        failing({})
        return {}

    return beside


async def _is_handled(on: OnThread) -> bool:
    found = await asyncio.to_thread(on.saver.get_tuple, on.config)
    return any(channel == "log" for _, channel, _ in found.pending_writes)


@pytest.mark.parametrize("is_async", [True, False], ids=["asynchronous", "synchronous"])
async def test_a_stored_handler_runs_again_when_its_superstep_did_not_end(shelf, is_async):
    """LangGraph's own: on a resume it schedules the handlers of failed nodes (``_resume_error_handlers_if_applicable``)
    after it has looked at what is stored of each task. If this test fails because the handler ran once, LangGraph has
    mended it: expect it once, here and in docs/how-to/bring-your-graphs.md.
    """
    handled = Handled(fails_once(shelf), is_async=is_async)
    claim = await shelf.claim()
    with pytest.raises(ConnectionError):
        await shelf.on(claim, handled.graph()).run({"value": 1})
    assert await shelf.on(claim, handled.graph()).run(None) == {"value": 1, "log": ["handled", "b"]}
    assert sorted(handled.ran) == ["a", "b", "c", "c", "handler", "handler"]
    assert len(set(handled.keys)) == 1, "what the handler does outside can be told to be the same"


async def test_neither_node_nor_handler_runs_again_when_their_superstep_has_ended(shelf):
    async def passes() -> State:
        return {}

    handled, failing = Handled(passes), Failing(1, ConnectionError("gone"))
    handled.after = failing  # type: ignore[method-assign]
    claim = await shelf.claim()
    with pytest.raises(ConnectionError):
        await shelf.on(claim, handled.graph()).run({"value": 1})
    assert await shelf.on(claim, handled.graph()).run(None) == {"value": 1, "log": ["handled", "b"]}
    assert sorted(handled.ran) == ["a", "c", "handler"]
