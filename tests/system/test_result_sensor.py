"""Sensors for handles, in an Airflow with a triggerer: what happens to a sensor does not happen to its agent."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from devtools.processes import wait_until
from tests.support.kafka import KafkaTopics
from tests.system.witnesses import Folder, Wire, request_of, require_end, wait_until_held

pytestmark = [pytest.mark.system, pytest.mark.integration, pytest.mark.timeout(300), pytest.mark.usefixtures("worker")]

SENSORS = ("onlooker", "owner")


@pytest.fixture
def folder(tmp_path) -> Iterator[Folder]:
    folder = Folder(tmp_path)
    yield folder
    folder.open_gate()


@pytest.fixture
def wire(system_topics: KafkaTopics) -> Wire:
    return Wire(system_topics)


@pytest.fixture
def run_id(airflow, folder) -> str:
    """The agent is at work, and a triggerer waits for both sensors."""
    run_id = airflow.run_dag("sensed", {"folder": str(folder.path)})
    folder.wait_for("ask", "begun")
    for name in SENSORS:
        airflow.wait_for_task("sensed", run_id, name, "deferred")
        wait_until_held(airflow, "sensed", run_id, name)
    return run_id


def asked_by(airflow, run_id) -> str:
    return request_of(airflow.api.task_instance("sensed", run_id, "ask"))


def test_a_killed_sensor_leaves_the_agent_to_the_others(airflow, folder, wire, run_id):
    airflow.api.set_state("sensed", run_id, "onlooker", "failed")
    airflow.wait_for_task("sensed", run_id, "onlooker", "failed")
    folder.open_gate()
    require_end(airflow, "sensed", run_id, "failed")
    assert airflow.api.xcom("sensed", run_id, "owner")["answer"].startswith("ask saw ")
    assert wire.cancels([asked_by(airflow, run_id)]) == {}


def test_a_cleared_sensor_waits_anew_and_both_get_the_answer(airflow, folder, wire, run_id):
    before = airflow.api.task_instance("sensed", run_id, "onlooker").try_number
    airflow.api.clear("sensed", run_id, ["onlooker"])
    again = wait_until(
        "the next try to wait",
        lambda: (
            task
            if (task := airflow.api.task_instance("sensed", run_id, "onlooker")).try_number > before
            and task.state == "deferred"
            else None
        ),
        timeout=60,
        interval=0.5,
    )
    folder.open_gate()
    require_end(airflow, "sensed", run_id, "success")
    assert again.try_number > before
    answers = [airflow.api.xcom("sensed", run_id, name)["answer"] for name in SENSORS]
    assert answers[0] == answers[1]
    assert wire.cancels([asked_by(airflow, run_id)]) == {}


def test_one_that_shall_cancel_does_and_the_other_one_learns_of_it(airflow, folder, wire, run_id):
    airflow.api.set_state("sensed", run_id, "owner", "failed")
    folder.wait_for("ask", "stopped")
    assert wire.wait_for_answer(asked_by(airflow, run_id)) == ("cancelled", "cancelled")
    require_end(airflow, "sensed", run_id, "failed")
    assert "RunCancelled" in airflow.api.logs("sensed", run_id, "onlooker")


def test_a_mapped_sensor_waits_for_each_handle(airflow):
    run_id = airflow.run_dag("sensed_each")
    require_end(airflow, "sensed_each", run_id, "success")
    answers = [airflow.api.xcom("sensed_each", run_id, "answer", map_index=number)["answer"] for number in range(3)]
    assert answers == ["echo: n0", "echo: n1", "echo: n2"]
