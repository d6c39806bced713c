"""A worker that stops, or whose store fails, while a graph inside of a node runs: its node does not take that for a
failure of the graph (rule 19)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import GraphDrained
from langgraph.runtime import RunControl

from langgraph_worker.domain.models import Claim
from langgraph_worker.errors import StoreError
from tests.support.answers import GRAPH, Answering, Gate
from tests.support.run_store import claim_one
from tests.support.runs import State, chain


async def guarded(child: Awaitable[dict[str, Any]]) -> State:
    """A node's call of a child that may fail."""
    try:
        return {"log": (await child)["log"]}
    except Exception as error:  # noqa: BLE001 - as an author writes it
        return {"log": [f"instead: {type(error).__name__}"]}


async def drain_at(case: Answering, graph: Any, reached: asyncio.Event, let_go: Any) -> Claim:
    """Run until a child's node has started, where the worker is asked to stop; then the claim of the worker that goes
    on.
    """
    claim, control = await case.desk.claim(GRAPH), RunControl()
    running = asyncio.create_task(case.desk.only_run(claim, graph, control))
    await reached.wait()
    control.request_drain("the worker stops")
    let_go.set()
    with pytest.raises(GraphDrained):
        await running
    await case.desk.store.release(claim)
    return await claim_one(case.desk.store, "w2", GRAPH)


async def test_a_child_that_a_node_guards_is_not_drained(case):
    gate = Gate()
    child = chain(a=case.ran.stops("a", gate), b=case.ran.passes("b")).compile()

    async def calls(state: State) -> State:
        return await guarded(child.ainvoke({}))

    graph = chain(calls=calls, after=case.ran.passes("after"))
    taken = await drain_at(case, graph, gate.reached, gate.opened)
    assert (await case.run(taken, graph)).result == {"log": ["a", "b", "after"]}
    assert case.ran.log == ["a", "b", "after"]


async def test_a_child_on_its_own_thread_is_not_drained(case):
    gate = Gate()
    child = chain(a=case.ran.stops("a", gate), b=case.ran.passes("b")).compile(checkpointer=InMemorySaver())

    async def calls(state: State) -> State:
        return await guarded(child.ainvoke({}, {"configurable": {"thread_id": "child"}}))

    graph = chain(calls=calls, after=case.ran.passes("after"))
    taken = await drain_at(case, graph, gate.reached, gate.opened)
    assert (await case.run(taken, graph)).result == {"log": ["a", "b", "after"]}


async def test_a_child_of_a_synchronous_node_is_not_drained(case):
    loop, reached, opened = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def first(state: State) -> State:
        loop.call_soon_threadsafe(reached.set)
        opened.wait()
        return {"log": ["a"]}

    child = chain(a=first, b=case.ran.passes("b")).compile()

    def calls(state: State) -> State:
        try:
            return {"log": child.invoke({})["log"]}
        except Exception as error:  # noqa: BLE001 - as an author writes it
            return {"log": [f"instead: {type(error).__name__}"]}

    graph = chain(calls=calls, after=case.ran.passes("after"))
    taken = await drain_at(case, graph, reached, opened)
    assert (await case.run(taken, graph)).result == {"log": ["a", "b", "after"]}


async def test_a_child_that_is_cancelled_goes_on_where_it_was(case):
    gate = Gate()
    child = chain(a=case.ran.passes("a"), b=case.ran.stops("b", gate)).compile()

    async def calls(state: State) -> State:
        return await guarded(child.ainvoke({}))

    graph = chain(calls=calls, after=case.ran.passes("after"))
    taken = await case.vanish(await case.desk.claim(GRAPH), graph, gate, "stopped")
    assert (await case.run(taken, graph)).result == {"log": ["a", "b", "after"]}
    assert case.ran.log == ["a", "b", "b", "after"]


async def test_a_store_that_fails_in_a_child_ends_the_run(case, monkeypatch):
    store, put, failing = case.desk.store, case.desk.store.put_checkpoint, asyncio.Event()

    async def put_checkpoint(write: Any) -> bool:
        if failing.is_set():
            failing.clear()
            raise StoreError("the disk is full", retriable=False)
        return await put(write)

    async def last(state: State) -> State:
        failing.set()
        return {"log": ["b"]}

    monkeypatch.setattr(store, "put_checkpoint", put_checkpoint)
    child = chain(a=case.ran.passes("a"), b=last).compile()

    async def calls(state: State) -> State:
        return await guarded(child.ainvoke({}))

    graph, claim = chain(calls=calls, after=case.ran.passes("after")), await case.desk.claim(GRAPH)
    with pytest.raises(StoreError, match="the disk is full"):
        await case.desk.only_run(claim, graph)
    monkeypatch.undo()
    last_again = chain(a=case.ran.passes("a"), b=case.ran.passes("b")).compile()

    async def calls_again(state: State) -> State:
        return await guarded(last_again.ainvoke({}))

    await store.release(claim)
    graph = chain(calls=calls_again, after=case.ran.passes("after"))
    assert (await case.run(await claim_one(store, "w2", GRAPH), graph)).result == {"log": ["a", "b", "after"]}
