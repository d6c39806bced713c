"""Graphs with node caches in a worker, which runs one graph for all requests; with the real store and saver."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.cache.base import BaseCache
from langgraph.cache.memory import InMemoryCache
from langgraph.cache.sqlite import SqliteCache
from langgraph.func import entrypoint, task
from langgraph.graph import START, StateGraph
from langgraph.types import CachePolicy, interrupt

from langgraph_worker.domain.models import Decision
from langgraph_worker.errors import LeaseLostError
from langgraph_worker.execution import node_caches
from tests.support.answers import Answering, Gate, questions
from tests.support.run_store import LEASE, attempt, claim_one, event, request
from tests.support.run_store import answer as answer_event
from tests.support.runs import Failing, State, chain
from workflow_events.models import RunConfig, WorkflowEvent
from workflow_events.results import ResultStatus, WorkflowResultEvent

CACHED: Any = {"cache_policy": CachePolicy()}


@pytest.fixture
def cache() -> BaseCache[Any]:
    return InMemoryCache()


def cached(cache: BaseCache[Any] | None, **nodes: Any) -> Any:
    """A graph of nodes in a row, each with a cache policy."""
    builder, before = StateGraph(State), START
    for name, node in nodes.items():
        builder.add_node(name, node, **CACHED)
        builder.add_edge(before, name)
        before = name
    return builder.compile(cache=cache)


def other(number: int, **changes: Any) -> WorkflowEvent:
    """The request of another task."""
    return event(attempt(1, task=f"{number:064}", at=number), **changes)


async def start(case: Answering, graph: Any, number: int, **changes: Any) -> WorkflowResultEvent:
    """Run another task's request, with the same input."""
    return await case.run(await case.claim(other(number, **changes), Decision.FRESH), graph)


# ---- as LangGraph alone ----


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_a_cached_node_runs_once_for_all_runs_with_its_input(case: Answering, tmp_path: Path, kind):
    cache = InMemoryCache() if kind == "memory" else SqliteCache(path=str(tmp_path / "cache.db"))
    graph = cached(cache, a=case.ran.passes("a"))
    results = [(await start(case, graph, number)).result for number in range(3)]
    assert results == [{"log": ["a"]}] * 3
    assert case.ran.log == ["a"]


async def test_a_policy_without_a_cache_changes_nothing(case: Answering):
    graph = cached(None, a=case.ran.passes("a"))
    assert [(await start(case, graph, number)).result for number in range(2)] == [{"log": ["a"]}] * 2
    assert case.ran.log == ["a", "a"]


async def test_a_renamed_node_runs(case: Answering, cache):
    node = case.ran.passes("a")
    await start(case, cached(cache, old=node), 1)
    await start(case, cached(cache, new=node), 2)
    assert case.ran.log == ["a", "a"]


async def test_a_cache_is_cleared_by_the_names_of_nodes(case: Answering, cache):
    graph = cached(cache, a=case.ran.passes("a"))
    await start(case, graph, 1)
    await graph.aclear_cache(["a"])
    await start(case, graph, 2)
    assert case.ran.log == ["a", "a"]


async def test_what_was_cached_before_a_crash_does_not_run_again(case: Answering, cache):
    gate = Gate()
    graph = cached(cache, a=case.ran.passes("a"), hang=case.ran.stops("hang", gate))
    taken = await case.vanish(await case.claim(other(1), Decision.FRESH), graph, gate, "stopped")
    assert (await case.run(taken, graph)).result == {"log": ["a", "hang"]}
    assert case.ran.log == ["a", "hang", "hang"]


async def test_a_node_that_failed_is_not_cached(case: Answering, cache):
    graph = cached(cache, a=Failing(1, ValueError("no")))
    assert (await start(case, graph, 1)).status is ResultStatus.FAILURE
    assert (await start(case, graph, 2)).result == {"log": ["b"]}


# ---- what a node's input does not say ----


