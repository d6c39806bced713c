"""The small example graphs, run by LangGraph alone: what their DAGs promise of them."""

from __future__ import annotations

import asyncio
from typing import Any

import conversation
import errand
import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.memory import InMemoryStore


def of_thread(name: str) -> dict[str, Any]:
    return {"configurable": {"thread_id": name}}


def saying(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


async def test_each_turn_sees_the_turns_before_it_on_its_own_thread():
    graph = conversation.graph
    graph.checkpointer = InMemorySaver()
    try:
        first = await graph.ainvoke(saying("one?"), of_thread("ann"))
        second = await graph.ainvoke(saying("two?"), of_thread("ann"))
        other = await graph.ainvoke(saying("three?"), of_thread("bob"))
    finally:
        graph.checkpointer = None
    assert first == {"answer": "You ask 'one?'.", "turn": 1, "asked_before": []}
    assert second == {
        "answer": "You ask 'two?'. Before that you asked 'one?'.",
        "turn": 2,
        "asked_before": ["one?"],
    }
    assert (other["turn"], other["asked_before"]) == (1, [])


@pytest.fixture
def errands():
    graph = errand.graph
    graph.checkpointer, graph.store = InMemorySaver(), InMemoryStore()
    yield graph
    graph.checkpointer = graph.store = None


async def test_what_was_bought_is_not_bought_again_after_a_closed_door(errands):
    with pytest.raises(errand.ClosedDoorError, match="nobody opens the door for a cake"):
        await errands.ainvoke({"item": "a cake", "closed_doors": 1}, of_thread("a"))
    assert await errands.ainvoke(None, of_thread("a")) == {"item": "a cake", "bought": 1, "delivered": 2}


async def test_an_errand_that_begins_anew_buys_again(errands):
    for _ in range(2):
        with pytest.raises(errand.ClosedDoorError):
            await errands.ainvoke({"closed_doors": 2}, of_thread("a"))
    assert await errands.ainvoke({"closed_doors": 2}, of_thread("a")) == {"bought": 3, "delivered": 3}


async def test_an_errand_can_be_cancelled_at_once(errands):
    run = asyncio.create_task(errands.ainvoke({"seconds": "600"}, of_thread("a")))
    await asyncio.sleep(0)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
