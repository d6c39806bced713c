"""How a task asks: what is wrong is said when the DAG file is parsed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_provider_langgraph.exceptions import SettingsError
from airflow_provider_langgraph.operators.agent import LangGraphOperator
from airflow_provider_langgraph.operators.langgraph import LangGraphTriggerOperator
from airflow_provider_langgraph.operators.resume import LangGraphResumeOperator
from airflow_provider_langgraph.requests.ask_settings import AskSettings
from airflow_provider_langgraph.sensors.langgraph import LangGraphResultSensor

QUESTION = "{{ ti.xcom_pull('ask') }}"
MAKERS = [
    LangGraphTriggerOperator,
    LangGraphOperator,
    lambda **fields: LangGraphResumeOperator(question=QUESTION, answer="yes", **fields),
]


def operator(**fields: Any) -> LangGraphTriggerOperator:
    return LangGraphTriggerOperator(**{"task_id": "agent", "on_interrupt": "ask"} | fields)


@pytest.mark.parametrize("make", MAKERS)
def test_every_operator_that_waits_for_a_graph_asks(make):
    task = make(task_id="agent", on_interrupt="ask", assigned_users="ann", answer_timeout=60)
    assert task.ask_settings.answer_timeout == timedelta(minutes=1)


def test_without_more_everyone_may_answer_for_a_week_and_nothing_is_rejected():
    assert operator().ask_settings == AskSettings((), timedelta(days=7), "fail", None)


@pytest.mark.parametrize(
    ("given", "users"),
    [
        ({"id": "7", "name": "Ann"}, [{"id": "7", "name": "Ann"}]),
        ([{"id": "7"}, "bob"], [{"id": "7", "name": "7"}, {"id": "bob", "name": "bob"}]),
        ("bob", [{"id": "bob", "name": "bob"}]),
    ],
)
def test_users_are_written_as_airflow_has_them(given, users):
    assert list(operator(assigned_users=given).ask_settings.assigned_users) == users


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"assigned_users": []}, r"^assigned_users: it is empty, so nobody may answer"),
        ({"assigned_users": 5}, r"^assigned_users: an int names no users"),
        ({"assigned_users": ["ann", {"name": "Bob"}]}, r"^assigned_users\.1: .*has no id"),
        ({"assigned_users": [7]}, r"^assigned_users\.0: 7 has no id of a user, which is a text"),
        ({"assigned_users": ""}, r"^assigned_users\.0: '' has no id"),
        ({"answer_timeout": 0}, r"^answer_timeout must be above zero"),
        ({"answer_timeout": timedelta(0)}, r"^answer_timeout must be above zero"),
        ({"answer_timeout": "1h"}, r"^answer_timeout must be a timedelta or a number of seconds"),
        ({"on_answer_timeout": "approve"}, r"^on_answer_timeout must be one of fail, reject, not 'approve'"),
        ({"rejection": "no"}, r"^rejection: .* Set on_answer_timeout='reject'"),
        ({"wait_for_completion": False}, r"^on_interrupt: with wait_for_completion=False the task does not wait"),
        ({"on_interrupt": "return", "assigned_users": "ann"}, r"^assigned_users: .*Set on_interrupt='ask', or leave"),
        ({"on_interrupt": "fail", "answer_timeout": 60}, r"^answer_timeout: .*on_interrupt='fail' asks nobody"),
        ({"on_interrupt": "fail", "on_answer_timeout": "reject"}, r"^on_answer_timeout: it says how"),
        ({"on_interrupt": "fail", "rejection": "no"}, r"^rejection: it says how"),
        ({"on_interrupt": "fail", "subject": "Trade"}, r"^subject: it says how"),
        ({"on_answer_timeout": "reject", "rejection": {1, object}}, r"^rejection\.\(a set\): "),
    ],
)
def test_what_is_wrong_is_said_when_the_dag_file_is_parsed(fields, says):
    with pytest.raises(SettingsError, match=says):
        operator(**fields)


@pytest.mark.parametrize(
    "rejection",
    [
        *("yes", " Approve ", "OK", "Yes!", "yes, pay", "lgtm", "Go_Ahead", "approve_all", "👍", "true", "1", " 1.0"),
        *(True, 1, 0.5, [True], [[1]]),
        *({"type": "approve"}, {"Decision": "approve"}, {"response": "approve"}, {"status": "approved"}),
        *({"decisions": [{"type": "accept"}]}, [{"type": "edit", "args": {}}], {"answer": "y"}),
        *({"approved": True}, {"approved": "yes"}, {"approved": 1}, {"approve": "true"}, {"isApproved": True}),
        *({"payment": {"approved": True}}, {"approved": "nobody knows"}, {"approve": {"amount": 0}}),
        *({"rejected": False}, {"rejected": "no"}, {"reject": 0}),
        *({"type": "reject", "approved": True}, {"type": "reject", "message": {"approved": 1}}),
        *({"message": "approve"}, {"type": "approve", "message": "no"}),
        *("no objection, approved", "Nobody objects, so go ahead", "not a problem go ahead", "no. Approve"),
    ],
)
def test_a_rejection_that_approves_is_refused(rejection):
    with pytest.raises(
        SettingsError,
        match=r"(?s)^rejection: .* approves, and what nobody has answered is never approved: .* may be read as a yes\. "
        "Give 'no', False",
    ):
        operator(on_answer_timeout="reject", rejection=rejection)


def test_the_part_that_approves_is_named():
    with pytest.raises(SettingsError, match=r"never approved: payment\.0\.approved 1 may be read as a yes"):
        operator(on_answer_timeout="reject", rejection={"payment": [{"approved": 1}]})


@pytest.mark.parametrize(
    "rejection",
    [
        *("no", "", "rejected", "cancel", "Nobody has answered within 8 hours", "the time has passed", False, 0, []),
        *({"type": "reject"}, {"approved": False}, {"approved": "no"}, {"accept": None}, [{"type": "ignore"}]),
        *({"rejected": True}, {"cancel": True}, {"Decision": "Rejected", "comment": "Was it ok?"}, {"pieces": 0}),
        {"type": "reject", "message": "nobody has approved this in time"},
        {"decisions": [{"type": "reject", "message": "Approve it again tomorrow; yes, it is late"}]},
        {"approved": False, "reason": "Go and ask for an approval"},
        *(
            "nobody has approved this in time",
            "no one has approved it",
            "No: it was not yet approved.",
            "don't approve",
        ),
        *("Do not go ahead", "The payment cannot be approved", "No approval was given", "neither approved nor allowed"),
    ],
)
def test_a_rejection_is_any_other_json(rejection):
    assert operator(on_answer_timeout="reject", rejection=rejection).ask_settings.rejection == rejection


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        (
            {"rejection": "{{ params.no }}"},
            r"^rejection: '\{\{ params.no \}\}' is known when .* Write the answer itself",
        ),
        ({"rejection": {"type": "{% if x %}reject{% endif %}"}}, r"^rejection: .* is no template"),
        (
            {"assigned_users": "{{ var.value.approver }}"},
            r"^assigned_users: '\{\{ var.* no template\. Write .*auth manager",
        ),
        ({"assigned_users": ["ann", {"id": "{{ params.who }}"}]}, r"^assigned_users: '\{\{ params.who"),
        ({"assigned_users": ["ann", {"name": "Bob"}]}, r"auth manager calls the user: .* not the e-mail address"),
    ],
)
def test_what_nothing_renders_is_no_template(fields, says):
    with pytest.raises(SettingsError, match=says):
        operator(**{"on_answer_timeout": "reject"} | fields)


def test_the_output_of_a_task_is_no_rejection_and_no_user():
    with DAG("d", schedule=None):
        output = LangGraphTriggerOperator(task_id="ask").output
        with pytest.raises(SettingsError, match=r"^rejection: the output of a task is known when the task runs only"):
            operator(task_id="a", on_answer_timeout="reject", rejection=output)
        with pytest.raises(SettingsError, match=r"^assigned_users: the output of a task"):
            operator(task_id="b", assigned_users=[output])


def test_a_sensor_asks_nobody_and_says_what_to_do():
    says = (
        r"^on_interrupt: a sensor cannot ask .* also where default_args say 'ask'\. To ask, set .*ResumeOperator behind"
    )
    with pytest.raises(SettingsError, match=says):
        LangGraphResultSensor(task_id="wait", handle="{{ x }}", on_interrupt="ask")
    with DAG("d", schedule=None, default_args={"on_interrupt": "ask"}), pytest.raises(SettingsError, match=says):
        LangGraphResultSensor(task_id="wait", handle="{{ x }}")


@pytest.mark.parametrize("on_interrupt", ["ask", "return"])
def test_a_task_that_does_not_wait_neither_asks_nor_returns_a_question(on_interrupt):
    with pytest.raises(
        SettingsError, match=r"^on_interrupt: with wait_for_completion=False .* at the LangGraphResultS"
    ):
        LangGraphTriggerOperator(task_id="a", on_interrupt=on_interrupt, wait_for_completion=False)
