"""What the worker repeats by itself, from the exception of a node to the next start of the run."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, TypedDict

import httpx
import pytest
from langchain_core.exceptions import ContextOverflowError
from langchain_core.runnables import RunnableConfig
from langgraph.graph import START, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import Send

from langgraph_worker.domain.models import Claim
from langgraph_worker.domain.results import Outcome
from langgraph_worker.domain.retry_policy import ErrorClass, Retried
from tests.support.paid_models import PaidModel
from tests.support.runs import LIMITS, Desk, Failing, State, chain, opened
from workflow_events.models import RunConfig
from workflow_events.results import ResultStatus

AWAY = httpx.ConnectError("away")


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with opened(tmp_path / "store.db") as desk:
        yield desk


def busy(seconds: str = "7") -> httpx.HTTPStatusError:
    answer = httpx.Response(429, headers={"Retry-After": seconds})
    return httpx.HTTPStatusError("busy", request=httpx.Request("POST", "http://model"), response=answer)


async def backs_off(desk: Desk, claim: Claim, graph: Any) -> tuple[Outcome, Claim]:
    """A start that ends with an error that is repeated, and the next start's claim."""
    outcome = await desk.only_run(claim, graph)
    assert outcome.back_off is not None
    assert outcome.failure is not None
    await desk.store.back_off(claim, replace(outcome.back_off, wait_seconds=0.0), outcome.failure)
    [again] = await desk.store.claim("w1", 1, [claim.graph])
    return outcome, again


async def test_it_goes_on_from_its_checkpoint(desk):
    graph = chain(a=lambda state: {"log": ["a"]}, b=Failing(1, AWAY), c=lambda state: {"log": ["c"]})
    outcome, again = await backs_off(desk, await desk.claim("g"), graph)
    assert outcome.back_off.error_class is ErrorClass.CONNECTION
    assert (outcome.failure.node, outcome.failure.error_class) == ("b", ErrorClass.CONNECTION)
    assert outcome.failure.wait_seconds == outcome.back_off.wait_seconds > 0
    end = await desk.run(again, graph)
    assert (end.result.status, end.result.result) == (ResultStatus.SUCCESS, {"log": ["a", "b", "c"]})
    assert end.result.attempts == 2


async def test_the_count_begins_anew_when_the_run_has_come_further(desk):
    graph = chain(a=Failing(3, AWAY), b=Failing(4, AWAY))
    claim = await desk.claim("g")
    counts = []
    for _ in range(6):
        outcome, claim = await backs_off(desk, claim, graph)
        counts.append(outcome.back_off.retried.times[ErrorClass.CONNECTION])
    assert counts == [1, 2, 3, 1, 2, 3]
    end = await desk.run(claim, graph)
    assert end.result.error == "node 'b': ConnectError: away; the worker has repeated it 3 times (connection)"
    assert (end.result.retriable, end.result.error_type, end.result.attempts) == (True, "ConnectError", 7)
    assert end.result.retry_after_seconds > 0


async def test_a_server_that_asks_to_wait_longer_than_the_deadline_ends_it_now(desk):
    claim = await desk.claim("g", deadline=datetime.now(UTC) + timedelta(seconds=600))
    end = await desk.run(claim, chain(a=Failing(1, busy("3600"))))
    assert end.result.status is ResultStatus.FAILURE
    assert "its server asks to wait 3,60" in end.result.error
    assert end.result.error.endswith(" s (rate_limit), and the deadline is sooner")
    assert end.result.retry_after_seconds >= 3_600


async def test_the_model_whose_call_failed_is_named(desk):
    def fail(call: int) -> None:
        raise busy()

    model = PaidModel(before=fail)
    outcome, _ = await backs_off(desk, await desk.claim("g"), chain(a=lambda state: model.invoke("?") and {}))
    assert outcome.failure.model == "big"
    assert 7.0 <= outcome.back_off.wait_seconds <= 11.0

    def hide(state: State) -> State:
        try:
            model.invoke("?")
        except httpx.HTTPStatusError as error:
            raise RuntimeError("the desk is closed") from error
        return {}

    outcome, _ = await backs_off(desk, await desk.claim("h"), chain(a=hide))
    assert (outcome.failure.error_type, outcome.failure.model) == ("RuntimeError", "big")

    def ask_and_fetch(state: State) -> State:
        with contextlib.suppress(httpx.HTTPStatusError):
            model.invoke("?")
        raise AWAY

    outcome, _ = await backs_off(desk, await desk.claim("i"), chain(a=ask_and_fetch))
    assert (outcome.failure.error_class, outcome.failure.model) == (ErrorClass.CONNECTION, None)


