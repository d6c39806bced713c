"""A person answers an agent: what Airflow shows, and what it keeps of the first form."""

from __future__ import annotations

import pytest

from tests.system.required_actions import AskingTask
from tests.system.witnesses import require_end

pytestmark = [
    pytest.mark.system,
    pytest.mark.integration,
    pytest.mark.timeout(600),
    pytest.mark.usefixtures("worker"),
]


def test_a_person_changes_an_order_is_asked_once_more_and_approves(airflow):
    asked = AskingTask(airflow, "traded", airflow.run_dag("traded"))
    first = asked.wait()
    form = asked.form
    assert form["params"]["code"]["value"] == first["code"]
    assert airflow.api.occupied_slots() == 0
    asked.answer("Edit", answer='{"pieces": 5}')
    second = asked.wait()
    if asked.form["params"]["code"]["value"] == first["code"]:  # it keeps the first form
        assert f"its code is {second['code']}. Answer it in that form" in asked.log
        asked.answer("Approve")
        asked.wait()
        assert "which is of another question" in asked.log
    asked.answer("Approve", code=second["code"])
    require_end(airflow, "traded", asked.run_id, "success")
    assert asked.result == {"symbol": "ACME", "pieces": 5, "outcome": "bought 5 ACME"}


def test_what_nobody_answers_in_time_is_rejected_where_the_author_says_so(airflow):
    run_id = airflow.run_dag("traded_too_late")
    require_end(airflow, "traded_too_late", run_id, "success")
    outcome = airflow.api.xcom("traded_too_late", run_id, "trade")["outcome"]
    assert outcome == "not bought: nobody has answered within 0:00:02"


def test_what_nobody_answers_in_time_fails_and_is_not_retried(airflow):
    run_id = airflow.run_dag("never_answered")
    assert airflow.wait_for_run("never_answered", run_id) == "failed"
    assert airflow.api.task_instance("never_answered", run_id, "trade").try_number == 1
