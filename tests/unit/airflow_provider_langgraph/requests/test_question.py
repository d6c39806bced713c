from __future__ import annotations

import json
import logging
from types import SimpleNamespace
from uuid import UUID

import pytest

from airflow_provider_langgraph.exceptions import FinalRunInterrupted
from airflow_provider_langgraph.operators.langgraph import LangGraphTriggerOperator
from airflow_provider_langgraph.requests.question import (
    LONGEST_QUESTION_CHARACTERS,
    MOST_QUESTIONS,
    show_questions,
)
from workflow_events import WorkflowEvent, WorkflowResultEvent
from workflow_events.results import Interrupt

REQUEST = UUID("5b1e5c1c-0a8e-5b1f-9f65-8d6f0f2f4b11")


def asking(*questions):
    return WorkflowResultEvent(
        correlation_id=REQUEST,
        workflow_id="report",
        workflow_run_id="run_1",
        status="interrupted",
        interrupts=[Interrupt(id=f"i{number}", value=value) for number, value in enumerate(questions)],
    )


@pytest.fixture
def asked(caplog):
    """What the log and the XComs have of a graph's questions."""

    def ask(*questions, push=None):
        caplog.set_level(logging.INFO)
        pushed = {}
        ti = SimpleNamespace(xcom_push=push or (lambda key, value: pushed.update({key: value})))
        result = asking(*questions)
        show_questions(result, "risk.workflow-events", {"ti": ti}, logging.getLogger("task"))
        return [record.getMessage() for record in caplog.records], pushed.get("question")

    return ask


def test_the_log_shows_each_question_and_its_id(asked):
    lines, _ = asked("Buy?", {"ask": ["how", "many"]})
    assert lines[:2] == [
        "The graph asks: Buy? [interrupt id i0]",
        'The graph asks: {"ask": ["how", "many"]} [interrupt id i1]',
    ]


def test_the_log_shows_an_event_that_answers(asked):
    lines, _ = asked("Buy?", "Sell?")
    where, event = lines[2].split(": ", 1)
    answer = WorkflowEvent.model_validate(json.loads(event))
    assert where == "To answer, publish this event to risk.workflow-events"
    assert answer.answers_to == REQUEST
    assert [one.interrupt_id for one in answer.answers] == ["i0", "i1"]


def test_an_xcom_has_what_an_answer_needs(asked):
    _, question = asked("Buy?")
    assert question == {
        "answers_to": str(REQUEST),
        "workflow_id": "report",
        "workflow_run_id": "run_1",
        "questions": [{"interrupt_id": "i0", "question": "Buy?"}],
        "left_out": 0,
    }


def test_a_question_passes_for_no_line_of_the_log_and_for_no_object_of_airflow(asked):
    lines, question = asked("Buy?\n[2026-11-30] INFO - sold\x1b[2J\0", {"__type": "datetime", "__var": 5})
    assert all(line.isprintable() for line in lines)
    assert question["questions"][0]["question"] == r"Buy?\n[2026-11-30] INFO - sold\x1b[2J\x00"
    assert question["questions"][1]["question"] == '{"__type": "datetime", "__var": 5}'


def test_long_and_many_questions_are_bounded(asked):
    lines, question = asked(*["x" * 1_000_000] * 1_000)
    assert len(lines) == MOST_QUESTIONS + 2
    assert (len(question["questions"]), question["left_out"]) == (MOST_QUESTIONS, 1_000 - MOST_QUESTIONS)
    assert max(map(len, lines)) < LONGEST_QUESTION_CHARACTERS + 1_000
    assert question["questions"][0]["question"].endswith("x… (998,000 more characters)")


def test_an_xcom_that_cannot_be_written_hides_no_question(asked):
    def push(key, value):
        raise ConnectionError("no API server")

    lines, _ = asked("Buy?", push=push)
    assert lines[-1] == "The XCom 'question' cannot be written: no API server"


def test_a_task_whose_graph_asks_pushes_the_question_and_fails():
    pushed = {}
    ti = SimpleNamespace(xcom_push=lambda key, value: pushed.update({key: value}))
    operator = LangGraphTriggerOperator(task_id="agent")
    with pytest.raises(
        FinalRunInterrupted, match=r"waits for a person's answer; the task's log and its XCom 'question'"
    ):
        operator._return(asking("Buy?"), {"ti": ti})
    assert pushed["question"]["questions"] == [{"interrupt_id": "i0", "question": "Buy?"}]
