"""A fork on a real worker: asked for by the command, over a kill of the worker, on both stores."""

from __future__ import annotations

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


def test_a_fork_goes_on_behind_its_checkpoint_over_a_kill(desk: Desk) -> None:
    gate, other = desk.gate(), desk.gate()
    gate.open()
    origin = desk.ask("gated", gate.data)
    assert desk.answer(origin).status is ResultStatus.SUCCESS
    values = f'{{"ledger": "{other.data["ledger"]}", "gate": "{other.data["gate"]}"}}'
    forked = UUID(desk.command("runs", "fork", str(origin), "--before", "gate", "--values", values).stdout.strip())
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
    places = desk.command("runs", "checkpoints", str(forked)).stdout.splitlines()
    assert [line.split()[-1] for line in places[1:]] == ["gate", "gate", "last", "end)"]


def test_a_fork_that_the_graphs_entry_does_not_allow_is_refused(desk: Desk) -> None:
    gate = desk.gate()
    gate.open()
    origin = desk.ask("steps", gate.data)
    assert desk.answer(origin).status is ResultStatus.SUCCESS
    result = desk.answer(UUID(desk.command("runs", "fork", str(origin), "--before", "last").stdout.strip()))
    assert (result.status, result.error_type) == (ResultStatus.ERROR, "input_not_allowed")
    assert '{"events": {"fork": true}} in the entry of graph \'steps\'' in (result.error or "")
