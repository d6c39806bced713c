"""Pauses on a real Kafka: what waits, what runs, and what a worker that was killed still knows, on each store."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, func, select, update

from devtools.broker import Broker
from devtools.postgres import PostgresServer
from devtools.processes import wait_until
from langgraph_worker.store.migrations.schema import threads, workflow_runs
from tests.support.run_store import driver_url
from tests.support.worker import SECONDS, Desk, desk_of
from workflow_events import ResultStatus
from workflow_events.control import WorkflowPausedEvent, WorkflowUnpausedEvent

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

logger = logging.getLogger(__name__)

QUEUED = 1_000
RUNNING = 50


class PausedFleet:
    """A fleet, its store, and the command line beside it."""

    def __init__(self, desk: Desk, store_url: str) -> None:
        self.desk = desk
        self._engine = create_engine(driver_url(store_url))

    def close(self) -> None:
        self._engine.dispose()

    def cli(self, *arguments: str, code: int = 0) -> str:
        """Run a command beside the worker; what it prints."""
        command = [sys.executable, "-m", "langgraph_worker", *arguments]
        done = subprocess.run(
            command,
            env=self.desk.worker.environment,
            cwd=self.desk.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def statuses(self) -> dict[str, int]:
        """How many runs are in each status."""
        counted = select(workflow_runs.c.status, func.count().label("runs")).group_by(workflow_runs.c.status)
        with self._engine.connect() as connection:
            return {row.status: row.runs for row in connection.execute(counted)}

    def attempts(self) -> set[tuple[int, int]]:
        """Starts and takeovers, of all runs."""
        with self._engine.connect() as connection:
            found = connection.execute(select(workflow_runs.c.attempts, workflow_runs.c.takeovers).distinct())
            return {(attempts, takeovers) for attempts, takeovers in found}

    def until(self, **statuses: int) -> None:
        """Wait for these counts, and no others."""
        wait_until(
            f"the runs to be {statuses}",
            lambda: self.statuses() == statuses,
            timeout=60,
            interval=0.02,
            show=[self.desk.worker.child] if self.desk.worker.child else [],
        )

    def let_leases_end(self) -> None:
        """Let time pass until what a killed worker held may be taken over; with SQLite its lock proves its death."""
        with self._engine.begin() as connection:
            connection.execute(update(threads).values(until=datetime.now(UTC)))


@pytest.fixture(params=["sqlite", "postgres"])
def fleet(request: pytest.FixtureRequest, broker: Broker, tmp_path: Path) -> Iterator[PausedFleet]:
    server: PostgresServer | None = None
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/store.db"
    else:
        server = request.getfixturevalue("postgres_server")
        url = server.create_database()
    # A renewal never comes by itself: an owner that stops its runs was asked to look.
    settings: dict[str, Any] = {"concurrency": RUNNING, "lease_seconds": 600, "renew_seconds": 300}
    try:
        with desk_of(broker, tmp_path, store_url=url, max_waiting=10 * QUEUED, **settings) as desk:
            fleet = PausedFleet(desk, url)
            yield fleet
            fleet.close()
    finally:
        if server is not None:
            server.drop_database(url)


def test_a_paused_fleet_starts_none_of_a_thousand_and_loses_none_also_across_kills(fleet):
    desk = fleet.desk
    desk.steer(WorkflowPausedEvent(scope="fleet", reason="markets are closed", requested_by="ann"))
    with desk.worker:
        asked = [desk.ask("echo", {"task": str(number)}) for number in range(QUEUED // 2)]
        fleet.until(PENDING=QUEUED // 2)
        desk.worker.child.kill()
        asked += [desk.ask("echo", {"task": str(number)}) for number in range(QUEUED // 2)]
    with desk.worker:
        fleet.until(PENDING=QUEUED)
        assert fleet.attempts() == {(0, 0)}
        desk.worker.child.kill()
    with desk.worker:
        assert fleet.attempts() == {(0, 0)}
        assert "the fleet is no longer paused" in fleet.cli("unpause")
        fleet.until(COMPLETED=QUEUED)
        assert fleet.attempts() == {(1, 0)}
        answers = {desk.answer(one).status for one in asked}
        assert answers == {ResultStatus.SUCCESS}


def test_now_stops_fifty_running_agents_and_they_go_on_from_their_last_checkpoint(fleet):
    desk = fleet.desk
    with desk.worker:
        gates = [desk.gate() for _ in range(RUNNING)]
        asked = [desk.ask("gated", gate.data) for gate in gates]
        for gate in gates:
            gate.wait_for("waiting")
        began = time.monotonic()
        desk.steer(WorkflowPausedEvent(scope="fleet", at_once=True))
        fleet.until(PENDING=RUNNING)
        logger.info("%d running agents stopped within %.2f s", RUNNING, time.monotonic() - began)
        desk.worker.child.kill()
    with desk.worker:
        assert fleet.attempts() == {(1, 0)}
        for gate in gates:
            gate.open()
        desk.steer(WorkflowUnpausedEvent(scope="fleet"))
        fleet.until(COMPLETED=RUNNING)
        assert {desk.answer(one).status for one in asked} == {ResultStatus.SUCCESS}
        assert {tuple(gate.ledger) for gate in gates} == {("first", "waiting", "waiting", "passed", "last")}
        assert fleet.attempts() == {(2, 0)}


def test_what_runs_stops_before_its_next_superstep(fleet):
    desk = fleet.desk
    with desk.worker:
        gate = desk.gate()
        event = desk.ask("gated_sync", gate.data, workflow_id="night")
        other = desk.ask("gated_sync", (beside := desk.gate()).data)
        for one in (gate, beside):
            one.wait_for("waiting")
        out = fleet.cli("pause", "--workflow", "night", "--reason", "too \x1b[2J dear", "--by", "ann")
        assert "workflow 'night' is paused since" in out
        assert "by ann: too \\x1b[2J dear" in out
        for one in (gate, beside):
            one.open()
        fleet.until(PENDING=1, COMPLETED=1)
        assert gate.ledger == ["first", "waiting", "passed"]
        assert desk.answer(other).status is ResultStatus.SUCCESS
        fleet.cli("unpause", "--workflow", "night")
        assert desk.answer(event).status is ResultStatus.SUCCESS
        assert gate.ledger == ["first", "waiting", "passed", "last"]


def test_a_worker_that_is_killed_in_a_pause_leaves_its_runs_to_it(fleet):
    """The node under way does not end: its run is RUNNING when the worker dies, and nevertheless not taken over."""
    desk = fleet.desk
    with desk.worker:
        gate = desk.gate()
        event = desk.ask("gated", gate.data)
        gate.wait_for("waiting")
        fleet.cli("pause", "--graph", "gated")
        desk.worker.child.kill()
    with desk.worker:
        probe = desk.run("echo")  # other graphs run
        assert probe.status is ResultStatus.SUCCESS
        assert gate.ledger == ["first", "waiting"]
        gate.open()
        fleet.let_leases_end()
        assert desk.run("echo").status is ResultStatus.SUCCESS
        assert gate.ledger == ["first", "waiting"]
        fleet.cli("unpause", "--graph", "gated")
        assert desk.answer(event).status is ResultStatus.SUCCESS


def test_the_commands_say_what_is_wrong_and_what_is_not_known(fleet):
    desk = fleet.desk
    with desk.worker:
        wait_until("the worker to announce itself", lambda: "echo" in _known(fleet), timeout=SECONDS)
        refused = fleet.cli("pause", "--graph", "ecko", code=2)
        assert "no worker has announced a graph named 'ecko', so nothing was published" in refused
        assert "Did you mean 'echo'?" in refused
        refused = fleet.cli("pause", "--workflow", "nightly", code=2)
        assert "the run store has no request of a workflow named 'nightly'" in refused
        assert fleet.cli("pauses") == "nothing is paused\n"
        forced = json.loads(fleet.cli("pause", "--workflow", "nightly", "--force", "--json"))
        assert (forced["stored"], forced["paused"], len(forced["paused_now"])) == (True, True, 1)
        assert [one["name"] for one in json.loads(fleet.cli("pauses", "--json"))] == ["nightly"]
    out = fleet.cli("pause", "--wait", "0", code=3)
    assert "not confirmed: no worker has taken it in" in out
    with desk.worker:
        desk.logged("the fleet is paused since")
        out = fleet.cli("unpause")
        assert "the fleet is no longer paused" in out
        assert "paused besides: workflow 'nightly' is paused since" in out


def _known(fleet: PausedFleet) -> str:
    return fleet.cli("pause", "--graph", "no such graph", code=2)
