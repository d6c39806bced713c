"""``langgraph-worker runs`` beside a worker, on a real Kafka: list, show, cancel, resume, also across a kill."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from airflow_provider_langgraph.requests.given_handle import handle_in
from devtools.broker import Broker
from tests.support.ti_ids import new_ti_id
from tests.support.worker import Desk, desk_of
from workflow_events import ResultStatus

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


@dataclass
class Commands:
    """A worker, and the commands of ``runs`` with its settings."""

    desk: Desk

    def call(self, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        return self.desk.command("runs", *words, code=code)

    def statuses(self, *words: str) -> dict[str, str]:
        lines = self.call("list", "--json", *words).stdout.splitlines()
        return {run["correlation_id"]: run["status"] for run in map(json.loads, lines)}

    def show(self, name: UUID) -> dict[str, object]:
        shown: dict[str, object] = json.loads(self.call("show", str(name), "--json").stdout)
        return shown


@pytest.fixture
def commands(broker: Broker, tmp_path: Path) -> Iterator[Commands]:
    with desk_of(broker, tmp_path) as desk, desk.worker:
        yield Commands(desk)


def test_runs_are_looked_at_while_the_worker_has_the_store(commands: Commands) -> None:
    desk = commands.desk
    gate = desk.gate()
    done = desk.ask("echo", {"task": "hello"})
    assert desk.answer(done).status is ResultStatus.SUCCESS
    failed = desk.ask("raises")
    assert desk.answer(failed).status is ResultStatus.FAILURE
    running = desk.ask("gated", gate.data)
    gate.wait_for("waiting")
    assert commands.statuses() == {str(running): "running", str(failed): "failure", str(done): "success"}
    assert commands.statuses("--status", "running", "--graph", "gated") == {str(running): "running"}
    assert commands.statuses("--error", "OSError") == {str(failed): "failure"}
    page = commands.call("show", str(done)[:13]).stdout
    assert page.splitlines()[:2] == [
        'input      {"task": "hello"}',
        'result     success: {"task": "hello", "value": "hello"}',
    ]
    shown = commands.call("show", str(failed)).stdout
    assert "OSError: the exchange is closed" in shown
    assert "in fail\n" in shown
    steps = commands.show(running)["steps"]
    assert isinstance(steps, list)
    assert [(step["node"], step["status"]) for step in steps] == [("first", "COMPLETED"), ("gate", "RUNNING")]
    gate.open()
    desk.answer(running)


def test_a_cancelled_run_goes_on_from_its_checkpoint_also_across_a_kill(commands: Commands) -> None:
    desk = commands.desk
    gate = desk.gate()
    name = desk.ask("gated", gate.data)
    gate.wait_for("waiting")
    commands.call("cancel", "--graph", "gated", "--reason", "too dear", "--by", "ann", code=2)
    commands.call("cancel", "--graph", "gated", "--reason", "too dear", "--by", "ann", "--yes")
    answer = desk.answer(name)
    assert (answer.status, answer.error) == (ResultStatus.CANCELLED, "cancelled by ann: too dear")
    resumed = UUID(commands.call("resume", str(name)).stdout.strip())
    gate.wait_for("waiting", 2)
    assert desk.worker.child is not None
    desk.worker.child.kill()
    with desk.worker:
        gate.wait_for("waiting", 3)
        gate.open()
        assert desk.answer(resumed).status is ResultStatus.SUCCESS
    assert gate.ledger == ["first", "waiting", "waiting", "waiting", "passed", "last"]
    assert commands.statuses() == {str(resumed): "success", str(name): "cancelled"}
    assert "there is nothing to go on with" in commands.call("resume", str(name), code=1).stderr


def test_commands_work_while_no_worker_is_up(commands: Commands) -> None:
    desk = commands.desk
    gates = [desk.gate() for _ in range(2)]
    names = [desk.ask("gated", gate.data) for gate in gates]
    for gate in gates:
        gate.wait_for("waiting")
    commands.call("cancel", str(names[0]))
    assert desk.answer(names[0]).status is ResultStatus.CANCELLED
    assert desk.worker.child is not None
    desk.worker.child.kill()
    commands.call("cancel", str(names[1]))
    resumed = UUID(commands.call("resume", str(names[0])).stdout.strip())
    gates[0].open()
    with desk.worker:
        assert desk.answer(names[1]).status is ResultStatus.CANCELLED
        assert desk.answer(resumed).status is ResultStatus.SUCCESS
    assert gates[0].ledger == ["first", "waiting", "waiting", "passed", "last"]
    assert gates[1].ledger == ["first", "waiting"]


def test_airflows_next_try_goes_before_a_resume(commands: Commands) -> None:
    desk = commands.desk
    gate = desk.gate()
    first, second = ({"task": "t", "id": str(new_ti_id()), "try_number": number, "max_tries": 3} for number in (1, 2))
    name = desk.ask("gated", gate.data, attempt=first)
    gate.wait_for("waiting")
    commands.call("cancel", str(name))
    assert desk.answer(name).status is ResultStatus.CANCELLED
    handle = handle_in(commands.call("resume", str(name), "--json").stdout)
    assert handle.results_topic == desk.kafka.fleet.results
    assert sum(handle.start_offsets.values()) == 1
    gate.wait_for("waiting", 2)
    retry = desk.ask("gated", gate.data, attempt=second)
    answer = desk.answer(handle.correlation_id)
    assert (answer.status, answer.error_type) == (ResultStatus.CANCELLED, "superseded")
    gate.wait_for("waiting", 3)
    gate.open()
    assert desk.answer(retry).status is ResultStatus.SUCCESS
    assert gate.ledger.count("first") == 1


def test_a_question_is_answered_from_a_terminal(commands: Commands) -> None:
    desk = commands.desk
    name = desk.ask("asks")
    assert desk.answer(name).status is ResultStatus.INTERRUPTED
    assert '"Buy?"' in commands.call("show", str(name)).stdout
    answered = UUID(commands.call("resume", str(name), "--answer", '"yes"').stdout.strip())
    result = desk.answer(answered)
    assert (result.status, result.result["value"]) == (ResultStatus.SUCCESS, "yes")
    assert "its question was answered" in commands.call("resume", str(name), "--answer", '"no"', code=1).stderr
    assert commands.call("show", str(uuid4()), code=1).stdout == ""
