"""What the log says of a run that goes on: what is not run again, and where it goes on."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypedDict

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph

from langgraph_worker.checkpoints.finished_nodes import finished_nodes

THREAD: Any = {"configurable": {"thread_id": "t"}}


class State(TypedDict, total=False):
    turns: int
    is_broken: bool


def does_nothing(state: State) -> State:
    return {"turns": state.get("turns", 0) + 1}


def breaks(state: State) -> State:
    if state.get("is_broken"):
        raise ConnectionError
    return {}


def chain(**nodes: Callable[[State], State]) -> Any:
    return StateGraph(State).add_sequence(list(nodes.items())).add_edge(START, next(iter(nodes)))


async def left_by(graph: Any, saver: InMemorySaver, state: State) -> list[str]:
    compiled = graph.compile(checkpointer=saver)
    try:
        await compiled.ainvoke(state, THREAD)
    except ConnectionError:
        logging.getLogger(__name__).debug("as it should")
    found = saver.get_tuple(THREAD)
    assert found is not None
    return finished_nodes(found.checkpoint)


async def test_the_nodes_that_have_finished_come_in_their_order():
    graph = chain(zebra=does_nothing, apple=does_nothing, broken=breaks)
    assert await left_by(graph, InMemorySaver(), {"is_broken": True}) == ["zebra", "apple"]


async def test_a_first_node_that_fails_leaves_none():
    assert await left_by(chain(broken=breaks, after=does_nothing), InMemorySaver(), {"is_broken": True}) == []


@pytest.mark.parametrize("turns", [1, 3])
async def test_the_nodes_of_earlier_turns_of_a_conversation_do_not_count(turns: int):
    graph, saver = chain(broken=breaks, after=does_nothing), InMemorySaver()
    for _ in range(turns):
        assert await left_by(graph, saver, {"is_broken": False}) == ["broken", "after"]
    assert await left_by(graph, saver, {"is_broken": True}) == []
