"""Each checkpoint of a graph that trimming leaves still has what its subgraphs kept until then, for forks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.channels import DeltaChannel
from langgraph.graph import START, StateGraph
from langgraph.types import Command, interrupt
from sqlalchemy import Connection

from langgraph_worker.store.sql.checkpoint_rows import CALL, needed_for
from tests.contract.checkpoints.test_checkpoints_growth import (
    KEPT,
    checkpoints,
    count,
    joined,
    left_over,
    next_turn,
    query,
    trim_all,
)
from tests.support.checkpoints import Shelf
from tests.support.run_store import result
from tests.support.runs import State, chain
from workflow_events.results import ResultStatus

States = dict[str, Mapping[str, Sequence[str]]]


class Deltas(TypedDict, total=False):
    value: Any
    log: Annotated[list[str], DeltaChannel(joined, snapshot_frequency=3)]


class NeverWhole(TypedDict, total=False):
    value: Any
    log: Annotated[list[str], DeltaChannel(joined, snapshot_frequency=1_000)]


def calls(child: Any, schema: Any = State, times: int = 3) -> StateGraph[Any]:
    """A graph that calls a child so many times, with a superstep without a call before each."""
    builder = StateGraph(schema)

    async def calls(state: Any) -> Any:
        await child.ainvoke({"value": state["value"]})
        return {"value": state["value"] + 1, "log": ["called"]}

    builder.add_node("waits", lambda state: {"log": ["waited"]})
    builder.add_node("calls", calls)
    builder.add_edge(START, "waits")
    builder.add_edge("waits", "calls")
    builder.add_conditional_edges("calls", lambda state: "waits" if state["value"] % times else "__end__")
    return builder


def keeps(steps: int = 1, schema: Any = State, **inner: Any) -> Any:
    nodes = {f"step{number}": (lambda state: {"log": ["said"]}) for number in range(steps)}
    return chain(schema, **nodes, **inner).compile(checkpointer=True)


async def states(shelf: Shelf, thread: str) -> States:
    """What makes up the state at each of the graph's checkpoints: the ids by namespace, as a fork reads them."""
    found = checkpoints(shelf, thread)

    def read(connection: Connection) -> States:
        return {
            one: {name: needed_for(connection, thread, name, one) for name in found if CALL not in name}
            for one in found[""]
        }

    return await shelf.store.read(read)


def without_parent(shelf: Shelf) -> list[Any]:
    """The checkpoints whose parent is not there."""
    sql = """
        SELECT checkpoint_ns, checkpoint_id FROM checkpoints WHERE parent_checkpoint_id IS NOT NULL
        AND (checkpoint_ns, parent_checkpoint_id) NOT IN (SELECT checkpoint_ns, checkpoint_id FROM checkpoints)
    """
    return query(shelf, sql)


def assert_whole(shelf: Shelf, left: States, before: States) -> None:
    assert left == {one: before[one] for one in left}
    assert left_over(shelf) == without_parent(shelf) == []


async def turns(shelf: Shelf, graph: Any, number: int = 6) -> int:
    """Run so many turns of a conversation, and compare what each trimming leaves with what was there before.

    :returns: how many checkpoints there are in the end.
    """
    before: States = {}
    for turn in range(number):
        claim = await next_turn(shelf)
        await shelf.on(claim, graph).run({"value": 3 * turn})
        before |= await states(shelf, claim.thread_id)
        assert await shelf.store.finish(claim, result(claim))
        assert_whole(shelf, await states(shelf, claim.thread_id), before)
    while await trim_all(shelf):
        assert_whole(shelf, await states(shelf, claim.thread_id), before)
    namespaces = {namespace for state in before.values() for namespace in state}
    assert len(namespaces) > 1
    return count(shelf)


@pytest.mark.parametrize("steps", [1, 2, 30])
async def test_a_subgraphs_state_at_each_checkpoint_stays(trimmed, steps):
    assert await turns(trimmed, calls(keeps(steps))) <= 2 * KEPT


async def test_the_state_of_a_subgraph_within_one_stays(trimmed):
    inner = keeps(2)

    async def within(state: State) -> State:
        await inner.ainvoke({"value": 0})
        return {"log": ["said"]}

    assert await turns(trimmed, calls(keeps(2, within=within))) <= 2 * KEPT


async def test_calls_longer_than_a_portion_go_too(trimmed, monkeypatch):
    monkeypatch.setattr("langgraph_worker.store.sql.trimming.MOST_AT_ONCE", 20)
    assert await turns(trimmed, calls(keeps(30))) <= 2 * KEPT


@pytest.mark.parametrize("schema", [Deltas, NeverWhole])
async def test_what_a_subgraphs_deltas_are_rebuilt_from_stays(trimmed, schema):
    size = await turns(trimmed, calls(keeps(2, schema)))
    # Of deltas that are never whole, nothing can go.
    assert (size <= 2 * KEPT + 2 * 3) == (schema is Deltas)


@pytest.mark.parametrize("inner", [State, Deltas])
async def test_each_checkpoint_that_the_graphs_deltas_need_has_its_subgraphs_state(trimmed, inner):
    assert await turns(trimmed, calls(keeps(2, inner), Deltas)) <= 4 * KEPT


async def test_a_subgraph_that_has_not_ended_goes_on(trimmed):
    """Of its call, what is between its state at the graph's checkpoint and its latest goes."""
    ran: list[str] = []
    steps = {f"s{number:02}": (lambda state: {"log": ["said"]}) for number in range(30)}
    asks = chain(**steps, ask=lambda state: ran.append("ask") or {"log": [interrupt("well?")]})
    graph = calls(asks.compile(checkpointer=True), times=1)
    claim = await next_turn(trimmed)
    await trimmed.on(claim, graph).run({"value": 0})
    before = await states(trimmed, claim.thread_id)
    assert await trimmed.store.finish(claim, result(claim, ResultStatus.FAILURE))
    assert_whole(trimmed, await states(trimmed, claim.thread_id), before)
    assert count(trimmed) <= 2 * KEPT
    on = trimmed.on(await next_turn(trimmed), graph)
    assert (await on.run(Command(resume="yes")))["log"] == ["waited", "called"]
    assert ran == ["ask", "ask"]
