"""Runs at once of a graph over a fleet, by the graph's own ledger, and the order in which its requests start."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from devtools.broker import Broker
from devtools.processes import wait_until
from devtools.worker import Worker
from tests.support.worker import GRAPHS, SECONDS, Desk, desk_of, settings
from workflow_events import ResultStatus

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

MANIFEST = GRAPHS / "limited" / "langgraph.json"
LIMIT = json.loads(MANIFEST.read_text())["graphs"]["limited"]["max_running"]
RUNS = 24
QUICK: dict[str, Any] = {"lease_seconds": 2, "renew_seconds": 0.4, "concurrency": 8, "default_graph": "free"}


@dataclass(frozen=True)
class Ledger:
    """What the nodes of all workers wrote, in order; the test adds whose process is gone."""

    path: Path

    def lines(self) -> list[list[str]]:
        return [line.split() for line in self.path.read_text().splitlines()] if self.path.exists() else []

    def add_death(self, pid: int) -> None:
        with self.path.open("a") as file:
            file.write(f"killed - {pid}\n")

    def at_work(self) -> list[set[tuple[str, str]]]:
        """Who was at work after each line: names and processes."""
        now: set[tuple[str, str]] = set()
        found = []
        for what, name, pid in self.lines():
            if what == "start":
                now = now | {(name, pid)}
            elif what == "end":
                now = now - {(name, pid)}
            else:
                now = {one for one in now if one[1] != pid}
            found.append(now)
        return found

    def peak(self) -> int:
        return max(len(now) for now in self.at_work())

    def started(self) -> list[str]:
        return [name for what, name, _ in self.lines() if what == "start"]

    def wait_for_start(self, name: str) -> int:
        """Wait until a node of this name has started; the process of the first."""
        wait_until(f"{name} to start", lambda: name in self.started(), timeout=SECONDS)
        return next(int(pid) for what, of, pid in self.lines() if (what, of) == ("start", name))


@contextmanager
def fleet_of(broker: Broker, folder: Path, names: list[str], **env: Any) -> Iterator[tuple[Desk, list[Worker]]]:
    """Workers of one group and one store, running."""
    with desk_of(broker, folder, MANIFEST, worker_id=names[0], **QUICK, **env) as desk, ExitStack() as stack:
        workers = [stack.enter_context(desk.worker)]
        config = desk.worker.environment["KAFKA_CONFIG"]
        for name in names[1:]:
            own = {**settings(create_topics="false", worker_id=name, **QUICK, **env), "KAFKA_CONFIG": config}
            (folder / name).mkdir()
            worker = Worker(broker, MANIFEST, folder / name, fleet=desk.kafka.prefix, env=own)
            workers.append(stack.enter_context(worker))
        yield desk, workers


def ask(desk: Desk, ledger: Ledger, name: str, graph: str = "limited", gate: Path | None = None, **fields: Any) -> UUID:
    data = {"name": name, "ledger": str(ledger.path), "gate": str(gate or "")}
    return desk.ask(graph, data, **fields)


def test_a_fleet_keeps_to_the_limit_and_goes_on_when_a_worker_is_killed(broker, tmp_path, postgres_url):
    ledger, other, gate = Ledger(tmp_path / "ledger"), Ledger(tmp_path / "other"), tmp_path / "gate"
    with fleet_of(broker, tmp_path, ["one", "two", "three"], store_url=postgres_url) as (desk, workers):
        held = ask(desk, ledger, "held", gate=gate)
        pid = ledger.wait_for_start("held")
        events = [ask(desk, ledger, f"run{number}") for number in range(RUNS)]
        wait_until("others to run beside it", lambda: "run" in " ".join(ledger.started()), timeout=SECONDS)
        (owner,) = [worker for worker in workers if worker.child is not None and worker.child.pid == pid]
        owner.child.signal(signal.SIGKILL)
        owner.child.wait(SECONDS)
        ledger.add_death(pid)
        wait_until("another worker to take it over", lambda: ledger.started().count("held") == 2, timeout=SECONDS)
        # The graph may be full by now: what is of no limit starts.
        assert desk.answer(ask(desk, other, "beside", "free")).status is ResultStatus.SUCCESS
        gate.touch()
        results = [desk.answer(event) for event in (held, *events)]
    assert {result.status for result in results} == {ResultStatus.SUCCESS}
    assert ledger.peak() == LIMIT
    assert set(ledger.started()) == {"held", *(f"run{number}" for number in range(RUNS))}


def test_a_worker_on_sqlite_keeps_to_it_over_a_kill(broker, tmp_path):
    ledger, gate = Ledger(tmp_path / "ledger"), tmp_path / "gate"
    with fleet_of(broker, tmp_path, ["one"]) as (desk, [worker]):
        held = [ask(desk, ledger, f"held{number}", gate=gate) for number in range(LIMIT)]
        for number in range(LIMIT):
            ledger.wait_for_start(f"held{number}")
        events = [ask(desk, ledger, f"run{number}") for number in range(6)]
        assert desk.answer(ask(desk, Ledger(tmp_path / "other"), "beside", "free")).status is ResultStatus.SUCCESS
        child = worker.child
        assert child is not None
        child.signal(signal.SIGKILL)
        child.wait(SECONDS)
        ledger.add_death(child.pid)
        worker.launch()
        for number in range(LIMIT):
            name = f"held{number}"
            wait_until(f"{name} to go on", lambda name=name: ledger.started().count(name) == 2, timeout=SECONDS)
        assert not [name for name in ledger.started() if name.startswith("run")]  # their places are taken
        gate.touch()
        results = [desk.answer(event) for event in (*held, *events)]
    assert {result.status for result in results} == {ResultStatus.SUCCESS}
    assert ledger.peak() == LIMIT


def test_what_waits_starts_by_priority(broker, tmp_path):
    ledger, gate = Ledger(tmp_path / "ledger"), tmp_path / "gate"
    with desk_of(broker, tmp_path, MANIFEST, **{**QUICK, "concurrency": 1, "prefetch": 8}) as desk, desk.worker:
        first = ask(desk, ledger, "first", gate=gate)
        ledger.wait_for_start("first")
        priorities = {"low": -2, "usual": 0, "high": 5}
        events = [ask(desk, ledger, name, priority=value) for name, value in priorities.items()]
        desk.wait_committed(1 + len(events))
        gate.touch()
        for event in (first, *events):
            assert desk.answer(event).status is ResultStatus.SUCCESS
    assert ledger.started() == ["first", "high", "usual", "low"]


def test_a_priority_that_is_none_is_refused_with_its_field(broker, tmp_path):
    ledger = Ledger(tmp_path / "ledger")
    with desk_of(broker, tmp_path, MANIFEST, **QUICK) as desk, desk.worker:
        answer = desk.answer(ask(desk, ledger, "urgent", priority="very"))
    assert (answer.status, answer.error_type) == (ResultStatus.ERROR, "invalid_event")
    assert "priority" in (answer.error or "")
    assert not ledger.lines()
