"""Tasks with several agents in a real Airflow: the triggerer dies between two of them, and a person ends them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from uuid import UUID

import pytest

from devtools.processes import wait_until
from tests.system.witnesses import Folder, Wire, require_end
from workflow_events.identity import correlation_id

pytestmark = [pytest.mark.system, pytest.mark.integration, pytest.mark.timeout(300), pytest.mark.usefixtures("worker")]

TEAM = ("one", "two", "three")


@pytest.fixture
def folder(tmp_path) -> Iterator[Folder]:
    folder = Folder(tmp_path)
    yield folder
    folder.open_gate()


def asked(topics, run_id: str) -> Counter[str]:
    """How often each agent of a DAG run was asked."""
    events = [json.loads(message.value()) for message in topics.read_all(topics.fleet.events)]
    return Counter(event["attempt"]["agent"] for event in events if event["workflow_run_id"] == run_id)


def wait_until_held(airflow, dag_id: str, run_id: str) -> None:
    wait_until(
        "a triggerer to wait for the agents",
        lambda: "Waiting for the agents one, two, three" in airflow.api.logs(dag_id, run_id, "agents"),
        timeout=60,
        interval=0.5,
    )


def test_a_triggerer_that_dies_between_two_agents_loses_and_repeats_nothing(airflow, folder, system_topics):
    run_id = airflow.run_dag("team_sequential", {"folder": str(folder.path)})
    airflow.wait_for_task("team_sequential", run_id, "agents", "deferred")
    folder.wait_for("one", "begun")
    wait_until_held(airflow, "team_sequential", run_id)
    folder.open_gate("one")
    folder.wait_for("two", "begun")  # a trigger has asked for it
    for triggerer in airflow.triggerers:
        airflow.kill(triggerer)
    folder.open_gate("two")
    folder.wait_for("two", "done")  # nobody waits for it, and nobody asks for the third
    for triggerer in airflow.triggerers:
        airflow.launch_triggerer(triggerer)
    folder.open_gate("three")

    require_end(airflow, "team_sequential", run_id, "success")
    assert list(airflow.api.xcom("team_sequential", run_id, "agents")) == list(TEAM)
    assert [len(folder.times(name, what)) for name in TEAM for what in ("begun", "done")] == [1] * 6
    assert asked(system_topics, run_id) == dict.fromkeys(TEAM, 1)
    log = airflow.api.logs("team_sequential", run_id, "agents")
    assert "[two] Agent: " in log
    assert "[three] The agent succeeded" in log


@pytest.mark.parametrize(("mode", "at_work"), [("parallel", TEAM), ("sequential", ("one",))])
def test_marking_the_task_failed_ends_whatever_is_at_work(airflow, folder, system_topics, mode, at_work):
    dag_id = f"team_{mode}"
    run_id = airflow.run_dag(dag_id, {"folder": str(folder.path)})
    task = airflow.wait_for_task(dag_id, run_id, "agents", "deferred")
    for name in at_work:
        folder.wait_for(name, "begun")
    wait_until_held(airflow, dag_id, run_id)
    airflow.api.set_state(dag_id, run_id, "agents", "failed")
    for name in at_work:
        folder.wait_for(name, "stopped")
    requests = [str(correlation_id(UUID(task.id), name)) for name in at_work]
    assert Wire(system_topics).wait_for_answer(*requests) == ("cancelled", "cancelled")
    require_end(airflow, dag_id, run_id, "failed")
    assert [folder.times(name, "done") for name in TEAM] == [[], [], []]
