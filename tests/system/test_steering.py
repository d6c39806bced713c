"""What a person does to a waiting task reaches its agent, and no other: kill, clear, delete, and a deadline."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from datetime import datetime

import pytest

from devtools.airflow import AirflowStack
from devtools.airflow_api import TaskInstance
from devtools.errors import AirflowError
from devtools.processes import wait_until
from tests.support.kafka import KafkaTopics
from tests.system.witnesses import Folder, Wire, request_of, require_end, wait_until_held

pytestmark = [pytest.mark.system, pytest.mark.integration, pytest.mark.timeout(300)]

BOTH = ("left", "right")


class Pair:
    """A run of two tasks that wait for their agents at the same time."""

    def __init__(self, airflow: AirflowStack, folder: Folder, run_id: str | None = None) -> None:
        self.airflow, self.folder = airflow, folder
        self.run_id = airflow.run_dag("pair", {"folder": str(folder.path)}, run_id)
        self.requests = {name: request_of(self.wait_for(name, "deferred")) for name in BOTH}

    def wait_for(self, name: str, *states: str) -> TaskInstance:
        return self.airflow.wait_for_task("pair", self.run_id, name, *states)

    def wait_for_next_try(self, name: str, than: str) -> str:
        """Wait until another try of the task waits; its request."""

        def found() -> str | None:
            task = self.airflow.api.task_instance("pair", self.run_id, name)
            return request_of(task) if task.state == "deferred" and request_of(task) != than else None

        return wait_until(f"another try of {name} to wait", found, timeout=60, interval=0.25)

    def wait_for_executor(self, parts: int) -> None:
        """Wait until the scheduler has heard of the end of so many parts of each task.

        It knows a part by names alone. The end of an old run's part, heard late, fails the new run's task (measured).
        """
        heard = [
            f"Received executor event with state success for task instance TaskInstanceKey(dag_id='pair', "
            f"task_id='{name}', run_id='{self.run_id}'"
            for name in BOTH
        ]
        scheduler = self.airflow.children["scheduler"]
        wait_until(
            f"the scheduler to have heard of all {parts} parts",
            lambda: all(scheduler.output().count(line) == parts for line in heard),
            timeout=60,
            interval=0.5,
        )

    def answer(self, name: str) -> str:
        """What its agent answered."""
        return self.airflow.api.xcom("pair", self.run_id, name)["answer"]


@pytest.fixture
def folder(tmp_path) -> Iterator[Folder]:
    folder = Folder(tmp_path)
    yield folder
    folder.open_gate()


@pytest.fixture
def pair(airflow: AirflowStack, worker, folder: Folder) -> Pair:
    """Both agents are at work, and a triggerer waits for each."""
    pair = Pair(airflow, folder)
    for name in BOTH:
        folder.wait_for(name, "begun")
        wait_until_held(airflow, "pair", pair.run_id, name)
    return pair


@pytest.fixture
def wire(system_topics: KafkaTopics) -> Wire:
    return Wire(system_topics)


@pytest.mark.parametrize("state", ["failed", "success"])
def test_marking_a_waiting_task_stops_its_agent_alone(airflow, pair, folder, wire, state):
    click = time.time()
    airflow.api.set_state("pair", pair.run_id, "left", state)
    stopped = folder.wait_for("left", "stopped")
    cancel = wire.wait_for_cancel(pair.requests["left"])
    assert wire.wait_for_answer(pair.requests["left"]) == ("cancelled", "cancelled")
    report(f"marked {state}", click, cancel, stopped)

    folder.open_gate()
    require_end(airflow, "pair", pair.run_id, state)
    assert airflow.api.task_instance("pair", pair.run_id, "left").state == state
    assert pair.answer("right").startswith("right saw ")
    assert wire.cancels([pair.requests["right"]]) == {}
    assert folder.times("left", "done") == []


def test_marking_a_dag_run_failed_stops_all_its_agents(airflow, pair, folder, wire):
    click = time.time()
    airflow.api.set_run_state("pair", pair.run_id, "failed")
    for name in BOTH:
        stopped = folder.wait_for(name, "stopped")
        assert wire.wait_for_answer(pair.requests[name]) == ("cancelled", "cancelled")
        report("marked the DAG run failed", click, wire.wait_for_cancel(pair.requests[name]), stopped)
    folder.open_gate()
    assert airflow.api.run_state("pair", pair.run_id) == "failed"
    assert [folder.times(name, "done") for name in BOTH] == [[], []]


@pytest.mark.parametrize(
    ("dag_id", "state"),
    [("held", "failed"), ("held", "success"), ("slow_to_defer", "failed"), ("slow_to_defer", "success")],
)
def test_marking_a_task_that_waits_in_its_slot_stops_its_agent(airflow, worker, folder, wire, dag_id, state):
    run_id = airflow.run_dag(dag_id, {"folder": str(folder.path)})
    folder.wait_for("agent", "begun")
    request = request_of(airflow.wait_for_task(dag_id, run_id, "agent", "running"))
    click = time.time()
    airflow.api.set_state(dag_id, run_id, "agent", state)
    stopped = folder.wait_for("agent", "stopped")
    assert wire.wait_for_answer(request) == ("cancelled", "cancelled")
    report(f"marked {state} in its slot", click, wire.wait_for_cancel(request), stopped)
    require_end(airflow, dag_id, run_id, state)


def test_clearing_a_task_that_waits_in_its_slot_stops_its_agent_and_asks_afresh(airflow, worker, folder, wire):
    run_id = airflow.run_dag("slow_to_defer", {"folder": str(folder.path)})
    folder.wait_for("agent", "begun")
    first = request_of(airflow.wait_for_task("slow_to_defer", run_id, "agent", "running"))
    airflow.api.clear("slow_to_defer", run_id, ["agent"])
    folder.wait_for("agent", "stopped")
    assert wire.wait_for_answer(first) in [("cancelled", "cancelled"), ("cancelled", "superseded")]
    folder.wait_for("agent", "begun", 2)
    folder.open_gate()
    require_end(airflow, "slow_to_defer", run_id, "success")
    assert len(folder.times("agent", "done")) == 1


def test_an_agent_that_works_on_frees_its_slot_and_its_reply_is_not_missed(airflow, worker, folder, system_topics):
    run_id = airflow.run_dag("quick_to_defer", {"folder": str(folder.path)})
    task = airflow.wait_for_task("quick_to_defer", run_id, "agent", "deferred")
    assert "frees its slot" in airflow.api.logs("quick_to_defer", run_id, "agent")
    folder.open_gate()
    require_end(airflow, "quick_to_defer", run_id, "success")
    assert _requests(system_topics, run_id) == {request_of(task)}
    assert [len(folder.times("agent", what)) for what in ("begun", "done")] == [1, 1]


def test_clearing_a_waiting_task_stops_its_agent_and_asks_afresh(airflow, pair, folder, wire):
    click = time.time()
    airflow.api.clear("pair", pair.run_id, ["left"])
    stopped = folder.wait_for("left", "stopped")
    status, why = wire.wait_for_answer(pair.requests["left"])
    assert (status, why) in [("cancelled", "cancelled"), ("cancelled", "superseded")]
    report(f"cleared ({why})", click, wire.cancels([pair.requests["left"]]).get(pair.requests["left"]), stopped)

    second = pair.wait_for_next_try("left", pair.requests["left"])
    folder.wait_for("left", "begun", 2)
    folder.open_gate()
    require_end(airflow, "pair", pair.run_id, "success")
    assert wire.wait_for_answer(second) == ("success", None)
    assert wire.cancels([second, pair.requests["right"]]) == {}
    assert [len(folder.times(name, "done")) for name in BOTH] == [1, 1]
    assert len(folder.times("right", "begun")) == 1


def test_clearing_a_waiting_task_while_no_triggerer_runs_does_the_same(airflow, pair, folder, wire):
    for triggerer in airflow.triggerers:
        airflow.kill(triggerer)
    try:
        click = time.time()
        airflow.api.clear("pair", pair.run_id, ["left"])
        stopped = folder.wait_for("left", "stopped")
        second = pair.wait_for_next_try("left", pair.requests["left"])
        assert wire.wait_for_answer(pair.requests["left"]) == ("cancelled", "superseded")
        report("cleared while no triggerer ran", click, None, stopped)
        folder.open_gate()
        for name in BOTH:
            folder.wait_for(name, "done")
    finally:
        for triggerer in airflow.triggerers:
            airflow.launch_triggerer(triggerer)

    require_end(airflow, "pair", pair.run_id, "success")
    assert wire.wait_for_answer(second, pair.requests["right"]) == ("success", None)
    assert wire.cancels([second, pair.requests["right"]]) == {}
    assert [len(folder.times(name, "done")) for name in BOTH] == [1, 1]


def test_a_run_that_was_deleted_and_made_again_never_gets_the_old_answer(airflow, worker, folder, wire):
    folder.open_gate()
    first = Pair(airflow, folder, "again")
    require_end(airflow, "pair", "again", "success")
    old = {name: first.answer(name) for name in BOTH}
    first.wait_for_executor(parts=2)
    airflow.api.delete_run("pair", "again")

    second = Pair(airflow, folder, "again")
    require_end(airflow, "pair", "again", "success")
    for name in BOTH:
        assert second.requests[name] != first.requests[name]
        assert second.answer(name) != old[name]
        assert len(folder.times(name, "done")) == 2


@pytest.mark.parametrize("state", ["failed", "queued"])
def test_a_waiting_run_that_is_deleted_and_made_again_stops_the_old_agents(airflow, pair, folder, wire, state):
    """Airflow deletes no run that is running: a person marks it failed, or queues it again, before."""
    pair.wait_for_executor(parts=1)
    click = time.time()
    _delete(airflow, pair.run_id, state)
    again = Pair(airflow, folder, pair.run_id)
    for name in BOTH:
        stopped = folder.wait_for(name, "stopped")
        status, why = wire.wait_for_answer(pair.requests[name])
        assert (status, why) in [("cancelled", "cancelled"), ("cancelled", "superseded")]
        cancel = wire.cancels([pair.requests[name]]).get(pair.requests[name])
        report(f"{state}, deleted, made again ({why})", click, cancel, stopped)
        folder.wait_for(name, "begun", 2)
    folder.open_gate()
    require_end(airflow, "pair", pair.run_id, "success")
    assert wire.wait_for_answer(*again.requests.values()) == ("success", None)
    assert wire.cancels(again.requests.values()) == {}
    for name in BOTH:
        assert len(folder.times(name, "done")) == 1


def _delete(airflow: AirflowStack, run_id: str, state: str) -> None:
    """The scheduler may have taken a queued run up again before it is deleted."""

    def deleted() -> bool:
        airflow.api.set_run_state("pair", run_id, state)
        try:
            airflow.api.delete_run("pair", run_id)
        except AirflowError as error:
            if error.status != 409:
                raise
            return False
        return True

    wait_until(f"the DAG run {run_id} to be deleted", deleted, timeout=30, interval=0.01)


def test_an_agent_does_not_outlive_its_deadline(airflow, worker, folder, wire):
    run_id = airflow.run_dag("hasty", {"folder": str(folder.path)})
    request = request_of(airflow.wait_for_task("hasty", run_id, "agent", "deferred"))
    folder.wait_for("agent", "stopped")
    require_end(airflow, "hasty", run_id, "failed")
    assert wire.wait_for_answer(request) == ("timeout", "deadline")
    assert "RunTimedOut" in airflow.api.logs("hasty", run_id, "agent")
    folder.open_gate()
    assert folder.times("agent", "done") == []


@pytest.mark.skipif("WAITING_TASKS" not in os.environ, reason="waits for 70 s: only in make test-triggerer-outages")
def test_what_a_task_gave_up_on_does_not_live_on(airflow, worker, folder, wire):
    """No worker is there when the deadline passes, so it is the trigger that gives up, a minute later."""
    run_id = airflow.run_dag("hasty", {"folder": str(folder.path)})
    request = request_of(airflow.wait_for_task("hasty", run_id, "agent", "deferred"))
    folder.wait_for("agent", "begun")
    worker.child.kill()
    try:
        require_end(airflow, "hasty", run_id, "failed")
        wire.wait_for_cancel(request)
    finally:
        worker.launch()
        worker.wait_ready()
    assert wire.wait_for_answer(request)[0] in ("timeout", "cancelled")
    folder.open_gate()
    assert [len(folder.times("agent", what)) for what in ("begun", "done")] == [1, 0]


@pytest.mark.parametrize("dag_id", ["killed_before_it_defers", "killed_between_its_halves", "killed_in_its_slot"])
def test_a_task_whose_process_dies_before_it_defers_resumes_its_agent(
    airflow, worker, folder, wire, system_topics, dag_id
):
    """Nobody waits then, and nobody is left to cancel: the agent works on until the retry takes over."""
    run_id = airflow.run_dag(dag_id, {"folder": str(folder.path)})
    wait_until("the agent to be past its first node", lambda: _has_spoken(system_topics, run_id), timeout=60)
    [first] = _requests(system_topics, run_id)
    (folder.path / "die").touch()
    (folder.path / "again").touch()
    folder.wait_for("agent", "stopped")
    folder.open_gate()
    require_end(airflow, dag_id, run_id, "success")

    task = airflow.api.task_instance(dag_id, run_id, "agent")
    assert task.try_number == 2
    assert _requests(system_topics, run_id) == {first, request_of(task)}
    assert wire.wait_for_answer(first) == ("cancelled", "superseded")
    assert wire.wait_for_answer(request_of(task)) == ("success", None)
    assert airflow.api.xcom(dag_id, run_id, "agent")["answer"].startswith("agent saw ")
    assert [len(folder.times("agent", what)) for what in ("begun", "stopped", "done")] == [1, 1, 1]
    assert wire.cancels([first, request_of(task)]) == {}


def _requests(topics: KafkaTopics, run_id: str) -> set[str]:
    """What the tasks of a DAG run have asked for."""
    events = [json.loads(message.value()) for message in topics.read_all(topics.fleet.events)]
    return {event["event_id"] for event in events if event["workflow_run_id"] == run_id}


def _has_spoken(topics: KafkaTopics, run_id: str) -> bool:
    """Whether the agent of a DAG run tells that it is watching: its first node is done and kept then."""
    lines = [json.loads(message.value()) for message in topics.read_all(topics.fleet.progress)]
    return any(line["workflow_run_id"] == run_id and line["data"] == "agent is watching" for line in lines)


def report(what: str, click: float, cancel: dict | None, stopped: float) -> None:
    """Print how long it took; shown with pytest -s."""
    told = datetime.fromisoformat(cancel["timestamp"]).timestamp() if cancel else None
    parts = [f"\n{what}: agent's last node stopped {stopped - click:.2f} s after the click"]
    if told is not None:
        parts += [f"on_kill {told - click:.2f} s after the click", f"{stopped - told:.2f} s from on_kill to the stop"]
    print(", ".join(parts))  # noqa: T201 - see above
