"""Many tasks that wait at once, while triggerers and the broker go away and come back.

One crowd serves all faults: each test leaves it waiting, in the hands of two sound triggerers. WAITING_TASKS says how
many tasks it has: 40 if unset.
"""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from devtools.airflow import AirflowStack
from devtools.airflow_api import TaskInstance
from devtools.broker import Broker
from devtools.processes import wait_until
from tests.support.kafka import KafkaTopics
from tests.system.witnesses import Folder, Wire, request_of

TASKS = int(os.environ.get("WAITING_TASKS", "40"))
FEW = TASKS // 8
FROZEN = 40.0
"""Seconds; Airflow takes a triggerer for dead after 30."""
PATIENCE = 120 + 4.0 * TASKS
"""Seconds in which a whole crowd goes through the worker slots of a small machine."""

pytestmark = [pytest.mark.system, pytest.mark.integration, pytest.mark.timeout(300 + 10 * TASKS)]


class Crowd:
    """Mapped tasks that wait for their agents, each a run of the graph ``witness``.

    :ivar waiting: the names of those whose gate is shut.
    """

    def __init__(self, airflow: AirflowStack, folder: Folder, wire: Wire) -> None:
        self.airflow, self.folder, self.wire = airflow, folder, wire
        names = [f"n{number}" for number in range(TASKS)]
        inputs = [{"folder": str(folder.path), "name": name} for name in names]
        self.run_id = airflow.run_dag("crowd", {"graph": "witness", "inputs": inputs})
        airflow.wait_for_count("crowd", self.run_id, "agent", "deferred", TASKS, timeout=PATIENCE)
        self.requests = {f"n{task.map_index}": request_of(task) for task in self.tasks()}
        self.waiting = list(names)

    def tasks(self) -> list[TaskInstance]:
        return [task for task in self.airflow.api.task_instances("crowd", self.run_id) if task.task_id == "agent"]

    def holders(self) -> Counter[str | None]:
        """How many waiting tasks each living triggerer has; None for those that no living one has."""
        names = {number: name for name, number in self.airflow.api.triggerers().items()}
        return Counter(names.get(task.triggerer) for task in self.tasks() if task.state == "deferred")

    def busiest(self) -> str:
        """The triggerer that has the most of it."""
        holders = self.holders()
        return max(self.airflow.triggerers, key=lambda name: holders[name])

    def wait_for_takeover(self, of: int) -> None:
        """Wait until no task is left with the triggerer of that id, nor with nobody."""
        wait_until(
            f"another triggerer to take over from {of}",
            lambda: not any(task.triggerer in (of, None) for task in self.tasks() if task.state == "deferred"),
            timeout=90,
            interval=1,
        )

    def let_some_end(self, count: int = FEW) -> None:
        """Open the gates of a few."""
        some, self.waiting = self.waiting[:count], self.waiting[count:]
        self.folder.open_gate(*some)
        for name in some:
            self.folder.wait_for(name, "done")

    def wait_for_success(self) -> None:
        """Wait until all whose gate is open have succeeded, and see that the others live."""
        ended = TASKS - len(self.waiting)
        self.airflow.wait_for_count("crowd", self.run_id, "agent", "success", ended, timeout=PATIENCE)
        self.check()

    def check(self) -> None:
        """No agent was cancelled, stopped or begun again, and no task failed.

        A triggerer that wakes up may send a cancel of what has its answer: that changes nothing, and has to be so.
        """
        assert self.wire.cancels(self.requests[name] for name in self.waiting) == {}
        states = Counter(task.state for task in self.tasks())
        assert states == Counter({"success": TASKS - len(self.waiting), "deferred": len(self.waiting)})
        for name in self.requests:
            assert len(self.folder.times(name, "begun")) == 1
            assert self.folder.times(name, "stopped") == []


@pytest.fixture(scope="module")
def crowd(airflow: AirflowStack, worker, system_topics: KafkaTopics, tmp_path_factory) -> Iterator[Crowd]:
    if len(airflow.triggerers) < 2:
        pytest.skip("two triggerers need a PostgreSQL")
    crowd = Crowd(airflow, Folder(tmp_path_factory.mktemp("crowd")), Wire(system_topics))
    yield crowd
    crowd.folder.open_gate()


def test_each_log_holds_only_its_own_lines(crowd):
    for task in crowd.tasks():
        name = f"n{task.map_index}"
        log = wait_until(
            f"progress in the log of {name}",
            lambda number=task.map_index, line=f"{name} is watching": _log_with(crowd, number, line),
            timeout=60,
            interval=1,
        )
        assert set(re.findall(r"n\d+ is watching", log)) == {f"{name} is watching"}
        assert [other for other, request in crowd.requests.items() if request in log] == [name]


def _log_with(crowd: Crowd, map_index: int, line: str) -> str | None:
    log = crowd.airflow.api.logs("crowd", crowd.run_id, "agent", map_index=map_index)
    return log if line in log else None


@pytest.mark.parametrize("end", [AirflowStack.terminate, AirflowStack.kill])
def test_the_tasks_of_a_triggerer_that_ends_are_taken_over(crowd, airflow, end):
    name = crowd.busiest()
    old = airflow.wait_for_triggerer(name)
    end(airflow, name)
    crowd.let_some_end()
    crowd.wait_for_takeover(old)
    airflow.launch_triggerer(name)
    crowd.wait_for_success()
    _both_are_sound(crowd, name, old)


