"""The control topic and the registry of cancels: workers that start, catch up, are steered, and die, at any time.

Pauses of the fleet, of the graph and of a workflow come and go, by clocks that differ.

Cancels name requests that are still to come, that wait, run or have ended; announcements come before or after the
requests of older attempts; queries are repeated; everything may be read twice, by several workers or after a restart,
and published while every worker is down. A worker takes requests in, and starts them, only when it has read the control
topic to its end. What is checked besides, and how to run more of them, is said in
:mod:`tests.property.test_attempts_machine`.
"""

from __future__ import annotations

import logging
import sys
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from langgraph_worker.domain.retry_policy import ErrorClass
from tests.support.airflow_model import Asked, Task
from tests.support.control_world import ControlWorld
from tests.support.machine_database import MachineDatabase
from tests.support.machines import time_limit
from tests.support.run_store import LEASE, START
from tests.support.scripted_graph import GraphRun
from tests.support.store_machine import EVERYTHING, StoreMachine, index, pick, run_machine, when
from workflow_events.control import PauseScope, WorkflowQueryEvent
from workflow_events.results import ResultStatus

MOST_REQUESTS = 16
TO_ITS_END = 9  # writes of a graph
threads = st.sampled_from(["talk", None, None])
agents = st.sampled_from([("default",), ("default",), ("a", "b")])
SCOPES = [(PauseScope.FLEET, ""), (PauseScope.GRAPH, "line"), (PauseScope.WORKFLOW, "dag")]
scopes = st.sampled_from(SCOPES)
goes = st.sampled_from(["waits", "is taken in", "runs", "runs", "ends"])
"""What becomes of a request at once, where a worker has room. The rest may come later."""
several = st.lists(st.integers(0, 20), min_size=1, max_size=4)
cancels = st.sampled_from(["neither", "neither", "the old", "the new"])
rarely_not = st.sampled_from([True, True, False])
rarely = st.sampled_from([False, False, False, True])
counts = st.sampled_from([EVERYTHING, EVERYTHING, 1, 2])


