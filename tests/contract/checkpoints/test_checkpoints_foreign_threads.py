"""A run's saver is for the run's thread alone: a node that names another one reads and writes nothing of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from sqlalchemy import text

from langgraph_worker.errors import ForeignNamespaceError, ForeignThreadError
from tests.support.checkpoints import Shelf, checkpoint
from tests.support.runs import State, chain

OTHER = "other"
CONFIG: RunnableConfig = {"configurable": {"thread_id": OTHER, "checkpoint_ns": ""}}
METADATA: Any = {"source": "loop", "step": 1, "parents": {}}


def on_other(config: RunnableConfig) -> RunnableConfig:
    """The node's own config with another thread's id: LangGraph then lends the child this run's saver."""
    return {**config, "configurable": {**config["configurable"], "thread_id": OTHER}}


def inner() -> Any:
    return chain(c=lambda state: {"log": ["c"]}).compile()


async def threads_in(shelf: Shelf) -> set[str]:
    """The threads that have checkpoints."""
    return set(
        await shelf.store.read(lambda made: made.execute(text("SELECT thread_id FROM checkpoints")).scalars().all())
    )


def synchronous(call: Callable[[Any, RunnableConfig], Any]) -> Callable[..., Any]:
    def node(state: State, config: RunnableConfig) -> State:
        call(inner(), on_other(config))
        return {}

    return node


def asynchronous(call: Callable[[Any, RunnableConfig], Any]) -> Callable[..., Any]:
    async def node(state: State, config: RunnableConfig) -> State:
        await call(inner(), on_other(config))
        return {}

    return node


async def _history(graph: Any, config: RunnableConfig) -> list[Any]:
    return [state async for state in graph.aget_state_history(config)]


@pytest.mark.parametrize(
    "node",
    [
        synchronous(lambda graph, config: graph.invoke({"value": 1}, config)),
        synchronous(lambda graph, config: graph.get_state(config)),
        synchronous(lambda graph, config: list(graph.get_state_history(config))),
        synchronous(lambda graph, config: graph.update_state(config, {"value": 1})),
        asynchronous(lambda graph, config: graph.ainvoke({"value": 1}, config)),
        asynchronous(lambda graph, config: graph.aget_state(config)),
        asynchronous(_history),
        asynchronous(lambda graph, config: graph.aupdate_state(config, {"value": 1})),
    ],
    ids=["invoke", "get_state", "history", "update_state", "ainvoke", "aget_state", "ahistory", "aupdate_state"],
)
async def test_a_child_graph_on_another_thread_is_refused(fenced, node):
    on = fenced.on(await fenced.claim(), chain(node=node))
    with pytest.raises(ForeignThreadError, match=f"'{on.thread_id}'.*'{OTHER}'"):
        await on.run({"value": 1})
    assert await threads_in(fenced) == {on.thread_id}


@pytest.mark.parametrize("call", ["invoke", "ainvoke"])
async def test_a_child_that_is_given_only_another_threads_id_gets_no_saver(fenced, call):
    """LangGraph then lends it none."""

    async def awaits(state: State) -> State:
        return {"log": (await inner().ainvoke({"value": 1}, CONFIG))["log"]}

    def waits(state: State) -> State:
        return {"log": inner().invoke({"value": 1}, CONFIG)["log"]}

    on = fenced.on(await fenced.claim(), chain(node=awaits if call == "ainvoke" else waits))
    assert (await on.run({"value": 1}))["log"] == ["c"]
    assert await threads_in(fenced) == {on.thread_id}


def _put(saver: Any) -> Any:
    made = checkpoint(1, x=1)
    return saver.aput(CONFIG, made, METADATA, made["channel_versions"])


def _put_from_thread(saver: Any) -> Any:
    made = checkpoint(1, x=1)
    return asyncio.to_thread(saver.put, CONFIG, made, METADATA, made["channel_versions"])


async def _listed(saver: Any, config: RunnableConfig | None) -> list[Any]:
    return [found async for found in saver.alist(config)]


def _called(name: str, **arguments: Any) -> Callable[[Any], Any]:
    return lambda saver: asyncio.to_thread(lambda: getattr(saver, name)(**arguments))


WRITES = {"config": CONFIG | {"configurable": {**CONFIG["configurable"], "checkpoint_id": "1"}}, "task_id": "t"}


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(_put, id="aput"),
        pytest.param(_put_from_thread, id="put"),
        pytest.param(lambda saver: saver.aput_writes(**WRITES, writes=[("x", 1)]), id="aput_writes"),
        pytest.param(_called("put_writes", **WRITES, writes=[("x", 1)]), id="put_writes"),
        pytest.param(lambda saver: saver.aget_tuple(CONFIG), id="aget_tuple"),
        pytest.param(_called("get_tuple", config=CONFIG), id="get_tuple"),
        pytest.param(lambda saver: _listed(saver, CONFIG), id="alist"),
        pytest.param(lambda saver: asyncio.to_thread(lambda: list(saver.list(CONFIG))), id="list"),
        pytest.param(
            lambda saver: saver.aget_delta_channel_history(config=CONFIG, channels=["x"]),
            id="aget_delta_channel_history",
        ),
        pytest.param(
            _called("get_delta_channel_history", config=CONFIG, channels=["x"]), id="get_delta_channel_history"
        ),
        pytest.param(lambda saver: saver.adelete_thread(OTHER), id="adelete_thread"),
        pytest.param(_called("delete_thread", thread_id=OTHER), id="delete_thread"),
    ],
)
async def test_every_method_refuses_another_thread(fenced, call):
    mine, _ = claims = await fenced.claims(2)
    for claim in claims:
        await fenced.on(claim, chain(a=lambda state: {})).run({"value": 1})
    before = await threads_in(fenced)
    for is_new in (True, False):  # a saver that has written nothing yet does not ask the database
        saver = fenced.savers.saver_for(mine) if is_new else fenced.saver(mine)
        with pytest.raises(ForeignThreadError, match=f"'{mine.thread_id}'.*'{OTHER}'"):
            await call(saver)
    assert await threads_in(fenced) == before


