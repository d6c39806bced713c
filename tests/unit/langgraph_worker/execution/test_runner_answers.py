"""A graph's questions to a person, and what becomes of the answers; with the real store and saver."""

from __future__ import annotations

import pytest
from langgraph.graph import START, StateGraph
from langgraph.types import Send, interrupt
from pydantic import BaseModel

from langgraph_worker.domain.models import Decision
from tests.support.answers import Gate, questions
from tests.support.langgraph_versions import needs_langgraph
from tests.support.run_store import answer, attempt, event, replies
from tests.support.runs import Failing, State, chain
from workflow_events.results import ResultStatus

OTHER = attempt(1, task="o" * 64, at=9)


def parallel(**nodes) -> StateGraph:
    """Nodes that start at once."""
    builder = StateGraph(State)
    for name, node in nodes.items():
        builder.add_node(name, node)
        builder.add_edge(START, name)
    return builder


# ---- given ----


async def test_an_answer_resumes_the_graph(case):
    graph = chain(before=case.ran.passes("before"), ask=case.ran.asks("ask", "buy? "), after=case.ran.passes("after"))
    asked = await case.ask(graph)
    done = await case.answer(graph, {asked["buy? "]: "yes"})
    assert (done.status, done.result) == (ResultStatus.SUCCESS, {"log": ["before", "buy? yes", "after"]})
    assert case.ran.log == ["before", "ask", "ask", "after"]


async def test_any_json_is_an_answer(case):
    graph = chain(ask=lambda state: {"value": interrupt("what?")})
    for number, value in enumerate([None, False, "", 0, [], {}, {"a" * 32: 1}, [{"deep": None}]]):
        tried = attempt(1, task=f"{number:064}", at=number)
        asked = await case.ask(graph, event(tried))
        claim = await case.claim(answer(tried, {asked["what?"]: value}))
        assert (await case.run(claim, graph)).result == {"value": value, "log": []}


@pytest.mark.parametrize("is_child", [False, True])
async def test_the_questions_of_a_node_have_ids_of_their_own(case, is_child):
    """An answer that comes late to the first is none to the second."""
    node = chain(ask=case.ran.asks("ask", "one? ", "two? ", "three? "))
    graph = chain(sub=node.compile()) if is_child else node
    asked = await case.ask(graph)
    ids = set(asked.values())
    for number, question in enumerate(["one? ", "two? "], 1):
        asked = questions(await case.answer(graph, {asked[question]: number}, round=number))
        ids |= set(asked.values())
    assert len(ids) == 3
    done = await case.answer(graph, {asked["three? "]: 3}, round=3)
    assert done.result["log"] == ["one? 1", "two? 2", "three? 3"]


@pytest.mark.parametrize("order", [["one? ", "two? "], ["two? ", "one? "]])
async def test_parallel_questions_are_answered_one_by_one(case, order):
    graph = parallel(a=case.ran.asks("a", "one? "), b=case.ran.asks("b", "two? "))
    asked = await case.ask(graph)
    first, second = order
    left = questions(await case.answer(graph, {asked[first]: 1}))
    assert left == {second: asked[second]}
    done = await case.answer(graph, {asked[second]: 2}, round=2)
    assert sorted(done.result["log"]) == sorted([f"{first}1", f"{second}2"])


async def test_parallel_questions_are_answered_at_once(case):
    graph = parallel(a=case.ran.asks("a", "one? "), b=case.ran.asks("b", "two? "))
    asked = await case.ask(graph)
    done = await case.answer(graph, {asked["one? "]: 1, asked["two? "]: 2})
    assert sorted(done.result["log"]) == ["one? 1", "two? 2"]
    assert sorted(case.ran.log) == ["a", "a", "b", "b"]


async def test_sequential_questions_of_a_node_are_answered_each(case):
    graph = chain(ask=case.ran.asks("ask", "one? ", "two? ", "three? "))
    asked = await case.ask(graph)
    for number, (question, following) in enumerate([("one? ", "two? "), ("two? ", "three? ")], 1):
        asked = questions(await case.answer(graph, {asked[question]: number}, round=number))
        assert list(asked) == [following]
    done = await case.answer(graph, {asked["three? "]: 3}, round=3)
    assert done.result == {"log": ["one? 1", "two? 2", "three? 3"]}


