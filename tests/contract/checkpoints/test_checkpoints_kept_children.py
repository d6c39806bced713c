"""Graphs that keep their state between calls (``checkpointer=True``), when a call is lost, on LangGraph's saver too.

If a test fails because that one does as without a loss, LangGraph has mended it: expect that, here and in
docs/how-to/bring-your-graphs.md, and let the random graphs have it (``KNOWN_FAULTS``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langgraph.graph import START, StateGraph

from tests.support.checkpoints import MemorySavers
from tests.support.runs import Failing, State, chain


def keeps(**nodes: Callable[[State], Any]) -> Any:
    return chain(**nodes).compile(checkpointer=True)


def calls(child: Any, *, gate: Callable[[State], Any]) -> StateGraph[Any]:
    """Two nodes that call the same child; the second passes the gate before."""

    def first(state: State) -> State:
        return {"log": child.invoke({"value": 1})["log"][-1:]}

    def second(state: State) -> State:
        gate(state)
        return {"log": child.invoke({"value": 2})["log"][-1:]}

    def both(state: State) -> dict[str, Any]:
        again = bool(state.get("log"))
        return second(state) if again else first(state)

    builder = StateGraph(State)
    builder.add_node("calls", both)
    builder.add_edge(START, "calls")
    builder.add_conditional_edges("calls", lambda state: "calls" if len(state["log"]) < 2 else "__end__")
    return builder


async def test_a_second_call_that_is_lost_before_its_first_checkpoint_is_made_again(shelf):
    """With LangGraph's own saver it gets the result of the first (langchain-ai/langgraph#3206)."""
    child = keeps(says=lambda state: {"log": [f"to {state['value']}"]})
    claim = await shelf.claim()
    failing = Failing(1, ConnectionError("gone"))
    with pytest.raises(ConnectionError):
        await shelf.on(claim, calls(child, gate=failing)).run({"value": 0})
    found = await shelf.on(claim, calls(child, gate=failing)).run(None)
    is_langgraphs = isinstance(shelf.savers, MemorySavers)
    assert found["log"] == (["to 1", "to 1"] if is_langgraphs else ["to 1", "to 2"])


async def test_without_a_loss_the_second_call_gets_its_own_result(shelf):
    child = keeps(says=lambda state: {"log": [f"to {state['value']}"]})
    found = await shelf.on(await shelf.claim(), calls(child, gate=lambda state: None)).run({"value": 0})
    assert found["log"] == ["to 1", "to 2"]


async def test_in_a_graph_without_checkpoints_a_lost_call_is_made_again_on_top_of_what_it_kept(shelf):
    failing = Failing(1, ConnectionError("gone"))
    found: list[list[str]] = []

    def says(state: State) -> State:
        found.append(list(state.get("log", [])))
        return {"log": ["said"]}

    unsaved = chain(before=lambda state: {}, kept=keeps(says=says, fails=failing)).compile(checkpointer=False)
    claim = await shelf.claim()
    with pytest.raises(ConnectionError):
        await shelf.on(claim, chain(unsaved=unsaved)).run({"value": 0})
    await shelf.on(claim, chain(unsaved=unsaved)).run(None)
    assert found == [[], ["said"]]