async def test_anything_else_ends_it(desk):
    for error in (ValueError("429"), KeyError("timeout"), RuntimeError("connection")):
        end = await desk.run(await desk.claim("g"), chain(a=Failing(1, error)))
        assert (end.back_off, end.failure.error_class, end.failure.wait_seconds) == (None, ErrorClass.FINAL, None)


async def test_a_graph_may_want_none_of_it(desk):
    desk.entry["retries"] = False
    end = await desk.run(await desk.claim("g"), chain(a=Failing(1, busy())))
    assert (end.back_off, end.result.error) == (None, "node 'a': HTTPStatusError: busy")
    assert end.result.retry_after_seconds == 7.0


@pytest.mark.parametrize("retries", [False, {"rate_limit": 0}])
@pytest.mark.parametrize("asked", ["0", "Wed, 21 Oct 2015 07:28:00 GMT"])
async def test_where_a_graph_wants_no_retry_the_worker_names_no_wait_of_its_own(desk, retries, asked):
    desk.entry["retries"] = retries
    for error, wait in ((busy(asked), None), (busy("7"), 7.0)):
        end = await desk.run(await desk.claim("g"), chain(a=Failing(1, error)))
        assert (end.back_off, end.result.retriable, end.result.retry_after_seconds) == (None, True, wait)


class Unreadable(Exception):
    """Its own code raises wherever it is looked at."""

    def __str__(self) -> str:
        raise ValueError

    @property
    def code(self) -> Any:
        raise IndexError


class Hopeless(Unreadable):
    """It cannot be classified at all."""

    @property
    def response(self) -> Any:
        raise SystemExit(3)


async def test_an_exception_that_cannot_be_read_ends_its_run(desk, caplog):
    for error in (Unreadable(), Hopeless()):
        end = await desk.run(await desk.claim("g"), chain(a=Failing(1, error)))
        name = type(error).__name__
        assert end.result.error == f"node 'a': {name}: {name}, which has no text"
        assert (end.back_off, end.result.status) == (None, ResultStatus.FAILURE)
        assert end.failure.error_class is ErrorClass.FINAL
        assert name in end.failure.traceback
    [line] = [record for record in caplog.records if getattr(record, "action", "") == "not_classified"]
    assert "looking at Hopeless raised SystemExit (graph g, request " in line.message


async def test_a_fault_of_the_workers_own_is_never_repeated(desk):
    end = await desk.run(await desk.claim("g", data=["no mapping"]), chain(a=lambda state: {}))
    assert (end.back_off, end.result.error_type, end.failure.error_class) == (None, "bad_input", None)


async def test_a_run_over_its_deadline_is_not_repeated(desk):
    claim = await desk.claim("g", deadline=datetime.now(UTC) + timedelta(seconds=0.3))

    async def hang(state: State) -> State:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise TimeoutError from None
        return {}

    end = await desk.run(claim, chain(a=hang))
    assert (end.back_off, end.result.error_type) == (None, "deadline")


class Slow:
    """A node that runs into a timeout, and then takes so long."""

    def __init__(self, seconds: float) -> None:
        self.seconds = 0.0
        self.then = seconds

    async def __call__(self, state: State) -> State:
        if not self.seconds:
            self.seconds = self.then
            raise TimeoutError
        await asyncio.sleep(self.seconds)
        return {"log": ["slow"]}


async def hurried(desk: Desk, graph: Any, seconds: float) -> Outcome:
    """The start after a timeout, whose first superstep has so long."""
    _, again = await backs_off(desk, await desk.claim("g"), graph)
    assert again.retried.times == {ErrorClass.TIMEOUT: 1}
    return await desk.only_run(replace(again, retried=Retried({ErrorClass.TIMEOUT: 1}, seconds)), graph)


