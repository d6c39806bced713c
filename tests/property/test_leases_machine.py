"""Who owns what on the real run store: workers that claim, write, stand still, die and wake up, in any order.

The histories of :mod:`tests.property.test_attempts_machine` are Airflow's; these are the workers'. What is checked, and
how to run more of them, is said there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from langgraph_worker.domain.retry_policy import ErrorClass
from tests.support.airflow_model import Asked, Task
from tests.support.machine_database import MachineDatabase
from tests.support.machines import time_limit
from tests.support.run_store import LEASE
from tests.support.scripted_graph import GraphRun
from tests.support.store_machine import StoreMachine, index, pick, run_machine, when
from workflow_events.results import ResultStatus

MOST_REQUESTS = 25
STEPS = 32
graphs = st.sampled_from(["line", "asks", "again", "both", "same", "same", "gone"])
threads = st.sampled_from(["talk", "talk", "walk", None])
ends = st.sampled_from([ResultStatus.FAILURE, ResultStatus.TIMEOUT])
which = st.lists(index, min_size=1, max_size=4)
workers = st.integers(0, 1)


class LeasesMachine(StoreMachine):
    """Requests as they come, and workers of which everything is to be expected."""

    # ---- requests ----

    @initialize(client=index, graph=graphs, thread=threads)
    def first(self, client: int, graph: str, thread: str | None) -> None:
        self._take(client, self.world.airflow.plain(graph, thread))

    @rule(client=index, graph=graphs, thread=threads, seconds=st.sampled_from([None, None, 20, 100]))
    @when(lambda self: self._has_room())
    def ask(self, client: int, graph: str, thread: str | None, seconds: int | None) -> None:
        self._take(client, self.world.airflow.plain(graph, thread, seconds=seconds))

    @rule(client=index, graph=graphs, thread=threads, agents=st.sampled_from([("default",), ("a", "b")]))
    @when(lambda self: self._has_room())
    def ask_by_a_task(self, client: int, graph: str, thread: str | None, agents: tuple[str, ...]) -> None:
        task = self.world.airflow.add(graph, thread=thread, agents=agents, retries=9)
        self._take(client, *self.world.airflow.publish(task, task.now))

    @rule(client=index, task=index, clears=st.booleans())
    @when(lambda self: self._has_room() and self._tasks)
    def supersede(self, client: int, task: int, clears: bool) -> None:
        self._take(client, *self._next_try(pick(self._tasks, task), clears))

    @rule(
        client=index,
        thread=index,
        values=st.lists(st.sampled_from(["yes", "no"]), min_size=1, max_size=2),
        exact=st.booleans(),
        dag=st.sampled_from(["dag", "dag", "other"]),
    )
    @when(lambda self: self._has_room() and any(map(self._questions, self._threads())))
    def answer(self, client: int, thread: int, values: list[str], exact: bool, dag: str) -> None:
        """Some people answer what a thread asks, each in their way; not all say which request asked."""
        asked = pick([ids for name in self._threads() if (ids := self._questions(name))], thread)
        to = next(iter(asked.values())) if exact else None
        given = [dict.fromkeys(asked, value) for value in values]
        self._take(client, *[self.world.airflow.plain("", given=one, to=to, dag=dag) for one in given])

    # ---- workers ----

    @rule(client=index, worker=workers, limit=st.integers(1, 4))
    def claim(self, client: int, worker: int, limit: int) -> None:
        client = self.client(client)
        self.world.claim(client, self._name(client, worker), limit)

    @rule(claimants=st.lists(st.tuples(index, workers), min_size=2, max_size=4), limit=st.integers(1, 3))
    def claim_at_once(self, claimants: list[tuple[int, int]], limit: int) -> None:
        named = [(self.client(client), self._name(self.client(client), worker), limit) for client, worker in claimants]
        self.world.claim_at_once(named)

    @rule(runs=which, times=st.integers(1, 4))
    @when(lambda self: self.world.runs)
    def write(self, runs: list[int], times: int) -> None:
        """Runs write what comes next, or end where they are at their end, together: owners and those that were."""
        picked = self._pick(runs)
        for _ in range(times):
            self.world.step([one for one in picked if one in self.world.runs])

    @rule(runs=which, status=ends, keep=st.booleans())
    @when(lambda self: self.world.runs)
    def end(self, runs: list[int], status: ResultStatus, keep: bool) -> None:
        self.world.step(self._pick(runs), status, keep=keep)

    @rule(run=index, delay=st.sampled_from([0.0, 5.0]), keep=st.booleans())
    @when(lambda self: self.world.runs)
    def give_back(self, run: int, delay: float, keep: bool) -> None:
        self.world.release(*pick(self.world.runs, run), delay, keep=keep)

    @rule(run=index, kind=st.sampled_from(ErrorClass), wait=st.sampled_from([0.0, 5.0]), keep=st.booleans())
    @when(lambda self: self.world.runs)
    def back_off(self, run: int, kind: ErrorClass, wait: float, keep: bool) -> None:
        self.world.back_off(*pick(self.world.runs, run), kind, wait, keep=keep)

    @rule(client=index, worker=workers)
    @when(lambda self: self.world.runs)
    def renew(self, client: int, worker: int) -> None:
        client = self.client(client)
        self.world.renew(client, self._name(client, worker))

    @rule(client=index)
    def expire(self, client: int) -> None:
        self.world.expire(self.client(client))

    @rule(seconds=st.sampled_from([1, LEASE / 2, LEASE - 1, LEASE]))
    def time_passes(self, seconds: float) -> None:
        self.world.clock.advance(seconds)

    @rule(client=index, times=st.sampled_from([1, 1, 2, 4]))
    def vanish(self, client: int, times: int) -> None:
        """Workers claim, and stand still for longer than their leases."""
        for number in range(times):
            self.world.claim(self.client(client + number), self._name(self.client(client + number), 0), 3)
            self.world.clock.advance(LEASE)

    @rule(run=index, waits=st.booleans())
    @when(lambda self: self.world.runs)
    def hang(self, run: int, waits: bool) -> None:
        self.world.hang(*pick(self.world.runs, run))
        if waits:
            self.world.clock.advance(LEASE)

    @rule(client=index)
    def die(self, client: int) -> None:
        self.world.kill(self.client(client))

    @rule(client=index, acknowledged=st.booleans())
    @when(lambda self: self.world.results)
    def publish(self, client: int, acknowledged: bool) -> None:
        self.world.publish(self.client(client), acknowledged=acknowledged)

    # ---- at the same moment ----

    @rule(client=index, run=index, clears=st.booleans())
    @when(lambda self: self._has_room() and self._tasks_at_work())
    def supersede_what_is_just_ending(self, client: int, run: int, clears: bool) -> None:
        at, one, task = pick(self._tasks_at_work(), run)
        asked = self._next_try(task, clears)
        self.world.accept_while_it_ends(self.client(client), asked, at, one)

    @rule(clients=st.lists(index, min_size=2, max_size=3), thread=threads, again=st.booleans(), old=index)
    @when(lambda self: self.world.judge.accepted)
    def deliver_to_several(self, clients: list[int], thread: str | None, again: bool, old: int) -> None:
        """As while a partition moves from one worker to another."""
        batch = [self.world.airflow.plain("line", thread)]
        if again:
            batch.append(pick(list(self.world.judge.accepted.values()), old))
        self.world.accept_at_once([self.client(client) for client in clients], batch)

    # ---- inside ----

    @property
    def _tasks(self) -> list[Task]:
        return self.world.airflow.tasks

    def _has_room(self) -> bool:
        return len(self.world.judge.accepted) < MOST_REQUESTS

    def _take(self, client: int, *asked: Asked) -> None:
        self.world.accept(self.client(client), asked)

    def _next_try(self, task: Task, clears: bool) -> list[Asked]:
        if clears:
            self.world.airflow.clear(task, 0, run_ended=True, running=False)
        else:
            self.world.airflow.retry(task, 0)
        return self.world.airflow.publish(task, task.now)

    def _tasks_at_work(self) -> list[tuple[int, GraphRun, Task]]:
        """The runs of tasks' newest tries."""
        found: list[Any] = []
        for at, run in self.world.runs:
            found += [(at, run, task) for task in self._tasks if run.id in {asked.id for asked in task.now.sent}]
        return found

    def _threads(self) -> list[str]:
        return sorted({one.thread for one in self.world.questions.all})

    def _questions(self, thread: str) -> dict[str, UUID]:
        return {one.id: one.asked_by for one in self.world.questions.pending(thread)}

    def _pick(self, numbers: list[int]) -> list[tuple[int, GraphRun]]:
        picked = [pick(self.world.runs, number) for number in numbers]
        return [one for place, one in enumerate(picked) if one not in picked[:place]]

    @staticmethod
    def _name(client: int, worker: int) -> str:
        return f"w{client}{'ab'[worker]}"


@pytest.fixture(autouse=True)
def named_deployment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__LANGGRAPH__DEPLOYMENT", "here")


@pytest.mark.timeout(time_limit(150))
def test_leases_on_sqlite(tmp_path: Path) -> None:
    run_machine(LeasesMachine, MachineDatabase(f"sqlite:///{tmp_path}/store.db", 1), examples=60, steps=STEPS)


@pytest.mark.integration
@pytest.mark.timeout(time_limit(150))
def test_leases_on_postgres(postgres_url: str) -> None:
    run_machine(LeasesMachine, MachineDatabase(postgres_url, 3), examples=20, steps=STEPS)
