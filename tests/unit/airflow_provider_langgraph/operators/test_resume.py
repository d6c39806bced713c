"""What a task that answers a question publishes, returns and refuses."""

from __future__ import annotations

import json
from collections import UserList
from typing import Any
from uuid import UUID

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import TaskDeferred

from airflow_provider_langgraph.exceptions import FinalRunInterrupted, SettingsError
from airflow_provider_langgraph.operators.langgraph import LangGraphTriggerOperator
from airflow_provider_langgraph.operators.resume import LangGraphResumeOperator
from airflow_provider_langgraph.requests import task_identity
from airflow_provider_langgraph.requests.question import question_of
from tests.support.asking_task import TI_ID, Hook, context, fired, reply
from workflow_events.identity import correlation_id
from workflow_events.models import EventType

ASKED = UUID("5b1e5c1c-0a8e-5b1f-9f65-8d6f0f2f4b11")
QUESTION = {
    "answers_to": str(ASKED),
    "workflow_id": "other",
    "workflow_run_id": "r",
    "questions": [{"interrupt_id": "i1", "question": "Buy?"}],
    "left_out": 0,
}
TWO = QUESTION | {"questions": [{"interrupt_id": "i1", "question": "Buy?"}, {"interrupt_id": "i2", "question": "Now?"}]}


@pytest.fixture(autouse=True)
def named_deployment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__LANGGRAPH__DEPLOYMENT", "test-airflow")


@pytest.fixture(autouse=True)
def hook(monkeypatch: pytest.MonkeyPatch) -> Hook:
    hook = Hook()
    monkeypatch.setattr("airflow_provider_langgraph.hooks.kafka.KafkaHook", hook.make)
    return hook


def operator(**fields: Any) -> LangGraphResumeOperator:
    return LangGraphResumeOperator(**{"task_id": "answer", "question": QUESTION} | fields)


@pytest.mark.parametrize("question", [QUESTION, json.dumps(QUESTION), str(QUESTION)])
def test_an_answer_names_the_run_that_asked_and_its_question(question):
    event = operator(question=question, answer="yes", answered_by="ann", timeout=60)._event(context())
    assert event.event_id == correlation_id(TI_ID)
    assert (event.event_type, event.round) == (EventType.WORKFLOW_RESUMED, 1)
    assert event.answers_to == ASKED
    assert [(one.interrupt_id, one.value, one.answered_by) for one in event.answers] == [("i1", "yes", "ann")]
    assert event.workflow_id == "report"
    assert event.attempt.deployment == "test-airflow"
    assert event.deadline is not None


@pytest.mark.parametrize("answer", [None, False, {"decisions": [{"type": "approve"}]}, ["a"], 0])
def test_an_answer_is_any_json(answer):
    assert operator(answer=answer)._event(context()).answers[0].value == answer


def test_several_questions_are_answered_by_their_ids():
    event = operator(question=TWO, answers={"i2": "later", "i1": "yes"})._event(context())
    assert {one.interrupt_id: one.value for one in event.answers} == {"i1": "yes", "i2": "later"}


