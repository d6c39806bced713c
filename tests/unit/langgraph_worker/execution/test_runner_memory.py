"""The long-term memory that a run's graph gets."""

from __future__ import annotations

from typing import Any

import pytest
from langgraph.config import get_store
from langgraph.func import entrypoint, task
from langgraph.graph import START, StateGraph
from langgraph.runtime import Runtime
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore

from tests.support.runs import State, chain, opened
from workflow_events.results import ResultStatus

NOTES = ("notes",)


@pytest.fixture
async def desk(tmp_path):
    async with opened(tmp_path / "store.db") as found:
        yield found


async def result_of(desk: Any, graph: Any) -> Any:
    outcome = await desk.run(await desk.claim("desk"), graph)
    assert outcome.result.status is ResultStatus.SUCCESS, outcome.result.error
    return outcome.result.result


def writes(state: State, runtime: Runtime) -> State:
    runtime.store.put(NOTES, "by-thread", {})
    get_store().put(NOTES, "by-context", {})
    return {}


async def awaits(state: State, runtime: Runtime) -> State:
    await runtime.store.aput(NOTES, "by-await", {})
    return {"log": sorted(item.key for item in await runtime.store.asearch(NOTES))}


async def test_every_kind_of_node_writes_and_the_next_run_reads(desk):
    child = chain(writes=writes).compile()
    builder = StateGraph(State)
    for name in ("one", "two"):
        builder.add_node(name, child if name == "one" else writes)
        builder.add_edge(START, name)
    builder.add_node("awaits", awaits)
    builder.add_edge(["one", "two"], "awaits")
    expected = ["by-await", "by-context", "by-thread"]
    assert (await result_of(desk, builder))["log"] == expected

    async def reads(state: State, runtime: Runtime) -> State:
        return {"log": sorted(item.key for item in runtime.store and await runtime.store.asearch(()))}

    assert (await result_of(desk, chain(reads=reads)))["log"] == expected


async def test_a_function_graph_has_it_too(desk):
    @task
    def remembers(text: str) -> str:
        get_store().put(NOTES, text, {})
        return text

    @entrypoint()
    def works(inputs: dict[str, Any], *, store: BaseStore) -> list[str]:
        remembers("task").result()
        store.put(NOTES, "main", {})
        return sorted(item.key for item in store.search(NOTES))

    assert await result_of(desk, works) == ["main", "task"]


async def test_a_graphs_own_memory_is_kept(desk):
    own = InMemoryStore()
    assert (await result_of(desk, chain(awaits=awaits).compile(store=own)))["log"] == ["by-await"]
    assert own.get(NOTES, "by-await") is not None


async def test_a_node_that_fails_after_its_put_has_put(desk):
    async def fails(state: State, runtime: Runtime) -> State:
        await runtime.store.aput(NOTES, "before", {})
        raise ValueError("no")

    outcome = await desk.run(await desk.claim("desk"), chain(fails=fails))
    assert outcome.result.status is ResultStatus.FAILURE
    assert (await result_of(desk, chain(awaits=awaits)))["log"] == ["before", "by-await"]


async def test_a_value_that_cannot_be_kept_fails_the_run_with_its_place(desk):
    def bad(state: State, runtime: Runtime) -> State:
        runtime.store.put(NOTES, "k", {"x": object()})
        return {}

    outcome = await desk.run(await desk.claim("desk"), chain(bad=bad))
    assert outcome.result.status is ResultStatus.FAILURE
    assert "key 'k' in ('notes',): the value must be a dict that JSON can hold" in outcome.result.error


async def test_a_synchronous_call_on_the_event_loop_says_what_to_await(desk):
    async def blocks(state: State, runtime: Runtime) -> State:
        runtime.store.put(NOTES, "k", {})
        return {}

    outcome = await desk.run(await desk.claim("desk"), chain(blocks=blocks))
    assert outcome.result.status is ResultStatus.FAILURE
    assert "await its asynchronous form (aput" in outcome.result.error
