"""Graphs inside of nodes: they are a graph's own affair (rule 19), and a retry goes on in them; with the real store and
saver."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver

from langgraph_worker.idempotency import idempotency_key
from tests.support.answers import Gate
from tests.support.runs import Failing, State, chain
from workflow_events.results import ResultStatus


def own_thread(name: str) -> RunnableConfig:
    return {"configurable": {"thread_id": name}}


def doubling() -> Any:
    """A child graph with a saver of its own."""
    return chain(double=lambda state: {"value": state["value"] * 2}).compile(checkpointer=InMemorySaver())


# ---- a child with a saver and a thread of its own ----


async def test_a_child_on_its_own_thread_answers_each_call(case):
    child = doubling()

    async def calls(state: State) -> State:
        first = await child.ainvoke({"value": 1}, own_thread("child"))
        second = await child.ainvoke({"value": 5}, own_thread("child"))
        return {"log": [f"{first['value']} {second['value']}"]}

    def calls_from_a_thread(state: State) -> State:
        return {"log": [str(child.invoke({"value": 7}, own_thread("child"))["value"])]}

    graph = chain(calls=calls, again=calls_from_a_thread)
    done = await case.run(await case.desk.claim("g"), graph)
    assert (done.status, done.result) == (ResultStatus.SUCCESS, {"log": ["2 10", "14"]})


async def test_a_child_on_its_own_thread_answers_again_after_a_crash(case):
    child, gate = doubling(), Gate()
    inputs = iter([1, 5])

    async def calls(state: State) -> State:
        said = await child.ainvoke({"value": next(inputs)}, own_thread("child"))
        await gate()
        return {"log": [str(said["value"])]}

    graph = chain(calls=calls)
    taken = await case.vanish(await case.desk.claim("g"), graph, gate, "stopped")
    assert (await case.run(taken, graph)).result == {"log": ["10"]}


async def test_no_node_finds_the_run_id_where_child_graphs_inherit_it(case):
    seen: list[dict[str, Any]] = []

    def node(state: State, config: RunnableConfig) -> State:
        seen.append({**config["metadata"], "of configurable": config["configurable"]["run_id"]})
        return {}

    inner = chain(deep=node).compile()
    claim = await case.desk.claim("g")
    await case.run(claim, chain(top=node, sub=inner))
    run = str(claim.logical_run)
    names = ("run_id", "logical_run", "of configurable")
    assert [tuple(metadata[name] for name in names) for metadata in seen] == [(None, run, run)] * 2


@pytest.mark.parametrize("saver", [InMemorySaver(), None], ids=["saved", "unsaved"])
@pytest.mark.parametrize("of_the_run", [False, True], ids=["its own thread", "the run's thread"])
async def test_a_child_in_a_place_of_its_own_gives_no_key(case, saver, of_the_run):
    """Two calls would get the same one and, where a saver lasts, a retry another."""

    def pays(state: State) -> State:
        return {"log": [idempotency_key()]}

    child = chain(pays=pays).compile(checkpointer=saver)

    async def calls(state: State, config: RunnableConfig) -> State:
        thread = str(config["configurable"]["thread_id"]) if of_the_run else "child"
        return {"log": (await child.ainvoke({}, own_thread(thread)))["log"]}

    failed = await case.run(await case.desk.claim("g"), chain(calls=calls))
    assert (failed.status, failed.error_type) == (ResultStatus.FAILURE, "RuntimeError")
    assert "ask for it in the node that calls the graph, and hand it on with the graph's input" in failed.error


@pytest.mark.parametrize("saver", [None, False, True])
async def test_a_child_in_its_nodes_place_gives_a_key_for_each_call_that_a_retry_repeats(case, saver):
    keys: list[str] = []
    failing = Failing(1, ConnectionError())

    def pays(state: State) -> State:
        keys.append(idempotency_key())
        return {}

    child = chain(pays=pays).compile(checkpointer=saver)

    async def calls(state: State) -> State:
        for _ in range(2):
            await child.ainvoke({}, {"configurable": {"model": "m"}})
        return failing(state)

    for _ in range(2):
        await case.run(await case.desk.attempt("t", "g"), chain(calls=calls))
    assert len(set(keys)) == 2


async def test_a_question_in_a_nested_graph_is_answered_there(case):
    inner = chain(before=case.ran.passes("before"), ask=case.ran.asks("ask", "buy? ")).compile()

    async def calls(state: State) -> State:
        return {"log": (await inner.ainvoke({}))["log"]}

    graph = chain(sub=calls, after=case.ran.passes("after"))
    asked = await case.ask(graph)
    done = await case.answer(graph, {asked["buy? "]: "yes"})
    assert (done.status, done.result) == (ResultStatus.SUCCESS, {"log": ["before", "buy? yes", "after"]})
    assert case.ran.log == ["before", "ask", "ask", "after"]
