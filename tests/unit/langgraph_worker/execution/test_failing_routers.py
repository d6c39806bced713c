"""A conditional edge that fails, or is stopped, behind a node that has returned: what follows it is never skipped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send, interrupt

from langgraph_worker.domain.models import Claim
from langgraph_worker.domain.results import Outcome
from tests.support.answers import Answering
from tests.support.paid_models import PaidModel
from tests.support.run_store import answer, attempt, claim_one
from tests.support.runs import Desk, State, opened
from workflow_events.models import Budget
from workflow_events.results import ResultStatus

AWAY = httpx.ConnectError("away")


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with opened(tmp_path / "store.db") as desk:
        yield desk


class Router:
    """Chooses where to go, but fails so often before."""

    def __init__(self, target: Any, times: int = 1, error: Exception = AWAY) -> None:
        self.target = target
        self.left = times
        self.error = error

    def __call__(self, state: State) -> Any:
        if self.left:
            self.left -= 1
            raise self.error
        return self.target


def says(text: str) -> Callable[[State], State]:
    return lambda state: {"log": [text]}


def graph_of(router: Any, begins: str = "a", **nodes: Any) -> StateGraph:
    """START, node ``a``, then where the router says; or the router stands behind START."""
    built = StateGraph(State)
    for name, node in {"a": says("a"), "z": says("z"), **nodes}.items():
        built.add_node(name, node)
    if begins == START:
        built.add_conditional_edges(START, router, ["a", "z"])
    else:
        built.add_edge(START, begins)
        built.add_conditional_edges(begins, router, ["z", END])
    return built


async def to_the_end(desk: Desk, claim: Claim, graph: Any) -> Outcome:
    """All starts that the worker makes by itself."""
    for _ in range(8):
        outcome = await desk.only_run(claim, graph)
        if outcome.back_off is None:
            assert await desk.store.finish(claim, outcome.result, outcome.failure)
            return outcome
        assert outcome.failure is not None
        await desk.store.back_off(claim, replace(outcome.back_off, wait_seconds=0.0), outcome.failure)
        claim = await claim_one(desk.store, graph=claim.graph)
    raise AssertionError("it never ends")


@pytest.mark.parametrize("times", [1, 3])
async def test_a_run_goes_on_behind_it(desk, times):
    outcome = await to_the_end(desk, await desk.claim("g"), graph_of(Router("z", times)))
    assert (outcome.result.status, outcome.result.result) == (ResultStatus.SUCCESS, {"log": ["a", "z"]})


async def test_a_run_goes_on_behind_one_at_its_beginning(desk):
    outcome = await to_the_end(desk, await desk.claim("g", {"log": ["asked"]}), graph_of(Router("z"), START))
    assert (outcome.result.status, outcome.result.result) == (ResultStatus.SUCCESS, {"log": ["asked", "z"]})


async def test_one_that_always_fails_is_no_success(desk):
    outcome = await to_the_end(desk, await desk.claim("g", {"log": ["asked"]}), graph_of(Router("z", 99), START))
    assert (outcome.result.status, outcome.result.error_type) == (ResultStatus.FAILURE, "ConnectError")


async def test_one_that_sends_work_to_many_nodes(desk):
    sends = [Send("z", {"log": []}), Send("z", {"log": []})]
    outcome = await to_the_end(desk, await desk.claim("g"), graph_of(Router(sends)))
    assert outcome.result.result == {"log": ["a", "z", "z"]}


async def test_airflows_retry_goes_on_behind_one_that_failed_for_good(desk):
    graph = graph_of(Router("z", error=ValueError("no")))
    first = await desk.run(await desk.attempt("t", "g"), graph)
    assert first.result.error_type == "ValueError"
    second = await desk.run(await desk.attempt("t", "g"), graph)
    assert second.result.result == {"log": ["a", "z"]}


async def test_one_within_a_graph_of_a_node(desk):
    outer = StateGraph(State).add_node("inner", graph_of(Router("z")).compile()).add_edge(START, "inner")
    outcome = await to_the_end(desk, await desk.claim("g"), outer)
    assert outcome.result.result == {"log": ["a", "z"]}


async def test_a_conversation_answers_what_was_asked(desk):
    ran = []

    def asked(state: State) -> State:
        ran.append("z")
        return {}

    graph = graph_of(Router("z", times=0), START, z=asked)
    await to_the_end(desk, await desk.claim("g", {"log": ["1"]}, thread_id="talk"), graph)
    again = graph_of(Router("z"), START, z=asked)
    outcome = await to_the_end(desk, await desk.claim("g", {"log": ["2"]}, thread_id="talk"), again)
    assert (outcome.result.status, outcome.result.result, ran) == (
        ResultStatus.SUCCESS,
        {"log": ["1", "2"]},
        ["z", "z"],
    )


@pytest.mark.parametrize("is_async", [True, False], ids=["async", "sync"])
async def test_a_run_that_is_stopped_in_one_goes_on_behind_it(desk, is_async):
    reached, stopped, ran = asyncio.Event(), asyncio.Event(), []
    loop = asyncio.get_running_loop()

    async def waits(state: State) -> str:
        ran.append("router")
        if len(ran) == 1:
            reached.set()
            await asyncio.Event().wait()
        return "z"

    def waits_in_a_thread(state: State) -> str:
        ran.append("router")
        if len(ran) == 1:
            loop.call_soon_threadsafe(reached.set)
            asyncio.run_coroutine_threadsafe(stopped.wait(), loop).result()
        return "z"

    graph = graph_of(waits if is_async else waits_in_a_thread)
    claim = await desk.claim("g")
    running = asyncio.create_task(desk.only_run(claim, graph))
    await reached.wait()
    running.cancel()
    await asyncio.wait({running})
    stopped.set()
    await desk.store.release(claim)
    outcome = await to_the_end(desk, await claim_one(desk.store, graph="g"), graph)
    assert (outcome.result.status, outcome.result.result) == (ResultStatus.SUCCESS, {"log": ["a", "z"]})


async def test_one_beside_which_another_node_fails(desk):
    reached = asyncio.Event()

    async def slow(state: State) -> str:
        reached.set()
        await asyncio.sleep(0 if fails.done else 3600)
        return "z"

    class Fails:
        done = False

        async def __call__(self, state: State) -> State:
            if self.done:
                return {"log": ["b"]}
            await reached.wait()
            self.done = True
            raise AWAY

    fails = Fails()
    graph = graph_of(slow, b=fails).add_edge(START, "b")
    outcome = await to_the_end(desk, await desk.claim("g"), graph)
    assert (outcome.result.status, outcome.result.result) == (ResultStatus.SUCCESS, {"log": ["a", "b", "z"]})


async def test_a_retry_with_a_higher_budget_goes_on_behind_one_that_calls_a_model(desk):
    model = PaidModel()
    graph = graph_of(lambda state: model.invoke("?") and "z", a=lambda state: {"log": [model.invoke("?").content]})
    over = await desk.run(await desk.claim("g", attempt=attempt(1), budget=Budget(tokens=100)), graph)
    assert over.result.error_type == "budget_exceeded"
    again = await desk.run(await desk.claim("g", attempt=attempt(2), budget=Budget(tokens=900)), graph)
    assert (again.result.status, again.result.result["log"][-1]) == (ResultStatus.SUCCESS, "z")


async def test_an_approval_is_not_used_up_by_one(case: Answering) -> None:

    async def ask(state: State) -> State:
        return {"log": [str(interrupt("buy?"))]}

    graph = graph_of(Router("z"), "ask", ask=ask, z=says("ordered"))
    asked = await case.ask(graph)
    claim = await case.claim(answer(attempt(1), {asked["buy?"]: "yes"}))
    outcome = await to_the_end(case.desk, claim, graph)
    assert (outcome.result.status, outcome.result.result) == (ResultStatus.SUCCESS, {"log": ["yes", "ordered"]})


async def test_what_an_error_handler_goes_on_from_stays(desk):
    """LangGraph applies what the node has put out before its router failed, and so does a start behind a failure."""

    class Handler:
        left = 1

        def __call__(self, state: State) -> State:
            if self.left:
                self.left -= 1
                raise AWAY
            return {"log": ["handled"]}

    ran = []

    def works(state: State) -> State:
        ran.append("a")
        return {"log": ["a"]}

    built = StateGraph(State).add_node("a", works, error_handler=Handler()).add_node("z", says("z"))
    built.add_edge(START, "a").add_conditional_edges("a", Router("z", 99, ValueError("no")), ["z"])
    outcome = await to_the_end(desk, await desk.claim("g"), built)
    assert (outcome.result.result, ran) == ({"log": ["a", "handled"]}, ["a"])
