"""Nodes with the tag ``langsmith:hidden``, which LangGraph does not show: their questions and steps count."""

from __future__ import annotations

import pytest
from langgraph.graph import START
from langgraph.types import interrupt

from langgraph_worker.execution.graph_stream import StreamEnd
from tests.support.answers import questions
from tests.support.runs import chain, opened
from workflow_events.results import ResultStatus

HIDDEN = {"tags": ["langsmith:hidden"]}


@pytest.fixture
async def desk(tmp_path):
    async with opened(tmp_path / "runs.db") as desk:
        yield desk


def plan(state):
    return {"log": ["planned"]}


async def approve(state):
    return {"log": [interrupt("may I?")]}


def hidden(graph):
    return graph.compile().with_config(HIDDEN)


async def test_a_hidden_question_is_no_success(desk):
    claim = await desk.claim("g")
    outcome = await desk.run(claim, hidden(chain(plan=plan, approve=approve)))
    assert outcome.result.status is ResultStatus.INTERRUPTED
    assert [question.value for question in outcome.result.interrupts] == ["may I?"]


async def test_it_is_answered_like_any_other(case):
    graph = hidden(chain(before=case.ran.passes("before"), ask=case.ran.asks("ask", "buy? ")))
    asked = await case.ask(graph)
    done = await case.answer(graph, {asked["buy? "]: "yes"})
    assert (done.status, done.result) == (ResultStatus.SUCCESS, {"log": ["before", "buy? yes"]})


async def test_one_of_two_is_answered_and_the_other_asked_again(case):
    builder = chain(ask=case.ran.asks("ask", "one? "))
    builder.add_node("also", case.ran.asks("also", "two? "))
    builder.add_edge(START, "also")
    graph = hidden(builder)
    asked = await case.ask(graph)
    left = questions(await case.answer(graph, {asked["one? "]: 1}))
    assert left == {"two? ": asked["two? "]}
    done = await case.answer(graph, {asked["two? "]: 2}, round=2)
    assert sorted(done.result["log"]) == ["one? 1", "two? 2"]


async def test_questions_side_by_side_are_all_asked(desk):
    async def second(state):
        return {"log": [interrupt("and this?")]}

    graph = chain(plan=plan, approve=approve)
    graph.add_node("second", second)
    graph.add_edge("plan", "second")
    outcome = await desk.run(await desk.claim("g"), hidden(graph))
    assert sorted(question.value for question in outcome.result.interrupts) == ["and this?", "may I?"]


def test_what_the_stream_showed_is_not_asked_twice():
    class Question:
        def __init__(self, name):
            self.id = name

    shown, stored = Question("a"), Question("b")
    assert StreamEnd({}, [shown]).with_questions([Question("a"), stored]).interrupts == [shown, stored]
    assert StreamEnd({}, None).with_questions([]).interrupts is None
    assert StreamEnd({}, None).with_questions([stored]).interrupts == [stored]


async def test_hidden_steps_are_recorded_as_others_are(desk):
    inner = chain(look=plan).compile()
    graph = chain(plan=plan, inner=inner, approve=approve)
    await desk.run(await desk.claim("g"), graph.compile())
    shown = desk.steps()
    await desk.run(await desk.claim("h"), hidden(graph))
    recorded = desk.steps()[len(shown) :]

    def plain(steps):
        return sorted(
            (one["node"], one["status"], one["namespace"].partition(":")[0], one["input"], one["output"], one["error"])
            for one in steps
        )

    assert len(shown) == 4
    assert plain(recorded) == plain(shown)
