"""Graphs on a saver: what they did is kept, and done once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from langgraph.graph import START, StateGraph
from langgraph.types import Command, Send, interrupt

from tests.support.checkpoints import OnThread, Shelf, latest
from tests.support.runs import Failing, State, chain


class Ledger:
    """Makes nodes, and keeps which ran."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    def node(self, name: str, first: Callable[[State], Any] | None = None) -> Callable[[State], State]:
        def run(state: State) -> State:
            self.ran.append(name)
            if first:
                first(state)
            return {"log": [name]}

        return run


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


def fails_once() -> Failing:
    return Failing(1, ConnectionError("gone"))


def fails_after(shelf: Shelf, others: int) -> Callable[[State], Awaitable[State]]:
    """A node that fails once, when so many nodes beside it are kept."""
    failing = fails_once()

    async def node(state: State) -> State:
        while failing.left and await _kept_beside(shelf.running) < others:
            pass
        return failing(state)

    return node


async def _kept_beside(on: OnThread) -> int:
    found = await asyncio.to_thread(on.saver.get_tuple, on.config)
    return len({task_id for task_id, channel, _ in found.pending_writes if channel == "log"})


async def test_a_run_keeps_every_superstep(shelf, ledger):
    on = shelf.on(await shelf.claim(), chain(a=ledger.node("a"), b=ledger.node("b")))
    assert await on.run({"value": 7}) == {"value": 7, "log": ["a", "b"]}
    kept = [found async for found in on.saver.alist(on.config)]
    assert [found.metadata["step"] for found in kept] == [2, 1, 0, -1]
    assert [found.checkpoint["channel_values"].get("log", []) for found in kept] == [["a", "b"], ["a"], [], []]
    assert [found.parent_config for found in kept] == [*(found.config for found in kept[1:]), None]
    assert all(found.metadata["logical_run"] == on.config["metadata"]["logical_run"] for found in kept)


async def test_another_saver_of_the_thread_finds_the_same(shelf, ledger):
    claim = await shelf.claim()
    await shelf.on(claim, chain(a=ledger.node("a"))).run({"value": {"deep": [1, None, "x"]}})
    state = await shelf.on(claim, chain(a=ledger.node("a"))).state()
    assert (state.values, state.next) == ({"value": {"deep": [1, None, "x"]}, "log": ["a"]}, ())


async def test_threads_keep_apart(shelf, ledger):
    graph = chain(a=ledger.node("a"))
    claims = await shelf.claims(3)
    await asyncio.gather(*(shelf.on(claim, graph).run({"value": n}) for n, claim in enumerate(claims)))
    assert [await shelf.on(claim, graph).values() for claim in claims] == [{"value": n, "log": ["a"]} for n in range(3)]


async def test_each_superstep_is_durable_before_the_next_begins(shelf, ledger):
    claim = await shelf.claim()
    kept = []

    async def look(state: State) -> State:
        kept.append((await latest(shelf.saver(claim), claim))["log"])
        return {"log": ["look"]}

    graph = chain(a=ledger.node("a"), b=ledger.node("b"), look=look)
    on = shelf.on(claim, graph)
    parts = [part async for part in on.graph.astream({"value": 1}, on.config, stream_mode="values", durability="sync")]
    assert [part["log"] for part in parts] == [[], ["a"], ["a", "b"], ["a", "b", "look"]]
    assert kept == [["a", "b"]]


async def test_a_finished_node_does_not_run_again_after_a_failure(shelf, ledger):
    graph = chain(a=ledger.node("a"), b=ledger.node("b", fails_once()), c=ledger.node("c"))
    claim = await shelf.claim()
    with pytest.raises(ConnectionError):
        await shelf.on(claim, graph).run({"value": 1})
    assert (await shelf.on(claim, graph).state()).next == ("b",)
    assert await shelf.on(claim, graph).run(None) == {"value": 1, "log": ["a", "b", "c"]}
    assert ledger.ran == ["a", "b", "b", "c"]


async def test_what_finished_beside_a_failure_does_not_run_again(shelf, ledger):
    builder = StateGraph(State)
    for name, node in {"a": ledger.node("a"), "c": ledger.node("c"), "b": fails_after(shelf, 2)}.items():
        builder.add_node(name, node)
        builder.add_edge(START, name)
    claim = await shelf.claim()
    with pytest.raises(ConnectionError):
        await shelf.on(claim, builder).run({"value": 1})
    assert await shelf.on(claim, builder).run(None) == {"value": 1, "log": ["a", "b", "c"]}
    assert sorted(ledger.ran) == ["a", "c"]


async def test_a_fan_out_keeps_each_branch(shelf, ledger):
    last = fails_after(shelf, 3)

    async def branch(state: dict[str, Any]) -> State:
        ledger.ran.append(state["name"])
        if state["name"] == "d":
            await last(state)
        return {"log": [state["name"]]}

    builder = StateGraph(State)
    builder.add_node("branch", branch)
    builder.add_node("join", ledger.node("join"))
    builder.add_conditional_edges(START, lambda state: [Send("branch", {"name": name}) for name in "abcd"])
    builder.add_edge("branch", "join")
    claim = await shelf.claim()
    with pytest.raises(ConnectionError):
        await shelf.on(claim, builder).run({})
    assert await shelf.on(claim, builder).run(None) == {"log": ["a", "b", "c", "d", "join"]}
    assert ledger.ran == ["a", "b", "c", "d", "d", "join"]


