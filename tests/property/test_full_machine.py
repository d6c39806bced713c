"""Graphs that are full: requests wait behind questions whose answers lie behind further requests, in a few partitions.

Workers take in what the limits of the backlog allow, in the order of the partitions, and answers ahead of it while a
graph is full. Whatever the history: with people that answer, everything that was published is taken in and ends. What
is checked besides, and how to run more of it, is said in :mod:`tests.property.test_attempts_machine`.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from langgraph_worker.intake.backlog_limits import BacklogLimits
from langgraph_worker.settings.load import load_settings
from tests.support.airflow_model import Asked, Task
from tests.support.machine_database import MachineDatabase
from tests.support.machines import time_limit
from tests.support.run_store import LEASE
from tests.support.store_machine import StoreMachine, index, pick, run_machine, when
from workflow_events.results import ResultStatus

MOST_REQUESTS = 14
MOST_UNFINISHED = 2  # of a graph, before it is full
PARTITIONS = 2
ROUNDS = 60
TO_ITS_END = 9  # writes of a graph
graphs = st.sampled_from(["asks", "asks", "again", "both", "same", "line"])
threads = st.sampled_from(["talk", "talk", "chat", None])
partitions = st.integers(0, PARTITIONS - 1)


class FullMachine(StoreMachine):
    """Requests, retries and answers; workers that are full most of the time."""

    def __init__(self) -> None:
        super().__init__()
        self._published = 0
        self._limits = load_settings({"max_waiting": str(MOST_UNFINISHED)})

    # ---- what is published ----

    @initialize(graph=graphs, behind=st.integers(1, 4))
    def first(self, graph: str, behind: int) -> None:
        """Something asks, and others wait behind it."""
        for _ in range(1 + behind):
            self._publish(self.world.airflow.plain(graph, "talk"))
        self._take_in(0, 0)
        self._work(0, TO_ITS_END)

    @rule(graph=graphs, thread=threads)
    @when(lambda self: self._published < MOST_REQUESTS)
    def ask(self, graph: str, thread: str | None) -> None:
        self._publish(self.world.airflow.plain(graph, thread))

    @rule(graph=graphs, thread=threads)
    @when(lambda self: self._published < MOST_REQUESTS)
    def ask_by_a_task(self, graph: str, thread: str | None) -> None:
        self._publish_try(self.world.airflow.add(graph, thread=thread, retries=3))

    @rule(task=index, cleared=st.booleans())
    @when(lambda self: self.world.airflow.tasks and self._published < MOST_REQUESTS)
    def try_again(self, task: int, cleared: bool) -> None:
        chosen = pick(self.world.airflow.tasks, task)
        if cleared or not self.world.airflow.may_retry(chosen):
            self.world.airflow.clear(chosen, 0, run_ended=True, running=False)
        else:
            self.world.airflow.retry(chosen, 0)
        self._publish_try(chosen)

    @rule(which=index, value=st.sampled_from(["yes", "no"]))
    @when(lambda self: self._asked())
    def answer(self, which: int, value: str) -> None:
        """What is asked, or was: an answer may come twice, or too late."""
        self._publish(self.world.airflow.plain("", given=dict.fromkeys(pick(self._asked(), which), value)))

    # ---- workers ----

    @rule(client=index, partition=partitions, times=st.integers(1, 3))
    def take_in(self, client: int, partition: int, times: int) -> None:
        for _ in range(times):
            self._take_in(self.client(client), partition)

    @rule(partition=index, count=st.integers(1, 3))
    @when(lambda self: self.world.topic.read())
    def read_again(self, partition: int, count: int) -> None:
        self.world.topic.rewind(pick(self.world.topic.read(), partition), count)

    @rule(client=index, steps=st.sampled_from([1, 2, TO_ITS_END]))
    def work(self, client: int, steps: int) -> None:
        self._work(self.client(client), steps)

    @rule(run=index)
    @when(lambda self: self.world.runs)
    def fail(self, run: int) -> None:
        self.world.step([pick(self.world.runs, run)], ResultStatus.FAILURE)

    @rule(client=index)
    def die(self, client: int) -> None:
        self.world.kill(self.client(client))

    @rule(seconds=st.sampled_from([1.0, LEASE]))
    def time_passes(self, seconds: float) -> None:
        self.world.clock.advance(seconds)

    # ---- the end ----

    def teardown(self) -> None:
        if sys.exc_info()[0] is None:
            self._come_to_rest()
        super().teardown()

    def _come_to_rest(self) -> None:
        """Within the limits, and with people that answer, everything is taken in and ends."""
        self.world.runs.clear()
        for _ in range(ROUNDS):
            if not self.world.topic.waiting() and not self.world.unfinished():
                return
            self.world.clock.advance(LEASE)
            for partition in range(PARTITIONS):
                while self._take_in(0, partition):
                    pass
            self._work(0, TO_ITS_END)
            self._answer_what_is_pending()
        left = [str(partition) for partition in self.world.topic.waiting()]
        raise AssertionError(f"stuck: partitions {left}, {'; '.join(map(str, self.world.unfinished()))}")

    def _answer_what_is_pending(self) -> None:
        self.world.look()
        for thread in sorted({str(row["thread_id"]) for row in self.world.rows.values()}):
            asked = {question.id: question.asked_by for question in self.world.questions.pending(thread)}
            if asked:
                self._publish(
                    self.world.airflow.plain("", given=dict.fromkeys(asked, "at last"), to=next(iter(asked.values())))
                )

    # ---- inside ----

    def _publish(self, asked: Asked) -> None:
        self._published += 1
        partition = sum(asked.key.encode()) % PARTITIONS
        self.world.topic.publish(replace(asked, key=str(partition)))

    def _publish_try(self, task: Task) -> None:
        for asked in self.world.airflow.publish(task, task.now):
            self._publish(asked)

    def _asked(self) -> list[list[str]]:
        return [[one.id for one in result.interrupts] for result in self.world.results.values() if result.interrupts]

    def _take_in(self, client: int, partition: int) -> bool:
        """The next record of a partition; or while a graph is full, the answers behind it. Whether there was one."""
        key = str(partition)
        if key not in self.world.topic.waiting():
            return False
        limits = BacklogLimits(self.database.clients[client], self._limits)
        self.world.do(limits.look())
        if not limits.is_full:
            self.world.accept(client, [self.world.topic.take(key)])
            return True
        answers = [asked for asked in self.world.topic.behind(key) if asked.event.answers]
        new = [asked for asked in answers if asked.id not in self.world.judge.accepted]
        if limits.is_full_of_answers or not new:
            return False
        note(f"  {len(new)} answers ahead")
        self.world.accept(client, new)
        return True

    def _work(self, client: int, steps: int) -> None:
        for run in self.world.claim(client, f"w{client}", 3):
            for _ in range(steps):
                if (client, run) in self.world.runs:
                    self.world.step([(client, run)])


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("AIRFLOW__LANGGRAPH__DEPLOYMENT", "here")
    caplog.set_level("CRITICAL", "langgraph_worker.intake.backlog_limits")  # graphs are full, on purpose


@pytest.mark.timeout(time_limit(150))
def test_full_graphs_on_sqlite(tmp_path: Path) -> None:
    run_machine(FullMachine, MachineDatabase(f"sqlite:///{tmp_path}/store.db", 1), examples=40)


@pytest.mark.integration
@pytest.mark.timeout(time_limit(150))
def test_full_graphs_on_postgres(postgres_url: str) -> None:
    run_machine(FullMachine, MachineDatabase(postgres_url, 3), examples=15)