async def test_the_superstep_that_ran_into_a_timeout_gets_less_time(desk):
    outcome = await hurried(desk, chain(a=lambda state: {}, b=Slow(60.0)), 0.2)
    assert outcome.failure.message == (
        "TimeoutError: a superstep took longer than 0.2 s, what the worker allows behind a timeout of the same "
        "superstep: raise retries.timeout.step_factor of the graph's entry in langgraph.json, or set it to 1"
    )
    assert outcome.back_off.retried.times == {ErrorClass.TIMEOUT: 2}


def limited(node: Any, step: float | None = None, alone: float | None = None, **nodes: Any) -> Any:
    """Nodes side by side; LangGraph limits the superstep, or the first of them."""
    built = StateGraph(State).add_node("a", node, timeout=alone).add_edge(START, "a")
    for name, other in nodes.items():
        built.add_node(name, other).add_edge(START, name)
    graph = built.compile()
    graph.step_timeout = step
    return graph


async def hang(state: State) -> State:
    await asyncio.sleep(60)
    return {}


def raises_a_timeout(state: State) -> State:
    raise TimeoutError("a tool")


def outer(inner: Any) -> Any:
    return StateGraph(State).add_node("inner", inner).add_edge(START, "inner").compile()


@pytest.mark.parametrize(
    ("graph", "is_shortened"),
    [
        (limited(hang, step=0.2), True),
        (limited(hang, step=0.2, b=hang), True),
        (limited(hang, alone=0.2), True),
        (limited(hang, alone=0.2, b=hang), False),
        (outer(limited(hang, alone=0.2)), False),
        (limited(raises_a_timeout), False),
        (limited(raises_a_timeout, step=30.0), False),
    ],
    ids=[
        "step_timeout",
        "of several",
        "a node's",
        "beside others",
        "of a graph inside",
        "a call's",
        "within the limit",
    ],
)
async def test_only_a_limit_of_all_of_a_superstep_makes_it_shorter(desk, graph, is_shortened):
    """What else a superstep does may need its time: a tool that was slow says nothing of the model behind it."""
    outcome = await desk.only_run(await desk.claim("g"), graph)
    assert outcome.back_off.error_class is ErrorClass.TIMEOUT
    assert (outcome.back_off.retried.step_seconds is not None) is is_shortened


async def test_a_superstep_that_ran_into_its_graphs_limit_says_so(desk):
    outcome = await desk.only_run(await desk.claim("g"), limited(hang, step=0.2))
    assert outcome.failure.message == "TimeoutError: a superstep took longer than 0.2 s, the graph's step_timeout"


async def test_a_loop_that_fails_now_and_then_ends_at_its_recursion_limit(desk):
    calls = []

    def turn(state: State) -> State:
        calls.append(len(calls))
        if len(calls) % 3 == 0:
            raise AWAY
        return {}

    graph = StateGraph(State).add_node("a", turn).add_edge(START, "a").add_edge("a", "a")
    claim = await desk.claim("g", config=RunConfig(recursion_limit=10))
    for _ in range(20):
        outcome = await desk.only_run(claim, graph)
        if outcome.back_off is None:
            break
        await desk.store.back_off(claim, replace(outcome.back_off, wait_seconds=0.0), outcome.failure)
        [claim] = await desk.store.claim("w1", 1, ["g"])
    assert outcome.result.error_type == "GraphRecursionError"
    assert outcome.result.error == (
        "GraphRecursionError: Recursion limit of 10 reached (10 supersteps before the worker repeated the run count). "
        "It is set by the event: config.recursion_limit"
    )
    assert len(calls) == 15


async def test_branches_that_finish_one_by_one_are_repeated_until_the_last(desk):
    """A server takes one request at a time: each try comes further, although no checkpoint says so."""
    server = {"left": 1}

    async def ask(state: State) -> State:
        if not server["left"]:
            await asyncio.sleep(0.05)  # the one that was taken ends first
            raise busy()
        server["left"] -= 1
        return {"log": ["done"]}

    graph = StateGraph(State).add_node("ask", ask)
    graph.add_conditional_edges(START, lambda state: [Send("ask", {"log": []})] * 9, ["ask"])
    claim = await desk.claim("g")
    tries = 0
    while tries < 12:
        tries += 1
        outcome = await desk.only_run(claim, graph)
        if outcome.back_off is None:
            break
        assert outcome.back_off.retried.times == {ErrorClass.RATE_LIMIT: 1}
        await desk.store.back_off(claim, replace(outcome.back_off, wait_seconds=0.0), outcome.failure)
        [claim] = await desk.store.claim("w1", 1, ["g"])
        server["left"] = 1
    assert (outcome.result.result, tries) == ({"log": ["done"] * 9}, 9)


