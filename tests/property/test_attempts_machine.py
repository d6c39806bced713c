"""Attempts of Airflow's tasks on the real run store: any history that Airflow, Kafka, workers and people can make.

Each example is a history; after each step everything is checked that :mod:`tests.support.world_checks` and
:mod:`tests.support.request_judge` know, and at its end everybody who waits must get a reply. A failure prints the
shortest history that shows it, in rules and in words.

``make test-state-machines`` runs many more examples of each machine, ``EXAMPLES`` of them, with another seed every
time; STATE_MACHINE_SEED repeats a run whose seed was printed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from tests.support.airflow_model import Asked, Task, Try
from tests.support.machine_database import MachineDatabase
from tests.support.machines import time_limit
from tests.support.run_store import LEASE
from tests.support.scripted_graph import GraphRun
from tests.support.store_machine import StoreMachine, index, pick, run_machine, when
from workflow_events.results import ResultStatus

MOST_TASKS = 4
hosts = st.integers(0, 1)
clears = st.sampled_from(["running", "running", "ended", "while it runs"])
answers = st.sampled_from(["yes", "no"])
far = st.sampled_from([9, 9, 1, 2, 3])
"""How many writes of a graph: to its end, or not so far."""
then = st.sampled_from(["end", "end", "work", "fail", "deliver", "publish", "nothing"])
"""What a new try comes to at once. The rest may come later."""
tasks = st.fixed_dictionaries(
    {
        "graph": st.sampled_from(["line", "line", "line", "asks", "again", "both", "same"]),
        "agents": st.sampled_from([("default",), ("a", "b")]),
        "thread": st.sampled_from([None, "talk"]),
        "on_retry": st.sampled_from(["resume", "restart"]),
        "on_clear": st.sampled_from(["restart", "resume"]),
        "retries": st.integers(0, 3),
        "host": hosts,
        "old": st.booleans(),
    }
)


class AttemptsMachine(StoreMachine):
    """Airflow's side in full; workers that mostly do their work."""

    @initialize(fields=tasks, goes=then)
    def first_task(self, fields: dict[str, Any], goes: str) -> None:
        self._go_on(self.world.airflow.add(**fields), goes)

    @rule(fields=tasks, goes=then)
    @when(lambda self: len(self.world.airflow.tasks) < MOST_TASKS)
    def another_task(self, fields: dict[str, Any], goes: str) -> None:
        self._go_on(self.world.airflow.add(**fields), goes)

    # ---- Airflow ----

    @rule(task=index, host=hosts, goes=then)
    @when(lambda self: any(map(self.world.airflow.may_retry, self.world.airflow.tasks)))
    def retry(self, task: int, host: int, goes: str) -> None:
        chosen = pick([one for one in self._tasks if self.world.airflow.may_retry(one)], task)
        self.world.airflow.retry(chosen, host)
        self._go_on(chosen, goes)

    @rule(task=index, host=hosts, how=clears, lowered=st.booleans(), goes=then)
    def clear(self, task: int, host: int, how: str, lowered: bool, goes: str) -> None:
        """Of a DAG run that is running, or has ended; or of a task whose process is running.

        ``lowered``: its retries were, by the tries it has used.
        """
        chosen = pick(self._tasks, task)
        if lowered:
            chosen.retries = max(0, chosen.now.max_tries - chosen.now.number)
        self.world.airflow.clear(chosen, host, run_ended=how == "ended", running=how == "while it runs")
        self._go_on(chosen, goes)

    @rule(task=index, host=hosts, first=st.integers(1, 2), goes=then)
    def delete_and_create_again(self, task: int, host: int, first: int, goes: str) -> None:
        chosen = pick(self._tasks, task)
        self.world.airflow.recreate(chosen, host, first)
        self._go_on(chosen, goes)

    @rule(task=index, retries=st.integers(0, 3))
    def edit_retries(self, task: int, retries: int) -> None:
        pick(self._tasks, task).retries = retries

    @rule(task=index, ask=st.integers(0, 1))
    @when(lambda self: any(not one.answers for one in self._tasks))
    def edit_input(self, task: int, ask: int) -> None:
        pick([one for one in self._tasks if not one.answers], task).ask = {"ask": ask}

    @rule(task=index)
    def die_before_publishing(self, task: int) -> None:
        one = pick(self._tasks, task).now
        one.dead = not one.sent

    @rule(task=index, back=st.sampled_from([0, 0, 0, 1]))
    def publish(self, task: int, back: int) -> None:
        """A try publishes, or does so again; also one that Airflow gave up and that lives on."""
        chosen = pick(self._tasks, task)
        one = chosen.tries[-1 - min(back, len(chosen.tries) - 1)]
        if not one.dead:
            self._publish(chosen, one)

    @rule(client=index, task=index, acknowledged=st.booleans(), stored=st.sampled_from([True, True, False]))
    @when(lambda self: any(self._has_results(one, self.world.results) for one in self._tasks))
    def take_results(self, client: int, task: int, acknowledged: bool, stored: bool) -> None:
        """A worker publishes what it has, and a task ends with it; or fails to store what it got."""
        self.world.publish(self.client(client), acknowledged=acknowledged)
        ready = [one for one in self._tasks if self._has_results(one, self.world.received)]
        if ready:
            self._end(pick(ready, task), stored)

    @rule(graph=st.sampled_from(["line", "asks"]), thread=st.sampled_from([None, "talk"]))
    def ask_without_a_task(self, graph: str, thread: str | None) -> None:
        self.world.topic.publish(self.world.airflow.plain(graph, thread))

    @rule(which=index, number=st.integers(1, 2))
    @when(lambda self: self._dead_letters())
    def replay(self, which: int, number: int) -> None:
        self.world.topic.publish(self.world.airflow.replay(pick(self._dead_letters(), which), number))

    # ---- people ----

    @rule(which=index, value=answers, only_one=st.booleans(), goes=then)
    @when(lambda self: self._own_questions())
    def answer_by_the_task_itself(self, which: int, value: str, only_one: bool, goes: str) -> None:
        task, agent, ids = pick(self._own_questions(), which)
        self._send(self.world.airflow.answer(task, agent, _given(ids, value, only_one)), goes)

    @rule(
        which=index,
        value=answers,
        only_one=st.booleans(),
        exact=st.booleans(),
        host=hosts,
        retries=st.integers(0, 2),
        goes=then,
    )
    @when(lambda self: self._questions() and len(self._tasks) < MOST_TASKS + 2)
    def answer_by_another_task(
        self, which: int, value: str, only_one: bool, exact: bool, host: int, retries: int, goes: str
    ) -> None:
        asked_by, ids = pick(self._questions(), which)
        fields = {"ask": _given(ids, value, only_one), "to": asked_by if exact else None, "retries": retries}
        self._go_on(self.world.airflow.add("", host=host, answers=True, **fields), goes)

    @rule(which=index, value=answers, only_one=st.booleans(), exact=st.booleans(), goes=then)
    @when(lambda self: self._questions())
    def answer_without_a_task(self, which: int, value: str, only_one: bool, exact: bool, goes: str) -> None:
        asked_by, ids = pick(self._questions(), which)
        given = _given(ids, value, only_one)
        self._send(self.world.airflow.plain("", given=given, to=asked_by if exact else None), goes)

    @rule(which=index, values=st.lists(answers, min_size=1, max_size=2), steps=st.integers(0, 2), clears=st.booleans())
    @when(lambda self: self._own_questions() and len(self._tasks) < MOST_TASKS + 2)
    def answer_at_once(self, which: int, values: list[str], steps: int, clears: bool) -> None:
        """Tasks answer what another one asks, and perhaps that is cleared while a worker goes on with an answer."""
        task, _, ids = pick(self._own_questions(), which)
        for value in values:
            self._go_on(self.world.airflow.add("", answers=True, ask=_given(ids, value, False)), "deliver")
        runs = [(0, run) for run in self.world.claim(0, "w0", 3)]
        for picked in runs * steps:
            self._advance(picked)
        if clears:
            self.world.airflow.clear(task, 0, run_ended=True, running=False)
            self._go_on(task, "deliver")
        for picked in runs * 9:
            self._advance(picked)

    # ---- Kafka and workers ----

    @rule(client=index, keys=st.lists(index, min_size=1, max_size=4))
    @when(lambda self: self.world.topic.waiting())
    def deliver(self, client: int, keys: list[int]) -> None:
        self.deliver_some(client, keys)

    @rule(key=index, count=st.integers(1, 3))
    @when(lambda self: self.world.topic.read())
    def deliver_again(self, key: int, count: int) -> None:
        self.world.topic.rewind(pick(self.world.topic.read(), key), count)

    @rule(client=index, limit=st.integers(1, 3), steps=far, fails=st.sampled_from([False, False, True]))
    @when(lambda self: self.world.unfinished())
    def work(self, client: int, limit: int, steps: int, fails: bool) -> None:
        self._work(self.client(client), steps=steps, limit=limit, fails=fails)

    @rule(which=index, steps=far)
    @when(lambda self: self.world.runs)
    def go_on(self, which: int, steps: int) -> None:
        picked = pick(self.world.runs, which)
        for _ in range(steps):
            self._advance(picked)

    @rule(client=index, limit=st.sampled_from([1, 2, 100]), publishes=st.sampled_from([True, True, False]))
    @when(lambda self: self.world.replies)
    def forget(self, client: int, limit: int, publishes: bool) -> None:
        """Of what has ended; and its results are published before, or only some are."""
        if publishes:
            self.world.publish(self.client(client), acknowledged=True)
        self.world.prune(self.client(client), limit)

    @rule(seconds=st.sampled_from([1.0, LEASE]))
    def time_passes(self, seconds: float) -> None:
        self.world.clock.advance(seconds)

    # ---- inside ----

    @property
    def _tasks(self) -> list[Task]:
        return self.world.airflow.tasks

    def _publish(self, task: Task, one: Try) -> None:
        for asked in self.world.airflow.publish(task, one):
            self.world.topic.publish(asked)

    def _go_on(self, task: Task, goes: str) -> None:
        if goes == "nothing" or task.now.dead:
            return
        self._publish(task, task.now)
        self._deliver_key(task.name, goes)
        if goes == "end" and self._has_results(task, self.world.results):
            self._end(task, stored=True)

    def _send(self, asked: Asked, goes: str) -> None:
        self.world.topic.publish(asked)
        self._deliver_key(asked.key, goes)

    def _deliver_key(self, key: str, goes: str) -> None:
        if goes in ("nothing", "publish"):
            return
        client = self.client(len(self.world.judge.accepted))
        while key in self.world.topic.waiting():
            self.world.accept(client, [self.world.topic.take(key)])
        if goes != "deliver":
            self._work(client, steps=1 if goes == "fail" else 9, limit=3, fails=goes == "fail")
            self.world.look()

    def _work(self, client: int, *, steps: int, limit: int, fails: bool) -> None:
        """Claim, and go so far; runs that are not at their end stay with their worker."""
        for run in self.world.claim(client, f"w{client}", limit):
            for _ in range(steps):
                self._advance((client, run))
            if fails:
                self._advance((client, run), ResultStatus.FAILURE)

    def _advance(self, picked: tuple[int, GraphRun], end: ResultStatus | None = None) -> None:
        if picked in self.world.runs:
            self.world.step([picked], end)

    @staticmethod
    def _has_results(task: Task, known: Collection[UUID]) -> bool:
        sent = task.now.sent
        return bool(sent) and not task.succeeded and all(asked.id in known for asked in sent)

    def _end(self, task: Task, stored: bool) -> None:
        results = {self.world.results[asked.id].status for asked in task.now.sent}
        self.world.airflow.end(task, success=results == {ResultStatus.SUCCESS}, stored=stored)

    def _dead_letters(self) -> list[Asked]:
        failed = [of for of, result in self.world.results.items() if result.status is ResultStatus.FAILURE]
        return [one for one in map(self.world.judge.find, failed) if one.attempt is not None]

    def _questions(self) -> list[tuple[UUID, list[str]]]:
        """What people have been asked, whatever became of it since; and in the result of which request."""
        asking = [(of, result.interrupts) for of, result in self.world.results.items() if result.interrupts]
        return [(of, [one.id for one in asked]) for of, asked in asking]

    def _own_questions(self) -> list[tuple[Task, str, list[str]]]:
        """What the newest tries of tasks have been asked."""
        found = []
        for task in self._tasks:
            for asked in task.now.sent:
                result = self.world.results.get(asked.id)
                if asked.attempt is not None and result is not None and result.interrupts:
                    found.append((task, asked.attempt.agent, [one.id for one in result.interrupts]))
        return found


def _given(ids: Sequence[str], value: str, only_one: bool) -> dict[str, str]:
    return dict.fromkeys(ids[:1] if only_one else ids, value)


@pytest.fixture(autouse=True)
def named_deployment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__LANGGRAPH__DEPLOYMENT", "here")


@pytest.mark.timeout(time_limit(150))
def test_attempts_on_sqlite(tmp_path: Path) -> None:
    run_machine(AttemptsMachine, MachineDatabase(f"sqlite:///{tmp_path}/store.db", 1), examples=60)


@pytest.mark.integration
@pytest.mark.timeout(time_limit(150))
def test_attempts_on_postgres(postgres_url: str) -> None:
    run_machine(AttemptsMachine, MachineDatabase(postgres_url, 3), examples=15)