def test_some_of_several_questions_may_stay_open():
    event = operator(question=TWO, answers={"i2": "later"})._event(context())
    assert [one.interrupt_id for one in event.answers] == ["i2"]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"question": TWO, "answer": "yes"}, r"^answer: the graph asks 2 questions\. Give answers= .*'i1', 'i2'"),
        ({"answers": {"i9": "yes"}}, r"^answers: the graph asks no question 'i9'\. Its interrupt ids are 'i1'"),
        ({"answers": {}}, r"^answers: it must be a mapping of interrupt ids"),
        ({"answer": float("nan")}, r"^answers\.0\.value\.float: .* It must be JSON, which has no NaN"),
        ({"answer": {"when": object()}}, r"^answer\.when: an object has no JSON form"),
        (
            {"answer": 1, "answered_by": "x" * 513},
            r"^answered_by: .* at most 512 characters\. Give the name of the person, a short text",
        ),
        ({"answer": 1, "answered_by": ["ann"]}, r"^answered_by: .*string\. Give the name of the person, a short text"),
        ({"question": {"answer": "x"}, "answer": 1}, r"^question: it has no answers_to.*question=ask\.output"),
        ({"question": None, "answer": 1}, r"^question: it is None"),
        ({"question": "{{ none }}", "answer": 1}, r"^question: a str is no question"),
        ({"question": UserList([QUESTION, TWO])}, r"^question: it holds 2 values.*\.expand\(question=ask\.output\)"),
        ({"question": {"correlation_id": "x"}, "answer": 1}, r"^question: it is the handle of a request"),
        ({"question": QUESTION | {"questions": []}, "answer": 1}, r"^question: it has no questions"),
        ({"question": QUESTION | {"answers_to": "x"}, "answer": 1}, r"^question: it is no question as a task returns"),
    ],
)
def test_what_cannot_be_an_answer_is_named_with_the_remedy(fields, says):
    given = operator(answer=1)
    for name, value in ({"question": QUESTION, "answer": None, "answers": None} | fields).items():
        setattr(given, name, value)
    with pytest.raises(SettingsError, match=says):
        given._event(context())


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({}, "give either answer"),
        ({"answer": 1, "answers": {"i1": 1}}, "give either answer"),
        ({"question": 5, "answer": 1}, "^question: an int is no question"),
        ({"answer": 1, "on_interrupt": "wait"}, "on_interrupt must be one of fail, return, ask, not 'wait'"),
        ({"answer": 1, "timeout": 0}, "timeout must be above zero"),
        ({"answers": {}}, r"^answers: it is empty\. Give a mapping of interrupt ids to answers, such as"),
        ({"answers": ["yes"]}, r"^answers: a list names no question\. Give a mapping"),
        ({"answers": "yes"}, r"^answers: a str names no question"),
    ],
)
def test_what_is_wrong_is_said_when_the_dag_file_is_parsed(fields, says):
    with pytest.raises(SettingsError, match=says):
        operator(**fields)


def rendered(*, native: bool = False, params: dict[str, Any], **fields: Any) -> LangGraphResumeOperator:
    with DAG("d", render_template_as_native_obj=native):
        task = operator(**fields)
    task.render_template_fields({"params": params})
    return task


class TestAValueThatATemplateMakesAText:
    """Every text that is not empty counts as true: a graph would pay for None, and for False."""

    @pytest.mark.parametrize(
        ("fields", "value", "place"),
        [
            *[({"answer": "{{ params.v }}"}, value, "answer") for value in (None, False, True, 0, [], {}, 0.0)],
            ({"answer": " {{params.v}}\n"}, False, "answer"),
            ({"answer": "no: {{ params.v }}"}, None, "answer"),
            ({"answer": {"pay": ["{{ params.v }}"]}}, None, r"answer\.pay\.0"),
            ({"answers": {"i1": "{{ params.v }}"}}, False, r"answers\.i1"),
            ({"answer": "yes", "answered_by": "{{ params.v }}"}, None, "answered_by"),
        ],
    )
    def test_is_refused_before_anything_is_sent(self, hook, fields, value, place):
        task = rendered(params={"v": value}, **fields)
        remedy = "Give the name, or" if "answered_by" in fields else r"Pass the value itself, such as .*native_obj=True"
        with pytest.raises(SettingsError, match=rf"^{place}: a value in its template is .* takes for true\. {remedy}"):
            task.execute(context())
        assert hook.events == []

    @pytest.mark.parametrize(
        ("template", "value", "answer"),
        [
            ("{{ params.v }}", "no", "no"),
            ("{{ params.v }}", "None", "None"),
            ("{{ params.v }}", "", ""),
            ("{{ params.v }}", 5, "5"),
            ("{{ params.v or 'no' }}", None, "no"),
            ("paid: {{ params.v }}", False, "paid: False"),
            ("{% if params.v %}yes{% endif %}", None, ""),
        ],
    )
    def test_a_text_that_means_what_it_says_is_sent(self, template, value, answer):
        task = rendered(params={"v": value}, answer=template, answered_by="{{ 'ann' }}")
        assert task._event(context()).answers[0].value == answer

    @pytest.mark.parametrize("value", [None, False, True, 0, [], {"a": None}])
    def test_native_rendering_sends_the_value(self, value):
        task = rendered(native=True, params={"v": value}, answer="{{ params.v }}")
        assert task._event(context()).answers[0].value == value

    def test_a_none_inside_a_native_text_is_refused(self):
        with pytest.raises(SettingsError, match=r"^answer: a value in its template is None"):
            rendered(native=True, params={"v": None}, answer="no: {{ params.v }}")._event(context())

    def test_rendering_alone_refuses_nothing(self):
        """A task that resumes is rendered again. What its agent was paid for is not lost then."""
        assert rendered(params={"v": None}, answer="{{ params.v }}").answer == "None"