class ControlMachine(StoreMachine):
    """Requests, what steers them, and workers that come and go."""

    world: ControlWorld

    def __init__(self) -> None:
        super().__init__()
        self.world = ControlWorld(self.database)
        self.asked: list[Asked] = []
        self.queries: list[WorkflowQueryEvent] = []
        self.changes = 0

    # ---- what is published ----

    @initialize(agents=agents, goes=goes, starts=rarely_not)
    def first(self, agents: tuple[str, ...], goes: str, starts: bool) -> None:
        if starts:
            self.world.start(0)
        self._publish(goes, *self._task(None, agents))

    @rule(thread=threads, agents=agents, goes=goes)
    @when(lambda self: self._has_room())
    def ask_by_a_task(self, thread: str | None, agents: tuple[str, ...], goes: str) -> None:
        self._publish(goes, *self._task(thread, agents))

    @rule(thread=threads, goes=goes)
    @when(lambda self: self._has_room())
    def ask(self, thread: str | None, goes: str) -> None:
        self._publish(goes, self.world.airflow.plain("line", thread))

    @rule(task=index, cancels=cancels, announces=rarely_not, soon=rarely_not, goes=goes)
    @when(lambda self: self._has_room())
    def try_again(self, task: int, cancels: str, announces: bool, soon: bool, goes: str) -> None:
        self._try_again(pick(self._tasks, task), cancels, announces, soon, goes)

    @rule(which=several, soon=rarely_not)
    def cancel(self, which: list[int], soon: bool) -> None:
        """Any requests; the workers that are up may read of it at once."""
        for number in which:
            self.world.cancel(pick(self.asked, number).id)
        self._read_soon(soon)

    @rule(which=index, tries_again=st.booleans(), soon=rarely_not)
    @when(lambda self: self.world.unfinished())
    def end_what_waits_or_runs(self, which: int, tries_again: bool, soon: bool) -> None:
        """Cancel it, or announce the next try of its task."""
        asked = pick(self.world.unfinished(), which)
        task = next((task for task in self._tasks if asked in task.now.sent), None)
        if tries_again and task is not None:
            self._try_again(task, "neither", True, soon, "waits")
            return
        self.world.cancel(asked.id)
        self._read_soon(soon)

    @rule(which=st.integers(0, 20))
    @when(lambda self: any(asked.attempt for asked in self.asked))
    def announce_again(self, which: int) -> None:
        """Of any try, old or new."""
        self.world.announce(pick([asked for asked in self.asked if asked.attempt], which))

    @rule(which=several, times=st.integers(1, 2), soon=rarely_not)
    @when(lambda self: self.world.results)
    def query(self, which: list[int], times: int, soon: bool) -> None:
        ids = [pick(self.asked, number).id for number in which] + [pick(list(self.world.results), which[0])]
        self.queries.append(WorkflowQueryEvent(query_id=UUID(int=len(self.queries) + 1), correlation_ids=ids))
        for _ in range(times):
            self.world.query(self.queries[-1])
            self._read_soon(soon)

    @rule(which=index)
    @when(lambda self: self.queries)
    def query_again(self, which: int) -> None:
        self.world.query(pick(self.queries, which))

    @rule(scope=scopes, is_on=rarely_not, late=st.sampled_from([0.0, 0.0, 1.0, 2.5]), soon=rarely_not)
    def pause(self, scope: tuple[PauseScope, str], is_on: bool, late: float, soon: bool) -> None:
        """Or end a pause. The sender's clock may be late, so that an older message counts."""
        self.changes += 1
        self.world.pause(*scope, START + timedelta(seconds=self.changes - late), is_on=is_on)
        self._read_soon(soon)

    @rule(scope=scopes, late=st.sampled_from([0.0, 0.0, 2.5]))
    @when(lambda self: self._has_room() and self._free())
    def pause_what_waits(self, scope: tuple[PauseScope, str], late: float) -> None:
        """A request is taken in and paused; then a worker claims."""
        self._publish("is taken in", self.world.airflow.plain("line"))
        self.pause(scope, True, late, True)
        for at in self._free():
            self._claim(at)

    @rule(soon=rarely_not)
    def unpause_everything(self, soon: bool) -> None:
        self._unpause()
        self._read_soon(soon)

    # ---- workers ----

    @rule(client=index, count=counts)
    def start_and_read(self, client: int, count: int) -> None:
        """A worker starts, if it is down, and reads on."""
        if not self._has_started(self.client(client)):
            self.world.start(self.client(client))
        self.world.read(self.client(client), count)

    @rule(client=index)
    @when(lambda self: self._up())
    def read_on(self, client: int) -> None:
        self.world.read(pick(self._up(), client), EVERYTHING)

    @rule(client=index, keys=st.lists(index, min_size=1, max_size=3))
    @when(lambda self: self._free())
    def take_in(self, client: int, keys: list[int]) -> None:
        self.deliver_some(pick(self._free(), client), keys)

    @rule(key=index, count=st.integers(1, 3))
    @when(lambda self: self.world.topic.read())
    def read_events_again(self, key: int, count: int) -> None:
        self.world.topic.rewind(pick(self.world.topic.read(), key), count)

    @rule(client=index)
    @when(lambda self: self._free())
    def claim(self, client: int) -> None:
        self._claim(pick(self._free(), client))

    @rule(client=index, keys=st.lists(index, min_size=1, max_size=3), times=st.integers(1, 3))
    @when(lambda self: self._free())
    def take_in_and_work(self, client: int, keys: list[int], times: int) -> None:
        at = pick(self._free(), client)
        self.deliver_some(at, keys)
        self._claim(at)
        self._work(times)

    @rule(times=st.integers(1, 4))
    @when(lambda self: self.world.runs)
    def work(self, times: int) -> None:
        self._work(times)

    @rule(run=index)
    @when(lambda self: self.world.runs)
    def fail(self, run: int) -> None:
        self.world.step([pick(self.world.runs, run)], ResultStatus.FAILURE)

    @rule(run=index)
    @when(lambda self: self.world.runs)
    def give_back(self, run: int) -> None:
        self.world.release(*pick(self.world.runs, run))

    @rule(run=index, kind=st.sampled_from(ErrorClass), wait=st.sampled_from([0.0, 5.0]))
    @when(lambda self: self.world.runs)
    def back_off(self, run: int, kind: ErrorClass, wait: float) -> None:
        self.world.back_off(*pick(self.world.runs, run), kind, wait)

    @rule(client=index)
    @when(lambda self: self._up())
    def renew(self, client: int) -> None:
        at = pick(self._up(), client)
        self.world.renew(at, f"w{at}")

    @rule(client=index, acknowledged=st.booleans())
    @when(lambda self: self._up())
    def publish(self, client: int, acknowledged: bool) -> None:
        self.world.publish(pick(self._up(), client), acknowledged=acknowledged)

    @rule(client=index, limit=st.sampled_from([1, 2, 100]))
    @when(lambda self: self._up() and self.world.replies)
    def forget(self, client: int, limit: int) -> None:
        """What has ended and is published: its ids stay known, and who steers it finds nothing."""
        at = pick(self._up(), client)
        self.world.publish(at, acknowledged=True)
        self.world.prune(at, limit)

    @rule(client=index, all_of_them=rarely)
    def die(self, client: int, all_of_them: bool) -> None:
        for at in range(len(self.database.clients)) if all_of_them else [self.client(client)]:
            self.world.stop(at)

    @rule(seconds=st.sampled_from([1, LEASE]))
    def time_passes(self, seconds: float) -> None:
        self.world.clock.advance(seconds)

    @rule(client=index, other=index, thread=threads)
    @when(lambda self: self._has_room() and self._up())
    def cancel_while_it_comes(self, client: int, other: int, thread: str | None) -> None:
        asked = self.world.airflow.plain("line", thread)
        self.asked.append(asked)
        self.world.cancel_while_it_comes(pick(self._up(), client), pick(self._up(), other), asked)

    # ---- the end ----

    def teardown(self) -> None:
        if sys.exc_info()[0] is None:
            self._unpause()
            self.world.start(0)
            self.world.read(0, EVERYTHING)
        super().teardown()

    # ---- inside ----

    def _unpause(self) -> None:
        self.changes += 3
        for scope in SCOPES:
            self.world.pause(*scope, START + timedelta(seconds=self.changes), is_on=False)

    @property
    def _tasks(self) -> list[Task]:
        return self.world.airflow.tasks

    def claimants(self) -> list[int]:
        return self._free()

    def replace(self, client: int) -> None:
        self.world.stop(client)

    def _has_room(self) -> bool:
        return len(self.asked) < MOST_REQUESTS

    def _task(self, thread: str | None, agents: tuple[str, ...]) -> list[Asked]:
        task = self.world.airflow.add("line", thread=thread, agents=agents, retries=9)
        return self.world.airflow.publish(task, task.now)

    def _try_again(self, task: Task, cancels: str, announces: bool, soon: bool, goes: str) -> None:
        """Airflow's next try, one of the two cancelled or neither; the announcement may be lost with its process."""
        old = task.now.sent
        self.world.airflow.retry(task, 0)
        new = self.world.airflow.publish(task, task.now)
        for asked in {"neither": [], "the old": old, "the new": new}[cancels]:
            self.world.cancel(asked.id)
        if announces:
            self.world.announce(new[0])
        self._read_soon(soon)
        self._publish(goes, *new)

    def _publish(self, goes: str, *asked: Asked) -> None:
        self.asked += asked
        for one in asked:
            self.world.topic.publish(one)
        free = self._free()
        if goes == "waits" or not free:
            return
        while asked[0].key in self.world.topic.waiting():
            self.world.accept(free[0], [self.world.topic.take(asked[0].key)])
        if goes in ("runs", "ends"):
            self._claim(free[0])
        if goes == "ends":
            self._work(TO_ITS_END)

    def _has_started(self, client: int) -> bool:
        return self.world.is_up(client) or self.world.readers[client].position > 0

    def _read_soon(self, soon: bool) -> None:
        """A worker that is up reads what was published just now."""
        if soon and self._up():
            self.world.read(self._up()[-1], EVERYTHING)

    def _up(self) -> list[int]:
        return [client for client in range(len(self.database.clients)) if self.world.is_up(client)]

    def _free(self) -> list[int]:
        """The workers that take something in."""
        return [client for client in self._up() if self.world.room(client) > 0]

    def _claim(self, at: int) -> None:
        self.world.claim(at, f"w{at}", self.world.room(at))

    def _work(self, times: int) -> None:
        picked: list[tuple[int, GraphRun]] = list(self.world.runs)
        for _ in range(times):
            self.world.step([one for one in picked if one in self.world.runs])


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("AIRFLOW__LANGGRAPH__DEPLOYMENT", "here")
    caplog.set_level(logging.ERROR, "langgraph_worker.control.control_messages")  # thousands of cancels


@pytest.mark.timeout(time_limit(150))
def test_control_on_sqlite(tmp_path: Path) -> None:
    run_machine(ControlMachine, MachineDatabase(f"sqlite:///{tmp_path}/store.db", 1), examples=80)


@pytest.mark.integration
@pytest.mark.timeout(time_limit(150))
def test_control_on_postgres(postgres_url: str) -> None:
    run_machine(ControlMachine, MachineDatabase(postgres_url, 3), examples=20)