def _both_are_sound(crowd: Crowd, name: str, old: int) -> None:
    """The one that was stopped is there again, and every task is in living hands."""
    crowd.airflow.wait_for_triggerer(name, other_than=old)
    assert set(crowd.holders()) <= set(crowd.airflow.triggerers)


def test_a_triggerer_that_wakes_up_after_a_takeover_cancels_nothing(crowd, airflow):
    """Airflow 3.3 then tells it that its tasks were killed, although nobody killed anything."""
    name = crowd.busiest()
    old = airflow.wait_for_triggerer(name)
    held = {f"n{task.map_index}" for task in crowd.tasks() if task.triggerer == old}
    begun = time.monotonic()
    airflow.freeze(name)
    try:
        crowd.let_some_end()
        crowd.wait_for_takeover(old)
        wait_until(
            "the triggerer to have stood still long enough", lambda: time.monotonic() > begun + FROZEN, timeout=60
        )
    finally:
        airflow.thaw(name)
    mine = held & set(crowd.waiting)
    wait_until(
        "the old triggerer to give its tasks up",
        lambda: mine <= _said(crowd, name, old, "trigger completed"),
        timeout=60,
        interval=1,
    )
    killed = mine & _said(crowd, name, old, "invoking on_kill")
    wait_until(
        "the old triggerer to have found that nobody killed them",
        lambda: {crowd.requests[one] for one in killed} <= _found_alive(_log(crowd, name, old)),
        timeout=60,
        interval=1,
    )
    crowd.wait_for_success()
    print(f"\n{len(killed)} of {len(mine)} waits were told to kill their agents")  # noqa: T201 - for pytest -s


def _said(crowd: Crowd, triggerer: str, number: int, words: str) -> set[str]:
    """Of whom a triggerer said this."""
    named = rf"{words}.*{re.escape(crowd.run_id)}/agent/(\d+)/1 "
    return {f"n{index}" for index in re.findall(named, _log(crowd, triggerer, number))}


def _found_alive(log: str) -> set[str]:
    """The requests that the provider, asked to cancel them, left alone."""
    return set(re.findall(r"Not cancelled: the task is still deferred, .*\(request (\S+)\)", log))


def _log(crowd: Crowd, triggerer: str, number: int) -> str:
    """All that a triggerer wrote into the tasks' logs, and into its own: there go words that come late."""
    parts = (crowd.airflow.home / "logs" / "dag_id=crowd").rglob(f"attempt=1.log.trigger.{number}.log")
    return "\n".join([*(part.read_text() for part in parts), crowd.airflow.children[triggerer].output()])


def test_the_broker_comes_back_while_tasks_wait(crowd, broker: Broker):
    if broker.kind in ("external", "embedded"):
        pytest.skip(f"{broker.description} cannot be restarted, or forgets")
    broker.kill()
    try:
        crowd.let_some_end()
    finally:
        broker.start()
    crowd.wait_for_success()


def test_each_agent_has_ended_once_and_its_task_has_its_own_answer(crowd, airflow):
    crowd.let_some_end(len(crowd.waiting) - TASKS // 4)
    crowd.wait_for_success()
    ended = {name: request for name, request in crowd.requests.items() if name not in crowd.waiting}
    late = len(crowd.wire.cancels(ended.values()))
    print(f"\n{late} of {len(ended)} requests were cancelled after they had their answer")  # noqa: T201 - for pytest -s
    assert crowd.wire.wait_for_answer(*ended.values()) == ("success", None)
    for name in ended:
        assert len(crowd.folder.times(name, "done")) == 1
        answer = airflow.api.xcom("crowd", crowd.run_id, "agent", map_index=int(name.removeprefix("n")))["answer"]
        assert answer.startswith(f"{name} saw ")
    assert {task.try_number for task in crowd.tasks()} == {1}


def test_marking_the_dag_run_failed_stops_all_the_others(crowd, airflow):
    click = time.time()
    airflow.api.set_run_state("crowd", crowd.run_id, "failed")
    stopped = [crowd.folder.wait_for(name, "stopped") - click for name in crowd.waiting]
    report = f"the last of {len(stopped)} agents stopped {max(stopped):.2f} s after the DAG run was marked failed"
    print(f"\n{report}")  # noqa: T201 - for pytest -s
    stopped_requests = [crowd.requests[name] for name in crowd.waiting]
    assert crowd.wire.wait_for_answer(*stopped_requests) == ("cancelled", "cancelled")
    crowd.folder.open_gate()
    for name in crowd.requests:
        ends = "stopped" if name in crowd.waiting else "done"
        assert len(crowd.folder.times(name, ends)) == 1
        assert len(crowd.folder.times(name, "stopped") + crowd.folder.times(name, "done")) == 1


def test_instant_agents_lose_no_task(airflow, worker):
    inputs = [{"task": f"say {number}"} for number in range(TASKS)]
    run_id = airflow.run_dag("crowd", {"graph": "echo", "inputs": inputs})
    assert airflow.wait_for_run("crowd", run_id, timeout=PATIENCE) == "success"
    tasks = [task for task in airflow.api.task_instances("crowd", run_id) if task.task_id == "agent"]
    assert Counter((task.state, task.try_number) for task in tasks) == {("success", 1): TASKS}
    for task in tasks:
        answer = airflow.api.xcom("crowd", run_id, "agent", map_index=task.map_index)["answer"]
        assert answer == f"echo: say {task.map_index}"