def test_another_task_instead_of_its_output_is_named():
    with DAG("d", schedule=None):
        ask = LangGraphTriggerOperator(task_id="ask")
        operator(question=ask.output, answer=1)
    with pytest.raises(SettingsError, match=r"^question: it is the task 'ask', not its output"):
        operator(question=ask, answer=1)


def test_it_returns_the_result_of_the_run_that_goes_on():
    assert operator(answer="yes").execute_complete(context(), fired("success")) == {"answer": 42}


def test_its_log_says_what_it_answers_and_of_no_graph(capsys):
    with pytest.raises(TaskDeferred):
        operator(answer="yes", defer_after=0).execute(context())
    logged = capsys.readouterr().out
    assert f"Answered 1 question of request {str(QUESTION['answers_to'])[:8]}; the answer is due by" in logged
    assert "default graph" not in logged


ASKS: dict[str, Any] = {"interrupts": [{"id": "i1", "value": {"question": "Buy?"}}]}


class TestOnInterrupt:
    @pytest.mark.parametrize("make", [operator, lambda **more: LangGraphTriggerOperator(task_id="ask", **more)])
    def test_fail_is_the_default(self, make):
        task = make(answer=1) if make is operator else make()
        with pytest.raises(FinalRunInterrupted):
            task.execute_complete(context(), fired("interrupted", **ASKS))

    def test_return_returns_what_the_xcom_has_and_what_an_answer_needs(self):
        task = LangGraphTriggerOperator(task_id="ask", on_interrupt="return")
        seen = context()
        returned = task.execute_complete(seen, fired("interrupted", **ASKS))
        assert returned == question_of(reply("interrupted", **ASKS))
        assert returned["questions"] == [{"interrupt_id": "i1", "question": '{"question": "Buy?"}'}]
        event = operator(question=returned, answer="yes")._event(context())
        assert event.answers_to == correlation_id(TI_ID)

    def test_a_returned_question_counts_as_returned_so_a_clear_asks_afresh(self):
        seen = context()
        task = LangGraphTriggerOperator(task_id="ask", on_interrupt="return")
        task.execute_complete(seen, fired("interrupted", **ASKS))
        assert task_identity.RETURNED_KEY in seen["task_state_store"]

    def test_a_schema_is_for_results_and_not_for_questions(self):
        task = LangGraphTriggerOperator(task_id="ask", on_interrupt="return", output_schema=dict[str, int])
        assert "answers_to" in task.execute_complete(context(), fired("interrupted", **ASKS))


def test_what_the_rule_of_a_dag_decides_is_templated():
    assert {"question", "answer", "answers", "answered_by", "budget"} <= set(LangGraphResumeOperator.template_fields)