async def test_an_interrupted_run_goes_on_with_what_it_is_told(shelf, ledger):
    graph = chain(a=ledger.node("a"), ask=lambda state: {"log": [interrupt("buy?")]})
    claim = await shelf.claim()
    await shelf.on(claim, graph).run({})
    [asked] = (await shelf.on(claim, graph).state()).interrupts
    assert asked.value == "buy?"
    assert await shelf.on(claim, graph).run(Command(resume={asked.id: "yes"})) == {"log": ["a", "yes"]}
    assert ledger.ran == ["a"]


# ---- subgraphs ----


async def test_a_subgraph_goes_on_where_it_failed(shelf, ledger):
    inner = chain(c=ledger.node("c"), d=ledger.node("d", fails_once())).compile()
    graph = chain(a=ledger.node("a"), sub=inner, b=ledger.node("b"))
    claim = await shelf.claim()
    with pytest.raises(ConnectionError):
        await shelf.on(claim, graph).run({})
    state = await shelf.on(claim, graph).state(subgraphs=True)
    [task] = state.tasks
    assert (state.next, task.state.next, task.state.values) == (("sub",), ("d",), {"log": ["a", "c"]})
    assert (await shelf.on(claim, graph).run(None))["log"] == ["a", "a", "c", "d", "b"]
    assert ledger.ran == ["a", "c", "d", "d", "b"]


async def test_subgraphs_keep_namespaces_of_their_own(shelf, ledger):
    deepest = chain(e=ledger.node("e")).compile()
    inner = chain(c=ledger.node("c"), deepest=deepest).compile()
    on = shelf.on(await shelf.claim(), chain(sub=inner, other=inner))
    await on.run({})
    kept = [found async for found in on.saver.alist({"configurable": {"thread_id": on.thread_id}})]
    names = {found.config["configurable"]["checkpoint_ns"] for found in kept}
    paths = sorted("/".join(part.split(":")[0] for part in name.split("|")) for name in names)
    assert paths == ["", "other", "other/deepest", "sub", "sub/deepest"]
    for name in names:
        below = {"configurable": {"thread_id": on.thread_id, "checkpoint_ns": name}}
        assert [found async for found in on.saver.alist(below)] == [
            found for found in kept if found.config["configurable"]["checkpoint_ns"] == name
        ]


@pytest.mark.parametrize("inside", ["synchronous", "asynchronous"])
async def test_a_subgraph_that_a_node_runs_goes_on_where_it_failed(shelf, ledger, inside):
    """A synchronous node runs in a thread, and so does everything that its subgraph asks of the saver."""
    inner = chain(c=ledger.node("c"), d=ledger.node("d", fails_once())).compile()

    def synchronous(state: State) -> State:
        return {"value": inner.invoke({"value": 1})["log"]}

    async def asynchronous(state: State) -> State:
        return {"value": (await inner.ainvoke({"value": 1}))["log"]}

    graph = chain(sub=synchronous if inside == "synchronous" else asynchronous)
    claim = await shelf.claim()
    with pytest.raises(ConnectionError):
        await shelf.on(claim, graph).run({})
    assert await shelf.on(claim, graph).run(None) == {"log": [], "value": ["c", "d"]}
    assert ledger.ran == ["c", "d", "d"]


async def test_a_synchronous_node_may_look_at_its_subgraphs_thread(shelf, ledger):
    """Every synchronous method of the saver, from a node's thread."""
    inner = chain(c=ledger.node("c")).compile()
    seen: dict[str, Any] = {}

    def node(state: State) -> State:
        saver, config = on.saver, {"configurable": {"thread_id": on.thread_id, "checkpoint_ns": ""}}
        inner.invoke({"value": 1})
        seen["latest"] = saver.get_tuple(config).checkpoint["channel_values"].get("value")
        seen["steps"] = [found.metadata["step"] for found in saver.list(config, limit=1)]
        history = saver.get_delta_channel_history(config=config, channels=["value"])["value"]["writes"]
        seen["history"] = [value for _, _, value in history]
        saver.delete_thread(on.thread_id)
        seen["deleted"] = saver.get_tuple(config)
        return {}

    on = shelf.on(await shelf.claim(), chain(node=node))
    await on.run({"value": 5})
    assert seen == {"latest": 5, "steps": [0], "history": [5], "deleted": None}


@pytest.mark.parametrize("call", ["invoke", "get_state"])
async def test_an_asynchronous_node_that_waits_for_itself_is_told_so(fenced, ledger, call):
    inner = chain(c=ledger.node("c")).compile()

    async def node(state: State) -> State:
        graph = inner if call == "invoke" else on.graph
        getattr(graph, call)({"value": 1} if call == "invoke" else on.config)
        return {}

    on = fenced.on(await fenced.claim(), chain(node=node))
    with pytest.raises(RuntimeError, match=r"an asynchronous node calls .*await its asynchronous form"):
        await on.run({})
    assert await on.values() == {"log": []}