async def test_the_supersteps_after_it_have_their_usual_time(desk):
    async def slow(state: State) -> State:
        await asyncio.sleep(0.6)
        return {"log": ["later"]}

    outcome = await hurried(desk, chain(a=Slow(0.01), b=slow), 0.3)
    assert outcome.result.result == {"log": ["slow", "later"]}


async def test_a_graphs_own_limit_of_a_superstep_stays_where_it_is_shorter(desk):
    graph = chain(a=Slow(60.0)).compile()
    graph.step_timeout = 0.2
    outcome = await hurried(desk, graph, 30.0)
    assert outcome.back_off.error_class is ErrorClass.TIMEOUT
    assert graph.step_timeout == 0.2


class Context(TypedDict, total=False):
    model: str


def long_talk(seen: list[Any]) -> Any:
    """A graph whose input is too long for every model but one."""

    def ask(state: State, config: RunnableConfig, runtime: Runtime[Context]) -> State:
        model = config["configurable"].get("model")
        seen.append((model, (runtime.context or {}).get("model")))
        if model != "large":
            raise ContextOverflowError("too long")
        return {"log": [model]}

    return StateGraph(State, context_schema=Context).add_node("ask", ask).add_edge(START, "ask").compile()


async def test_a_run_that_is_too_long_for_its_model_goes_on_with_the_one_that_its_graph_names(desk):
    desk.entry |= {"retries": {"context_length": {"model": "large"}}, "context": {"model": "small"}}
    seen: list[Any] = []
    outcome, again = await backs_off(desk, await desk.claim("g"), long_talk(seen))
    assert outcome.back_off.wait_seconds == 0.0
    end = await desk.run(again, long_talk(seen))
    assert end.result.result == {"log": ["large"]}
    assert seen == [("small", "small"), ("large", "large")]


async def test_the_other_model_stays_for_the_supersteps_after_it(desk):
    desk.entry["retries"] = {"context_length": {"model": "large"}}
    seen: list[Any] = []
    graph = StateGraph(State)
    graph.add_node("ask", long_talk(seen))
    graph.add_node("fetch", Failing(1, AWAY))
    graph.add_node("again", lambda state, config: {"log": [config["configurable"]["model"]]})
    graph.add_edge(START, "ask")
    graph.add_edge("ask", "fetch")
    graph.add_edge("fetch", "again")
    _, claim = await backs_off(desk, await desk.claim("g"), graph)
    _, claim = await backs_off(desk, claim, graph)
    assert claim.retried == Retried({ErrorClass.CONNECTION: 1}, model="large", steps=1)
    assert (await desk.run(claim, graph)).result.result["log"][-1] == "large"


async def test_a_model_that_the_graphs_context_does_not_take_is_named_with_its_place(desk):
    class OneModel(TypedDict, total=False):
        model: Literal["small"]

    def ask(state: State) -> State:
        raise ContextOverflowError("too long")

    graph = StateGraph(State, context_schema=OneModel).add_node("ask", ask).add_edge(START, "ask").compile()
    desk.entry["retries"] = {"context_length": {"model": "large"}}
    _, again = await backs_off(desk, await desk.claim("g"), graph)
    end = await desk.run(again, graph)
    assert end.result.error_type == "invalid_context"
    assert end.result.error.startswith(
        "the model for an input that is too long (retries.context_length of the graph's entry): value 'model': "
    )


async def test_without_a_model_that_takes_more_the_result_says_where_to_name_one(desk):
    claim = await desk.claim("g", config=RunConfig())
    end = await desk.run(claim, long_talk([]))
    assert "retries.context_length.model" in end.result.error
    assert end.result.retriable is False
    assert end.result.retry_after_seconds is None


async def test_the_workers_model_counts_where_the_graph_names_none(desk):
    limits = replace(LIMITS, fallback_model="large")
    made = desk.runner
    desk.runner = lambda graphs: replace(made(graphs), limits=limits)
    _, again = await backs_off(desk, await desk.claim("g"), long_talk([]))
    assert again.retried.model == "large"