async def test_each_branch_of_a_fan_out_gets_its_own_answer(case):
    def branch(state: State) -> State:
        return {"log": [interrupt(f"{state['value']}?")]}

    builder = StateGraph(State)
    builder.add_node("branch", branch)
    builder.add_conditional_edges(START, lambda state: [Send("branch", {"value": name}) for name in "abc"])
    asked = await case.ask(builder)
    done = await case.answer(builder, {asked[f"{name}?"]: name.upper() for name in "cab"})
    assert done.result == {"log": ["A", "B", "C"]}


async def test_another_tasks_answer_goes_on_with_the_run_that_asked(case):
    graph = chain(before=case.ran.passes("before"), ask=case.ran.asks("ask", "buy? "))
    asked = await case.ask(graph)
    given = answer(OTHER, {asked["buy? "]: "yes"}, by="bob")
    claim = await case.claim(given)
    done = await case.run(claim, graph)
    assert (done.correlation_id, done.result) == (given.event_id, {"log": ["before", "buy? yes"]})
    assert case.ran.log == ["before", "ask", "ask"]


async def test_a_plain_event_may_answer(case):
    graph = chain(ask=case.ran.asks("ask", "buy? "))
    asked = await case.ask(graph, event())
    claim = await case.claim(answer(None, {asked["buy? "]: "yes"}))
    assert (await case.run(claim, graph)).result == {"log": ["buy? yes"]}


@needs_langgraph("1.2.12", "interrupt(response_schema=...)")
async def test_an_answer_of_the_wrong_form_is_not_given_and_may_be_corrected(case):
    class Order(BaseModel):
        quantity: int

    def ask(state: State) -> State:
        return {"value": interrupt("how many?", response_schema=Order).quantity}

    asked = await case.ask(chain(ask=ask))
    failed = await case.answer(chain(ask=ask), {asked["how many?"]: {"quantity": "many"}})
    assert (failed.status, failed.error_type) == (ResultStatus.FAILURE, "ValidationError")
    done = await case.answer(chain(ask=ask), {asked["how many?"]: {"quantity": 3}}, round=2)
    assert done.result["value"] == 3


async def test_an_answer_to_what_the_graph_no_longer_asks_lets_the_thread_go(case):
    asked = await case.ask(chain(ask=case.ran.asks("ask", "buy? ")), event(attempt(1), thread_id="talk"))
    assert await case.accept(event(OTHER, thread_id="talk")) is Decision.FRESH
    assert await case.desk.store.claim("w1", 1, ["g"]) == []
    done = await case.answer(chain(ask=case.ran.passes("ask")), {asked["buy? "]: "yes"}, thread_id="talk")
    assert done.result == {"log": ["ask"]}
    assert len(await case.desk.store.claim("w1", 1, ["g"])) == 1


# ---- asked inside of subgraphs ----


def compiled_in_the_node(*nodes, invoke):
    """A node that makes its graph itself, so that it cannot be inspected from outside."""

    async def asynchronous(state: State) -> State:
        return await chain(**dict(nodes)).compile().ainvoke({"value": 1})

    def synchronous(state: State) -> State:
        return chain(**dict(nodes)).compile().invoke({"value": 1})

    return {"ainvoke": asynchronous, "invoke": synchronous}[invoke]


@pytest.mark.parametrize("kept", ["node", "ainvoke"])
@pytest.mark.parametrize("end", ["stopped", "killed"])
async def test_an_answer_inside_a_subgraph_is_given_once(case, kept, end):
    gate = Gate()
    nodes = {"ask": case.ran.asks("ask", "deep? "), "hang": case.ran.stops("hang", gate)}
    sub = chain(**nodes).compile() if kept == "node" else compiled_in_the_node(*nodes.items(), invoke=kept)
    graph = chain(sub=sub)
    asked = await case.ask(graph)
    claim = await case.claim(answer(attempt(1), {asked["deep? "]: "yes"}))
    taken = await case.vanish(claim, graph, gate, end)
    assert (taken.answers, taken.answered) == ({}, frozenset({asked["deep? "]}))
    done = await case.run(taken, graph)
    assert done.result["log"] == ["deep? yes", "hang"]
    assert case.ran.log == ["ask", "ask", "hang", "hang"]


