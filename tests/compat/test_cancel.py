"""Whatever ends a wait for good ends its agent; whatever only moves it, or stops a triggerer, does not."""

from __future__ import annotations

import pytest

from devtools.airflow import AirflowStack
from devtools.processes import wait_until
from tests.system.witnesses import request_of

BOTH = ("left", "right")
CANCELLED = ("cancelled", "cancelled")
SUPERSEDED = ("cancelled", "superseded")

pytestmark = [
    pytest.mark.system,
    pytest.mark.integration,
    pytest.mark.timeout(600),
    pytest.mark.usefixtures("worker"),
]


@pytest.fixture
def holders(airflow, pair):
    """Which triggerers, by Airflow's ids, the two wait in: None while one of them is in no triggerer."""

    def holders() -> set[int] | None:
        tasks = [airflow.api.task_instance("pair", pair.run_id, name) for name in BOTH]
        found = {task.triggerer for task in tasks if task.triggerer is not None and task.state == "deferred"}
        return found if all(task.triggerer is not None for task in tasks) else None

    return holders


def lives_on(airflow, folder, wire, pair):
    """Both agents end by themselves, and what they answer is returned."""
    folder.open_gate()
    assert airflow.wait_for_run("pair", pair.run_id) == "success"
    assert wire.cancels(pair.requests.values()) == {}
    for name in BOTH:
        assert wire.answers(pair.requests[name]) == [("success", None)]
        assert [len(folder.times(name, what)) for what in ("begun", "stopped", "done")] == [1, 0, 1]


def test_marking_a_waiting_task_success_stops_its_agent(airflow, pair, folder, wire):
    airflow.api.set_state("pair", pair.run_id, "left", "success")

    folder.wait_for("left", "stopped")
    assert wire.wait_for_answer(pair.requests["left"]) == CANCELLED
    folder.open_gate()
    assert airflow.wait_for_run("pair", pair.run_id) == "success"
    assert folder.times("left", "done") == []
    assert wire.cancels([pair.requests["right"]]) == {}


def test_marking_a_dag_run_failed_stops_all_its_agents(airflow, pair, folder, wire):
    airflow.api.set_run_state("pair", pair.run_id, "failed")

    for name in BOTH:
        folder.wait_for(name, "stopped")
        assert wire.wait_for_answer(pair.requests[name]) == CANCELLED
    assert [folder.times(name, "done") for name in BOTH] == [[], []]


def test_clearing_a_waiting_task_stops_its_agent_and_asks_afresh(airflow, pair, folder, wire):
    airflow.api.clear("pair", pair.run_id, ["left"])

    folder.wait_for("left", "stopped")
    assert wire.wait_for_answer(pair.requests["left"]) in (CANCELLED, SUPERSEDED)
    folder.wait_for("left", "begun", 2)
    folder.open_gate()
    assert airflow.wait_for_run("pair", pair.run_id) == "success"
    assert [len(folder.times(name, "done")) for name in BOTH] == [1, 1]
    assert len(folder.times("right", "begun")) == 1
    assert wire.cancels([pair.requests["right"]]) == {}


def test_killing_a_task_whose_connection_is_in_airflows_database_stops_its_agent(
    airflow, run, wait_for_trigger, folder, wire
):
    """A trigger asks its triggerer for such a connection; that of the other tests comes from the environment."""
    run_id = run("stored")
    request = wait_for_trigger("stored", run_id, "agent")
    folder.wait_for("agent", "begun")
    airflow.api.set_state("stored", run_id, "agent", "failed")

    folder.wait_for("agent", "stopped")
    assert wire.wait_for_answer(request) == CANCELLED
    assert airflow.wait_for_run("stored", run_id) == "failed"


def test_an_agent_does_not_outlive_its_deadline(airflow, run, folder, wire):
    run_id = run("hasty")
    request = request_of(airflow.wait_for_task("hasty", run_id, "agent", "deferred"))

    folder.wait_for("agent", "stopped")
    assert airflow.wait_for_run("hasty", run_id) == "failed"
    assert wire.answers(request) == [("timeout", "deadline")]
    assert "RunTimedOut" in airflow.api.logs("hasty", run_id, "agent")


def test_killing_a_blocking_task_stops_its_agent(airflow, run, folder, wire):
    run_id = run("blocked")
    folder.wait_for("agent", "begun")
    request = request_of(airflow.wait_for_task("blocked", run_id, "agent", "running"))
    airflow.api.set_state("blocked", run_id, "agent", "failed")

    folder.wait_for("agent", "stopped")
    assert wire.wait_for_answer(request) == CANCELLED
    assert airflow.wait_for_run("blocked", run_id) == "failed"


@pytest.mark.parametrize("end", [AirflowStack.terminate, AirflowStack.kill])
def test_triggerers_that_end_cancel_nothing(airflow, pair, folder, wire, holders, end):
    before = wait_until("both to be in a triggerer", holders, timeout=60, interval=0.25)
    for name in airflow.triggerers:
        end(airflow, name)
    for name in airflow.triggerers:
        airflow.launch_triggerer(name)

    wait_until("both to be in other triggerers", lambda: (holders() or before).isdisjoint(before), timeout=60)
    lives_on(airflow, folder, wire, pair)


def test_a_triggerer_that_was_suspended_cancels_nothing_when_it_wakes(airflow, pair, folder, wire, holders):
    """Meanwhile another one has taken its waits over; Airflow ends its copies of them just as if they were killed."""
    wait_until("both to be in a triggerer", holders, timeout=60, interval=0.25)
    owner = airflow.api.task_instance("pair", pair.run_id, "left").triggerer
    [name] = [name for name, number in airflow.api.triggerers().items() if number == owner]
    airflow.freeze(name)
    try:
        wait_until("the other triggerer to wait", lambda: owner not in (holders() or {owner}), timeout=90)
    finally:
        airflow.thaw(name)
    wait_until(f"{name} to end its copy", lambda: _ended_copy(airflow, owner), timeout=60, interval=0.25)
    lives_on(airflow, folder, wire, pair)


def _ended_copy(airflow, owner: int) -> bool:
    """Whether a triggerer's part of the task's log says that its copy of the wait has ended."""
    parts = (airflow.home / "logs").rglob(f"dag_id=pair/**/task_id=left/*.trigger.{owner}.log")
    return any("trigger completed" in part.read_text() for part in parts)