async def test_what_a_request_chose_is_part_of_the_key(case: Answering, cache):
    def node(state: State, config: RunnableConfig) -> State:
        chosen = config["configurable"]
        case.ran.log.append(chosen["model"])
        return {"log": [f"{chosen['model']} for {chosen['user']}"]}

    graph = cached(cache, a=node)
    asked = [("small", "ann"), ("large", "ann"), ("small", "bob"), ("small", "ann")]
    results = []
    for number, (model, user) in enumerate(asked):
        config = RunConfig(model=model, configurable={"user": user})
        results.append((await start(case, graph, number, config=config)).result)
    assert results == [{"log": [f"{model} for {user}"]} for model, user in asked]
    assert case.ran.log == ["small", "large", "small"]


async def test_graphs_that_share_a_cache_share_no_entries(case: Answering, cache):
    class Says:
        """LangGraph has no name for such a node, so all of them look alike in its cache."""

        def __init__(self, text: str) -> None:
            self.text = text

        def __call__(self, state: State) -> State:
            return {"log": [self.text]}

    results = []
    for number, name in enumerate(["buy", "sell"]):
        asked = other(number)
        [accepted] = await case.desk.store.accept([request(asked, name)])
        assert accepted.decision is Decision.FRESH
        claim = await claim_one(case.desk.store, graph=name)
        results.append((await case.run(claim, cached(cache, a=Says(name)))).result)
    assert results == [{"log": ["buy"]}, {"log": ["sell"]}]


# ---- what a person decided ----


def of_node(cache: BaseCache[Any], ask: Any) -> Any:
    """Asks in a cached node; the functions below do so at other depths."""
    return cached(cache, ask=ask)


def of_graph_in_a_node(cache: BaseCache[Any], ask: Any) -> Any:
    return cached(cache, desk=chain(ask=ask).compile())


def of_node_in_a_graph_with_a_cache_of_its_own(cache: BaseCache[Any], ask: Any) -> Any:
    return chain(desk=cached(cache, ask=ask))


def of_flow(cache: BaseCache[Any], ask: Any) -> Any:
    step = task(cache_policy=CachePolicy())(ask)

    @entrypoint(cache=cache)
    async def flow(given: State) -> State:
        return await step(given)

    return flow


BUILDS = pytest.mark.parametrize(
    "build", [of_node, of_graph_in_a_node, of_node_in_a_graph_with_a_cache_of_its_own, of_flow]
)


@BUILDS
async def test_an_answer_decides_no_other_run(case: Answering, cache, build):
    graph = build(cache, case.ran.asks("ask", "pay? "))
    for number, said in enumerate(["yes", "no"], 1):
        asked = questions(await start(case, graph, number))
        claim = await case.claim(answer_event(attempt(1, task=f"{number:064}", at=number), {asked["pay? "]: said}))
        assert (await case.run(claim, graph)).result == {"log": [f"pay? {said}"]}


@pytest.mark.parametrize("build", [of_node, of_graph_in_a_node])
async def test_an_answer_is_not_passed_by_because_another_run_was_not_asked(case: Answering, cache, build):
    limit_is_exceeded = True

    def ask(state: State) -> State:
        return {"log": [interrupt("pay? ") if limit_is_exceeded else "paid"]}

    graph = build(cache, ask)
    asked = questions(await start(case, graph, 1))
    limit_is_exceeded = False
    assert (await start(case, graph, 2)).result == {"log": ["paid"]}
    limit_is_exceeded = True
    claim = await case.claim(answer_event(attempt(1, task=f"{1:064}", at=1), {asked["pay? "]: "no"}))
    assert (await case.run(claim, graph)).result == {"log": ["no"]}