async def test_an_answer_inside_a_synchronous_subgraph_is_given_once(case):
    failing = Failing(1, ConnectionError("gone"))
    sub = compiled_in_the_node(("ask", lambda state: {"log": [interrupt("deep?")]}), ("b", failing), invoke="invoke")
    graph = chain(sub=sub)
    asked = await case.ask(graph)
    assert (await case.answer(graph, {asked["deep?"]: "yes"})).status is ResultStatus.FAILURE
    again = await case.claim(event(attempt(2)), Decision.RESUMED)
    assert again.answered == frozenset({asked["deep?"]})
    assert (await case.run(again, graph)).result["log"] == ["yes", "b"]


async def test_an_answer_inside_a_subgraph_is_not_given_to_the_nodes_second_question(case):
    failing = Failing(1, ConnectionError("gone"))

    def twice(state: State) -> State:
        first = interrupt("one?")
        failing(state)
        return {"log": [first, interrupt("two?")]}

    graph = chain(sub=compiled_in_the_node(("twice", twice), invoke="ainvoke"))
    asked = await case.ask(graph)
    assert (await case.answer(graph, {asked["one?"]: "first"})).error_type == "ConnectionError"
    left = questions(await case.run(await case.claim(event(attempt(2)), Decision.RESUMED), graph))
    assert list(left) == ["two?"]
    done = await case.run(await case.claim(answer(attempt(2), {left["two?"]: "second"})), graph)
    assert done.result["log"] == ["first", "second"]


# ---- retried ----


async def test_a_retry_of_what_waits_is_asked_the_same_and_runs_no_node(case):
    graph = parallel(a=case.ran.asks("a", "one? "), b=case.ran.asks("b", "two? "))
    asked = await case.ask(graph)
    case.ran.log.clear()
    retry = event(attempt(2))
    assert await case.accept(retry) is Decision.ANSWERED
    assert await case.desk.store.claim("w1", 1, ["g"]) == []
    assert questions((await replies(case.desk.store))[retry.event_id]) == asked
    assert case.ran.log == []


async def test_a_retry_after_the_answering_run_failed_goes_on(case):
    graph = chain(ask=case.ran.asks("ask", "buy? "), b=Failing(1, ConnectionError("gone")))
    asked = await case.ask(graph)
    assert (await case.answer(graph, {asked["buy? "]: "yes"})).error_type == "ConnectionError"
    done = await case.run(await case.claim(event(attempt(2)), Decision.RESUMED), graph)
    assert done.result == {"log": ["buy? yes", "b"]}
    assert case.ran.log == ["ask", "ask"]


async def test_a_retry_after_the_asking_node_failed_on_its_answer_has_the_answer(case):
    failing = Failing(1, ConnectionError("gone"))

    def ask(state: State) -> State:
        said = interrupt("buy?")
        return {"log": [said, *failing(state)["log"]]}

    asked = await case.ask(chain(ask=ask))
    assert (await case.answer(chain(ask=ask), {asked["buy?"]: "yes"})).status is ResultStatus.FAILURE
    done = await case.run(await case.claim(event(attempt(2)), Decision.RESUMED), chain(ask=ask))
    assert done.result == {"log": ["yes", "b"]}


async def test_a_retry_after_a_failure_that_came_before_the_answer_is_asked_again(case):
    asked = await case.ask(chain(ask=case.ran.asks("ask", "buy? ")))
    broken = chain(ask=Failing(1, ConnectionError("gone")))
    assert (await case.answer(broken, {asked["buy? "]: "yes"})).error_type == "ConnectionError"
    graph = chain(ask=case.ran.asks("ask", "buy? "))
    again = await case.claim(event(attempt(2)), Decision.RESUMED)
    assert questions(await case.run(again, graph)) == asked
    assert case.ran.log == ["ask"]
    done = await case.run(await case.claim(answer(attempt(2), {asked["buy? "]: "no"})), graph)
    assert done.result == {"log": ["buy? no"]}