async def test_a_list_of_all_threads_is_refused(fenced):
    saver = fenced.saver(await fenced.claim())
    with pytest.raises(ForeignThreadError, match="all threads"):
        await _listed(saver, None)
    with pytest.raises(ForeignThreadError, match="all threads"):
        await asyncio.to_thread(lambda: list(saver.list(None)))


@pytest.mark.parametrize("call", ["invoke", "ainvoke"])
async def test_a_child_with_its_own_saver_has_threads_of_its_own(fenced, call):
    own = InMemorySaver()
    child = chain(c=lambda state: {"log": ["c"]}).compile(checkpointer=own)

    async def awaits(state: State) -> State:
        return {"log": (await child.ainvoke({}, {"configurable": {"thread_id": OTHER}}))["log"]}

    def waits(state: State) -> State:
        return {"log": child.invoke({}, {"configurable": {"thread_id": OTHER}})["log"]}

    on = fenced.on(await fenced.claim(), chain(node=awaits if call == "ainvoke" else waits))
    assert (await on.run({"value": 1}))["log"] == ["c"]
    assert await threads_in(fenced) == {on.thread_id}
    assert own.get_tuple({"configurable": {"thread_id": OTHER}}) is not None


@pytest.mark.parametrize("call", ["invoke", "ainvoke"])
async def test_a_child_that_is_given_the_nodes_config_keeps_this_runs_saver(fenced, call):
    async def awaits(state: State, config: RunnableConfig) -> State:
        return {"log": (await inner().ainvoke({}, config))["log"]}

    def waits(state: State, config: RunnableConfig) -> State:
        return {"log": inner().invoke({}, config)["log"]}

    on = fenced.on(await fenced.claim(), chain(node=awaits if call == "ainvoke" else waits))
    assert (await on.run({"value": 1}))["log"] == ["c"]
    spaces = {
        found.config["configurable"]["checkpoint_ns"].split(":")[0]
        async for found in on.saver.alist({"configurable": {"thread_id": on.thread_id}})
    }
    assert spaces == {"", "node"}


# ---- the place of a graph around it ----


def in_namespace(config: RunnableConfig, namespace: str) -> RunnableConfig:
    return {**config, "configurable": {**config["configurable"], "checkpoint_ns": namespace}}


@pytest.mark.parametrize("call", ["invoke", "ainvoke"])
async def test_a_child_graph_in_the_place_of_the_runs_own_is_refused(fenced, call):
    async def calls(state: State, config: RunnableConfig) -> State:
        return {"log": (await inner().ainvoke({"log": []}, in_namespace(config, "")))["log"]}

    def calls_from_a_thread(state: State, config: RunnableConfig) -> State:
        return {"log": inner().invoke({"log": []}, in_namespace(config, ""))["log"]}

    node = calls if call == "ainvoke" else calls_from_a_thread
    on = fenced.on(await fenced.claim(), chain(a=lambda state: {"log": ["a"]}, node=node))
    with pytest.raises(ForeignNamespaceError, match="over those of the run's own graph: do not replace checkpoint_ns"):
        await on.run({"value": 1})
    assert (await on.state()).next == ("node",)
    assert await on.values() == {"value": 1, "log": ["a"]}


async def test_a_child_graph_in_the_place_of_a_childs_is_refused(fenced):
    async def calls(state: State, config: RunnableConfig) -> State:
        around = config["configurable"]["checkpoint_ns"].rpartition("|")[0]
        return {"log": (await inner().ainvoke({"log": []}, in_namespace(config, around)))["log"]}

    on = fenced.on(await fenced.claim(), chain(sub=chain(calls=calls).compile()))
    with pytest.raises(ForeignNamespaceError, match="over those of the graph around it, 'sub:"):
        await on.run({"value": 1})


async def test_a_child_graph_in_a_place_of_its_own_choice_goes_on_there(fenced):
    async def calls(state: State, config: RunnableConfig) -> State:
        return {"log": (await inner().ainvoke({"log": ["b"]}, in_namespace(config, "mine")))["log"]}

    on = fenced.on(await fenced.claim(), chain(calls=calls))
    assert (await on.run({"value": 1}))["log"] == ["b", "c"]
