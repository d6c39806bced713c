"""A person answers an agent in a real Airflow, through its API: what is asked, what is refused, what holds no slot.

WAITING_PEOPLE says how many tasks wait at once for a person: 12 if unset.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter

import pytest

from devtools.processes import wait_until
from tests.system.required_actions import AskingTask, is_noticed
from tests.system.witnesses import Folder, Wire, request_of, require_end
from workflow_events.identity import correlation_id

TASKS = int(os.environ.get("WAITING_PEOPLE", "12"))
PATIENCE = 120 + 6.0 * TASKS

pytestmark = [
    pytest.mark.system,
    pytest.mark.integration,
    pytest.mark.timeout(300 + 15 * TASKS),
    pytest.mark.usefixtures("worker"),
]


@pytest.fixture
def begin(airflow):
    def begin(dag_id: str, task_id: str = "trade") -> AskingTask:
        return AskingTask(airflow, dag_id, airflow.run_dag(dag_id), task_id)

    return begin


def test_a_person_changes_an_order_is_asked_once_more_and_approves(airflow, begin, system_topics):
    asked = begin("example_langgraph_approval")
    first = asked.wait()
    form = asked.form
    assert form["subject"] == "Buy ACME?"
    assert form["options"] == ["Approve", "Edit", "Reject", "Answer"]
    assert form["params"]["code"]["value"] == first["code"]
    assert "Buy 10 pieces of ACME?" in form["body"]
    assert airflow.api.occupied_slots() == 0

    asked.answer("Edit", answer='{"pieces": 5}')
    second = asked.wait()
    assert second["code"] != first["code"]
    assert "Buy 5 pieces of ACME?" in json.dumps(second["questions"])
    assert "Buy 10 pieces" in asked.form["body"]  # Airflow 3.3 keeps the first form
    assert f"its code is {second['code']}. Answer it in that form" in asked.log

    asked.answer("Approve")  # the button below the first question
    asked.wait()
    assert f"it has the code '{first['code']}', which is of another question" in asked.log

    asked.answer("Approve", code=str(second["code"]))
    require_end(airflow, asked.dag_id, asked.run_id, "success")
    result = asked.result
    assert result == {"symbol": "ACME", "pieces": 5, "outcome": "bought 5 ACME"}

    events = [json.loads(message.value()) for message in system_topics.read_all(system_topics.fleet.events)]
    mine = [event for event in events if event["workflow_run_id"] == asked.run_id]
    ti_id = airflow.api.task_instance(asked.dag_id, asked.run_id, "trade").id
    assert [event["round"] for event in mine] == [0, 1, 2]
    assert [event["event_id"] for event in mine] == [str(correlation_id(ti_id, round=number)) for number in range(3)]
    assert [event.get("answers_to") for event in mine] == [None, mine[0]["event_id"], mine[1]["event_id"]]
    assert all(event["answers"][0]["answered_by"] for event in mine[1:])


def test_a_person_rejects_with_a_reason_and_the_task_waits_in_its_slot_for_the_rest(airflow, begin):
    asked = begin("traded_blocking")
    asked.wait()
    assert airflow.api.occupied_slots() == 0
    asked.answer("Reject", answer="too dear")
    require_end(airflow, asked.dag_id, asked.run_id, "success")
    assert asked.result["outcome"] == "not bought: too dear"


def test_a_task_that_has_answered_another_ones_question_asks_a_person_itself(airflow, begin):
    asked = begin("asked_by_another", "answer")
    question = asked.wait()
    assert "Buy 5 pieces of ACME?" in json.dumps(question["questions"])
    asked.answer("Approve")
    require_end(airflow, asked.dag_id, asked.run_id, "success")
    assert asked.result["outcome"] == "bought 5 ACME"


def test_a_cleared_task_asks_anew_and_the_old_form_approves_nothing(airflow, begin):
    asked = begin("traded")
    first = asked.wait()
    airflow.api.clear("traded", asked.run_id, ["trade"])
    asked.try_number = 2
    second = asked.wait()
    assert second["code"] != first["code"]  # it started afresh: another thread asks
    asked.answer("Approve")
    asked.wait()
    assert "which is of another question" in asked.log
    asked.answer("Approve", code=str(second["code"]))
    require_end(airflow, "traded", asked.run_id, "success")


def test_an_old_form_that_is_answered_while_the_new_try_is_deferred_costs_it_nothing(airflow, system_topics, tmp_path):
    """Airflow 3.3 resumes the deferred task for it."""
    folder = Folder(tmp_path)
    folder.open_gate()
    asked = AskingTask(airflow, "gated", airflow.run_dag("gated", {"folder": str(tmp_path)}), "ask")
    old = asked.wait()
    (tmp_path / "gate").unlink()
    airflow.api.clear("gated", asked.run_id, ["ask"])
    asked.try_number = 2
    asked.wait_deferred()
    folder.wait_for("ask", "begun", 2)
    request = request_of(airflow.api.task_instance("gated", asked.run_id, "ask"))

    asked.answer("yes")
    wait_until("the task to wait on", lambda: "it came while the agent was at work" in asked.log, timeout=120)
    asked.wait_deferred()
    folder.open_gate()
    question = asked.wait()
    assert question["code"] != old["code"]
    assert question["answers_to"] == request
    asked.answer("no", code=str(question["code"]))
    require_end(airflow, "gated", asked.run_id, "success")
    assert asked.result["answer"] == "no"
    assert Wire(system_topics).cancels([request]) == {}


def test_a_marked_task_stays_marked_and_takes_no_answer(airflow, begin):
    asked = begin("traded")
    asked.wait()
    airflow.api.set_run_state("traded", asked.run_id, "failed")
    asked.airflow.wait_for_task("traded", asked.run_id, "trade", "failed")
    asked.answer("Approve")
    assert airflow.api.task_instance("traded", asked.run_id, "trade").state == "failed"


def test_whether_a_user_is_an_assigned_one_airflow_judges(airflow, begin):
    """This Airflow takes everyone for an administrator, who may answer everything."""
    asked = begin("traded_for_others")
    asked.wait()
    assert asked.form["assigned_users"] == [{"id": "nobody-here", "name": "Nobody"}]
    asked.answer("Approve")
    require_end(airflow, asked.dag_id, asked.run_id, "success")


def test_what_nobody_answers_in_time_is_rejected_where_the_author_says_so(airflow, begin):
    asked = begin("traded_too_late")
    require_end(airflow, asked.dag_id, asked.run_id, "success")
    outcome = asked.result["outcome"]
    assert outcome == "not bought: nobody has answered within 0:00:02"


def test_what_nobody_answers_in_time_fails_and_is_not_retried(airflow, begin):
    asked = begin("never_answered")
    assert airflow.wait_for_run(asked.dag_id, asked.run_id) == "failed"
    assert airflow.api.task_instance(asked.dag_id, asked.run_id, "trade").try_number == 1
    assert "AnswerTimeoutError: nobody has answered within 0:00:02. The question with the code" in asked.log


def test_many_wait_for_people_without_a_slot_and_outlive_the_triggerers(airflow):
    begun = time.monotonic()
    run_id = airflow.run_dag("people", {"count": TASKS})
    airflow.wait_for_count("people", run_id, "trade", "awaiting_input", TASKS, timeout=PATIENCE)
    asked_after = time.monotonic() - begun
    assert airflow.api.occupied_slots() == 0
    forms = airflow.api.required_actions("people", run_id)
    assert len(forms) == TASKS
    old = airflow.api.triggerers()
    for name in airflow.triggerers:
        airflow.kill(name)
    for name in airflow.triggerers:
        airflow.launch_triggerer(name)
    for name in airflow.triggerers:
        airflow.wait_for_triggerer(name, other_than=old[name])
    wait_until("the scheduler to notice", lambda: is_noticed(airflow, "people", run_id, "trade"), timeout=60)
    assert airflow.api.count("people", run_id, "trade", "awaiting_input") == TASKS

    for form in forms:
        index = form["task_instance"]["map_index"]
        assert f"Buy {index} pieces of S{index}?" in form["body"]
        airflow.api.answer("people", run_id, "trade", "Approve", index, code=form["params"]["code"]["value"])
    require_end(airflow, "people", run_id, "success", PATIENCE)
    outcomes = [airflow.api.xcom("people", run_id, "trade", map_index=number)["outcome"] for number in range(TASKS)]
    assert outcomes == [f"bought {number} S{number}" for number in range(TASKS)]
    tasks = [task for task in airflow.api.task_instances("people", run_id) if task.task_id == "trade"]
    assert Counter((task.state, task.try_number) for task in tasks) == {("success", 1): TASKS}
    took = time.monotonic() - begun
    print(f"\n{TASKS} tasks asked after {asked_after:.0f} s, held 0 slots, and ended after {took:.0f} s")  # noqa: T201 - for pytest -s
