"""Which questions are understood, and what of each a person decides."""

from __future__ import annotations

import pytest

from airflow_provider_langgraph.requests.question_parts import QuestionPart, parts_with_text
from workflow_events.results import Interrupt

SEND = {"name": "send", "args": {"to": "ann"}, "description": "Review this call"}
REVIEW = {"action_name": "send", "allowed_decisions": ["approve", "edit", "reject"]}


def parts(*values, id_="i1"):
    return [part for part, _ in parts_with_text([Interrupt(id=id_, value=value) for value in values])]


def test_each_action_of_langchains_middleware_is_a_part():
    pay = {"name": "pay", "args": {}}
    configs = [REVIEW, {"action_name": "pay", "allowed_decisions": ["reject", "approve"]}]
    assert parts({"action_requests": [SEND, pay, SEND], "review_configs": configs}) == [
        QuestionPart("i1", "action", ("approve", "edit", "reject"), "send", True),
        QuestionPart("i1", "action", ("approve", "reject"), "pay", True),
        QuestionPart("i1", "action", ("approve", "edit", "reject"), "send", True),
    ]


def test_an_action_that_is_asked_about_alone_takes_a_decision_alone():
    """The middleware's mode per_call; which decisions it allows is not in the question."""
    asked = {"type": "tool_approval", "tool_call_id": "c", **SEND}
    assert parts(asked) == [QuestionPart("i1", "action", ("approve", "edit", "reject", "respond"), "send", False)]


@pytest.mark.parametrize(
    "value",
    [
        {"action_requests": [], "review_configs": []},
        {"action_requests": [SEND], "review_configs": []},
        {"action_requests": [SEND], "review_configs": [REVIEW | {"allowed_decisions": ["dance"]}]},
        {"action_requests": [SEND, {"name": "pay"}], "review_configs": [REVIEW]},
        {"action_requests": [SEND], "review_configs": "all"},
        {"action_requests": [SEND]},
        {"type": "tool_approval", "name": "send"},
        [{"action_request": {"action": "send", "args": {}}, "config": {"allow_accept": True}}],
        "Buy?",
        None,
        7,
        {"question": "Buy?"},
        {"options": ["yes"]},
        {"question": "Buy?", "options": []},
        {"question": "Buy?", "options": ["yes", 7]},
        {"question": "Buy?", "options": ["yes", "YES"]},
        {"question": "Buy?", "options": ["yes\n"]},
        {"question": "Buy?", "options": ["x" * 101]},
        {"question": "Buy?", "options": [str(number) for number in range(21)]},
        {"question": "Buy?", "options": "yes"},
    ],
)
def test_what_is_not_understood_is_free_text(value):
    assert parts(value) == [QuestionPart("i1", "text")]


def test_a_question_may_offer_options():
    assert parts({"question": "Buy?", "options": ["yes", "no"]}) == [QuestionPart("i1", "choice", ("yes", "no"))]


def test_a_breakpoint_is_no_question_whatever_its_value():
    value = {"question": "Buy?", "options": ["no"]}
    assert parts(value, id_="breakpoint-7c1f") == [QuestionPart("breakpoint-7c1f", "stop", ("continue",))]


def test_a_part_outlives_json():
    part = QuestionPart("i1", "action", ("approve",), "send", True)
    assert QuestionPart.from_dict(part.to_dict() | {"new": 1}) == part
