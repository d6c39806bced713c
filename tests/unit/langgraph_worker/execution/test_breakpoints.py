"""Static breakpoints: a run stops there, and a person lets it go on."""

from __future__ import annotations

from typing import Any

import pytest
from langgraph.graph import START, StateGraph
from langgraph.types import interrupt

from langgraph_worker.domain.models import Decision
from tests.support.answers import Answering
from tests.support.run_store import answer, attempt, event
from tests.support.runs import Failing, State, chain
from workflow_events.models import RunConfig
from workflow_events.results import ResultStatus, WorkflowResultEvent

STOPS = [{"interrupt_before": ["b"]}, {"interrupt_after": ["a"]}, {"interrupt_before": "*"}, {"interrupt_after": "*"}]


def graph(case: Answering, **nodes: Any) -> StateGraph[Any]:
    return chain(**(nodes or {name: case.ran.passes(name) for name in "abc"}))


async def begin(case: Answering, built: Any, **config: Any) -> WorkflowResultEvent:
    """The first try of a task, until it stops."""
    asked = event(attempt(1)).model_copy(update={"config": RunConfig.model_validate(config)})
    return await case.run(await case.claim(asked, Decision.FRESH), built)


def stop_of(result: WorkflowResultEvent) -> tuple[str, Any]:
    """Id and value of the only question."""
    assert result.status is ResultStatus.INTERRUPTED
    (asked,) = result.interrupts
    return asked.id, asked.value


@pytest.mark.parametrize("by_event", [False, True], ids=["compiled", "of the event"])
@pytest.mark.parametrize("where", STOPS, ids=str)
async def test_an_answer_lets_a_run_pass_each_breakpoint(case, where, by_event):
    built = graph(case) if by_event else graph(case).compile(**where)
    result = await begin(case, built, **(where if by_event else {}))
    stops = 0
    while result.status is ResultStatus.INTERRUPTED:
        stops += 1
        name, value = stop_of(result)
        assert set(value) == {next(iter(where)).removeprefix("interrupt_")}
        result = await case.answer(built, {name: None}, round=stops)
    assert (result.status, result.result) == (ResultStatus.SUCCESS, {"log": ["a", "b", "c"]})
    assert case.ran.log == ["a", "b", "c"]
    assert stops == {"b": 1, "a": 1, "*": 3 if "interrupt_before" in where else 2}[next(iter(where.values()))[0]]


async def test_an_event_adds_its_stops_to_the_graphs(case):
    built = graph(case).compile(interrupt_before=["b"])
    first, value = stop_of(await begin(case, built, interrupt_before=["c"]))
    assert value == {"before": ["b"]}
    _, value = stop_of(await case.answer(built, {first: None}))
    assert value == {"before": ["c"]}


async def test_an_event_that_names_an_unknown_node_is_refused(case):
    result = await begin(case, graph(case), interrupt_after=["a", "z"])
    assert (result.status, result.error_type) == (ResultStatus.ERROR, "config_not_allowed")
    assert result.error == "field 'config.interrupt_after': graph 'g' has no node 'z'. It has: a, b, c"
    assert case.ran.log == []


@pytest.mark.parametrize("where", [{"interrupt_before": ["b"]}, {"interrupt_after": ["a"]}], ids=str)
async def test_a_node_that_fails_behind_its_breakpoint_does_not_ask_again(case, where):
    built = graph(case, a=case.ran.passes("a"), b=Failing(1, ConnectionError("gone"))).compile(**where)
    name, _ = stop_of(await begin(case, built))
    assert (await case.answer(built, {name: None})).error_type == "ConnectionError"
    again = await case.claim(event(attempt(2)), Decision.RESUMED)
    assert (await case.run(again, built)).result == {"log": ["a", "b"]}


@pytest.mark.parametrize("where", [{"interrupt_after": ["b"]}, {"interrupt_before": ["c"]}], ids=str)
async def test_a_run_that_fails_before_its_breakpoint_does_not_ask_yet(case, where):
    failing = Failing(1, ConnectionError("gone"))
    built = graph(case, a=case.ran.passes("a"), b=failing, c=case.ran.passes("c")).compile(**where)
    assert (await begin(case, built)).error_type == "ConnectionError"
    result = await case.run(await case.claim(event(attempt(2)), Decision.RESUMED), built)
    assert stop_of(result)[1] == {next(iter(where)).removeprefix("interrupt_"): next(iter(where.values()))}
    assert result.result == {"log": ["a", "b"]}


async def test_a_stop_that_was_not_stored_is_asked_by_the_same_id_and_no_node_runs(case):
    built = graph(case).compile(interrupt_before=["b"])
    claim = await case.claim(event(attempt(1)), Decision.FRESH)
    first = await case.desk.only_run(claim, built)
    again = await case.desk.only_run(claim, built)
    assert again.result.interrupts == first.result.interrupts
    assert case.ran.log == ["a"]


