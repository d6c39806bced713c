"""The key that a node hands to the outside: the same when it runs again, another for everything else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from langgraph.graph import START, StateGraph
from langgraph.types import Send

from langgraph_worker.idempotency import idempotency_key
from tests.support.runs import Desk, State, chain, opened


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with opened(tmp_path / "store.db") as desk:
        yield desk


class Pays:
    """A node that returns the key, fails so often, then passes."""

    def __init__(self, failures: int = 0) -> None:
        self.left = failures
        self.keys: list[str] = []

    def __call__(self, state: State) -> State:
        self.keys.append(idempotency_key())
        if self.left:
            self.left -= 1
            raise ConnectionError
        return {"log": ["paid"]}


async def test_a_node_that_is_retried_keeps_its_key(desk):
    pays, other = Pays(failures=2), Pays()
    for _ in range(3):
        await desk.run(await desk.attempt("t", "g"), chain(other=other, pays=pays))
    assert len(pays.keys) == 3
    assert len(set(pays.keys)) == 1
    assert len(pays.keys[0]) == 36
    assert other.keys != pays.keys[:1]


async def test_other_runs_have_other_keys(desk):
    pays = Pays()
    for task in ("t", "u"):
        await desk.run(await desk.attempt(task, "g"), chain(pays=pays))
    assert len(set(pays.keys)) == 2


async def test_a_loop_has_a_key_for_each_turn(desk):
    pays = Pays()
    builder = StateGraph(State).add_node("pays", pays).add_edge(START, "pays")
    builder.add_conditional_edges("pays", lambda state: "pays" if len(state["log"]) < 3 else "__end__")
    await desk.run(await desk.attempt("t", "g"), builder)
    assert len(set(pays.keys)) == 3


async def test_each_of_a_fan_out_has_its_own_also_in_subgraphs(desk):
    pays, inner = Pays(), Pays(failures=1)
    nested = chain(inner=inner)
    builder = StateGraph(State).add_node("plan", lambda state: {}).add_node("pays", pays)
    builder.add_node("nested", nested.compile()).add_edge(START, "plan")
    branches = [Send("pays", {}), Send("pays", {}), Send("nested", {}), Send("nested", {})]
    builder.add_conditional_edges("plan", lambda state: branches, ["pays", "nested"])
    first = await desk.run(await desk.attempt("t", "g"), builder)
    assert first.failure is not None
    again = await desk.run(await desk.attempt("t", "g"), builder)
    assert again.failure is None
    assert len(set(pays.keys)) == 2
    assert len(set(inner.keys)) == 2
    assert len(inner.keys) == 3


def test_outside_of_a_node_there_is_none():
    with pytest.raises(RuntimeError):
        idempotency_key()
    with pytest.raises(RuntimeError, match="belongs to a node"):
        idempotency_key({"metadata": {}})
