"""A fork on a real worker: asked for by the command, over a kill of the worker, on both stores."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from devtools.broker import Broker
from tests.support.worker import Desk, desk_of
from workflow_events import ResultStatus

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]


@pytest.fixture(params=["sqlite", "postgres"])
def desk(request: pytest.FixtureRequest, broker: Broker, tmp_path: Path) -> Iterator[Desk]:
    store = {"store_url": request.getfixturevalue("postgres_url")} if request.param == "postgres" else {}
    with desk_of(broker, tmp_path, lease_seconds=2, **store) as desk, desk.worker:
        yield desk


def runs(desk: Desk, *words: str) -> str:
    """What ``langgraph-worker runs`` prints."""
    command = [sys.executable, "-m", "langgraph_worker", "runs", *words]
    environment = desk.worker.environment
    done = subprocess.run(
        command, cwd=desk.folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_fork_goes_on_behind_its_checkpoint_over_a_kill(desk: Desk) -> None:
    gate, other = desk.gate(), desk.gate()
    gate.open()
    origin = desk.ask("gated", gate.data)
    assert desk.answer(origin).status is ResultStatus.SUCCESS
    values = f'{{"ledger": "{other.data["ledger"]}", "gate": "{other.data["gate"]}"}}'
    forked = UUID(runs(desk, "fork", str(origin), "--before", "gate", "--values", values).strip())
    other.wait_for("waiting")
    assert desk.worker.child is not None
    desk.worker.child.kill()
    other.open()
    desk.worker.launch()
    desk.worker.wait_ready()
    result = desk.answer(forked)
    assert (result.status, result.attempts) == (ResultStatus.SUCCESS, 2)
    assert other.ledger == ["waiting", "waiting", "passed", "last"]
    assert gate.ledger == ["first", "waiting", "passed", "last"]
    places = runs(desk, "checkpoints", str(forked)).splitlines()
    assert [line.split()[-1] for line in places[1:]] == ["gate", "gate", "last", "end)"]


def test_a_fork_that_the_graphs_entry_does_not_allow_is_refused(desk: Desk) -> None:
    gate = desk.gate()
    gate.open()
    origin = desk.ask("steps", gate.data)
    assert desk.answer(origin).status is ResultStatus.SUCCESS
    result = desk.answer(UUID(runs(desk, "fork", str(origin), "--before", "last").strip()))
    assert (result.status, result.error_type) == (ResultStatus.ERROR, "input_not_allowed")
    assert '{"events": {"fork": true}} in the entry of graph \'steps\'' in (result.error or "")
