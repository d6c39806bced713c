"""A node that blocks its worker's event loop: its own run is to blame, and no other one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from devtools.broker import Broker
from devtools.postgres import PostgresServer
from devtools.processes import wait_until
from tests.support.worker import Gate, desk_of
from workflow_events import ResultStatus

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

HUNG = 70  # the exit code
START_SECONDS = 60.0  # for a worker to start, and to find that the leases of the one before are over


@pytest.mark.parametrize("store", ["sqlite", "postgres"])
def test_a_node_that_hangs_every_worker_condemns_its_own_run_alone(
    request: pytest.FixtureRequest, broker: Broker, tmp_path: Path, store: str
) -> None:
    env = {}
    if store == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        env["store_url"] = server.create_database("hangs")
    with desk_of(broker, tmp_path / "worker", lease_seconds=5, hang_seconds=5, **env) as desk, desk.worker:
        innocent, guilty = desk.gate(), desk.gate()
        waiting = desk.ask("waits", innocent.data)
        blocking = desk.ask("stands_still", {**guilty.data, "size": 10_000})
        for number in range(1, 5):
            began(guilty, number)
            child = desk.worker.child
            assert child is not None
            assert child.wait(START_SECONDS) == HUNG
            assert re.search(r"a node on thread \S+ blocks the loop", child.output())
            desk.worker.launch()
        desk.worker.wait_ready()
        lost = desk.answer(blocking)
        assert (lost.status, lost.error_type) == (ResultStatus.FAILURE, "worker_lost")
        assert "a node that blocks the event loop" in (lost.error or "")
        innocent.open()
        result = desk.answer(waiting)
        assert result.status is ResultStatus.SUCCESS
        assert result.attempts > 1  # it was on a worker that hung


def began(gate: Gate, number: int) -> None:
    """Wait until a graph has begun so often."""
    wait_until("the node to begin", lambda: gate.ledger.count("began") >= number, timeout=START_SECONDS)