async def test_an_answer_decides_no_other_run_after_a_crash_either(case: Answering, cache):
    """The graph in the node had its answer before the crash; nothing of this attempt shows that."""
    gate = Gate()
    inner = chain(ask=case.ran.asks("ask", "pay? "), hang=case.ran.stops("hang", gate))
    graph = cached(cache, desk=inner.compile())
    asked = questions(await start(case, graph, 1))
    claim = await case.claim(answer_event(attempt(1, task=f"{1:064}", at=1), {asked["pay? "]: "yes"}))
    taken = await case.vanish(claim, graph, gate, "killed")
    assert (await case.run(taken, graph)).result == {"log": ["pay? yes", "hang"]}
    assert list(questions(await start(case, graph, 2))) == ["pay? "]


# ---- a cache that fails ----


class Broken(InMemoryCache[Any]):
    """Fails in one of its two methods, or does not answer."""

    def __init__(self, method: str, error: Exception | None) -> None:
        super().__init__()
        self.method = method
        self.error = error
        self.asked: list[str] = []
        self.given_up = asyncio.Event()
        """Somebody has waited for an answer, and does no longer."""

    async def aget(self, keys: Any) -> dict[Any, Any]:
        await self._fail("get")
        return super().get(keys)

    async def aset(self, keys: Any) -> None:
        await self._fail("set")
        super().set(keys)

    def get(self, keys: Any) -> dict[Any, Any]:
        self._raise("get")
        return super().get(keys)

    def set(self, keys: Any) -> None:
        self._raise("set")
        super().set(keys)

    async def _fail(self, method: str) -> None:
        self._raise(method)
        if method == self.method:
            try:
                await asyncio.Event().wait()
            finally:
                self.given_up.set()

    def _raise(self, method: str) -> None:
        self.asked.append(method)
        if method == self.method and self.error is not None:
            raise self.error


@pytest.mark.parametrize("error", [ConnectionError("no cache"), None], ids=["fails", "hangs"])
@pytest.mark.parametrize("method", ["get", "set"])
async def test_a_run_goes_on_without_a_cache_that_fails(case: Answering, monkeypatch, caplog, method, error):
    monkeypatch.setattr(node_caches, "CACHE_SECONDS", 0.01)
    broken = Broken(method, error)

    async def late(state: State) -> State:
        """Leaves its output when the output of the node before was given up: LangGraph does not wait for that."""
        if error is None:
            await broken.given_up.wait()
        return case.ran.passes("b")(state)

    result = await start(case, cached(broken, a=case.ran.passes("a"), b=late), 1)
    assert (result.status, result.result) == (ResultStatus.SUCCESS, {"log": ["a", "b"]})
    assert broken.asked.count(method) == 1  # not again in this run
    assert "graph g: its cache (Broken) failed" in caplog.text
    assert ("no cache" if error else "no answer within 0.01 s") in caplog.text


@pytest.mark.parametrize("method", ["get", "set"])
async def test_a_graph_that_a_synchronous_node_calls_goes_on_too(case: Answering, method):
    child = cached(Broken(method, ConnectionError("no cache")), x=case.ran.passes("x"))
    result = await start(case, chain(a=lambda state: child.invoke({"log": []})), 1)
    assert (result.status, result.result) == (ResultStatus.SUCCESS, {"log": ["x"]})


async def test_a_run_that_lost_its_lease_leaves_no_other_output(case: Answering, cache):
    """A worker that was taken for dead finishes its node: the entry is that of the same input, and no checkpoint."""
    gate = Gate()
    graph = cached(cache, hang=case.ran.stops("hang", gate))
    claim = await case.claim(other(1), Decision.FRESH)
    running = asyncio.create_task(case.desk.only_run(claim, graph))
    await gate.reached.wait()
    case.clock.advance(LEASE)
    taken = await claim_one(case.desk.store, "w2", "g")
    gate.opened.set()
    with pytest.raises(LeaseLostError):
        await running
    assert (await case.run(taken, graph)).result == {"log": ["hang"]}


def test_threads_of_other_code_use_caches_as_ever():
    graph, found = cached(InMemoryCache(), a=lambda state: {"log": ["a"]}), []
    thread = threading.Thread(target=lambda: found.append(graph.invoke({"log": []})))
    thread.start()
    thread.join()
    assert found == [{"log": ["a"]}]