async def test_a_question_behind_a_breakpoint_is_asked_and_answered(case):
    built = graph(case, a=case.ran.asks("a", "buy? "), b=case.ran.passes("b")).compile(interrupt_before=["a"])
    stop, _ = stop_of(await begin(case, built))
    question, value = stop_of(await case.answer(built, {stop: "go"}))
    assert value == "buy? "
    assert (await case.answer(built, {question: "yes"}, round=2)).result == {"log": ["buy? yes", "b"]}


def nested(case: Answering, **where: Any) -> StateGraph[Any]:
    child = graph(case, x=case.ran.passes("x"), y=case.ran.passes("y"), z=case.ran.passes("z")).compile(**where)
    return graph(case, a=case.ran.passes("a"), child=child)


@pytest.mark.parametrize("where", [{"interrupt_before": ["y", "z"]}, {"interrupt_after": ["x", "y"]}], ids=str)
async def test_a_breakpoint_of_a_child_graph_stops_the_run_and_is_passed(case, where):
    built = nested(case, **where)
    (kind, nodes) = next(iter(where.items()))
    result = await begin(case, built)
    for number, node in enumerate(nodes, start=1):
        name, value = stop_of(result)
        assert value == {kind.removeprefix("interrupt_"): [f"child|{node}"]}
        result = await case.answer(built, {name: None}, round=number)
    assert (result.status, result.result) == (ResultStatus.SUCCESS, {"log": ["a", "a", "x", "y", "z"]})
    assert case.ran.log == ["a", "x", "y", "z"]


async def test_a_childs_second_breakpoint_is_not_passed_by_the_first_ones_answer(case):
    built = nested(case, interrupt_before=["y", "z"])
    name, _ = stop_of(await begin(case, built))
    claim = await case.claim(answer(attempt(1), {name: None}))
    second = await case.desk.only_run(claim, built)
    assert stop_of(second.result)[1] == {"before": ["child|z"]}
    again = await case.desk.only_run(claim, built)  # the worker was gone before it could store that
    assert again.result.interrupts == second.result.interrupts
    assert case.ran.log == ["a", "x", "y"]


async def test_a_breakpoint_and_a_child_that_calls_itself(case):
    def node(state: State) -> State:
        return built.invoke({"value": 0}) if state.get("value") else {"log": ["end"]}

    built = graph(case, node=node, after=case.ran.passes("after")).compile(interrupt_before=["after"])
    result = await begin(case, built)
    assert stop_of(result)[1] == {"before": ["after"]}


async def test_a_graph_without_breakpoints_and_a_cached_node_ends_as_ever(case):
    from langgraph.cache.memory import InMemoryCache
    from langgraph.types import CachePolicy

    builder = StateGraph(State)
    builder.add_node("a", case.ran.passes("a"), cache_policy=CachePolicy())
    builder.add_edge(START, "a")
    built = builder.compile(cache=InMemoryCache())
    for number in (1, 2):
        assert (await begin_plain(case, built)).result == {"log": ["a"]}, number
    assert case.ran.log == ["a"]


async def begin_plain(case: Answering, built: Any) -> WorkflowResultEvent:
    return await case.run(await case.claim(event(None), Decision.FRESH), built)


async def test_a_node_that_asks_and_a_breakpoint_elsewhere(case):
    def asks(state: State) -> State:
        return {"log": [interrupt("?")]}

    built = graph(case, asks=asks, b=case.ran.passes("b")).compile(interrupt_before=["b"])
    question, _ = stop_of(await begin(case, built))
    stop, value = stop_of(await case.answer(built, {question: "yes"}))
    assert value == {"before": ["b"]}
    assert (await case.answer(built, {stop: None}, round=2)).result == {"log": ["yes", "b"]}


@pytest.mark.parametrize("where", STOPS[2:], ids=str)
@pytest.mark.parametrize(
    "inner", [{"interrupt_before": "*"}, {"interrupt_after": "*"}, {"interrupt_before": ["y"]}], ids=str
)
async def test_a_stop_before_a_child_that_has_stops_of_its_own(case, where, inner):
    """Of a child that has not begun, LangGraph shows a state without a checkpoint."""
    child = graph(case, x=case.ran.passes("x"), y=case.ran.passes("y")).compile(**inner)
    built = graph(case, a=case.ran.passes("a"), child=child, z=case.ran.passes("z"))
    result, stops = await begin(case, built, **where), []
    while result.status is ResultStatus.INTERRUPTED:
        name, value = stop_of(result)
        stops.append(value)
        result = await case.answer(built, {name: None}, round=len(stops))
    assert (result.status, case.ran.log) == (ResultStatus.SUCCESS, ["a", "x", "y", "z"])
    outer = [{"before": ["a"]}, {"before": ["child"]}] if "interrupt_before" in where else [{"after": ["a"]}]
    assert stops[: len(outer)] == outer
    assert any("child|" in node for stop in stops for nodes in stop.values() for node in nodes)
