"""Several workers on one PostgreSQL: what one loses another takes over, and neither does what the other has done."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from devtools.broker import Broker
from devtools.postgres import PostgresServer, choose_postgres
from devtools.processes import wait_until
from devtools.system_postgres import SystemPostgres
from devtools.worker import Worker
from tests.support.ti_ids import new_ti_id
from tests.support.worker import ODD, PLAIN, SECONDS, Desk, desk_of, settings
from workflow_events import ResultStatus
from workflow_events.headers import value_of
from workflow_events.identity import correlation_id
from workflow_events.models import Attempt

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

LEASE = 2


@contextmanager
def fleet_of(broker: Broker, folder: Path, url: str, **env: Any) -> Iterator[tuple[Desk, Worker]]:
    """Two workers of one group and one store, running."""
    quick = {"store_url": url, "lease_seconds": LEASE, "renew_seconds": 0.4, **env}
    with desk_of(broker, folder, worker_id="one", **quick) as desk, desk.worker:
        config = json.loads(desk.worker.environment["KAFKA_CONFIG"])
        own = {**settings(create_topics="false", worker_id="two", **quick), "KAFKA_CONFIG": json.dumps(config)}
        (folder / "two").mkdir()
        with Worker(broker, ODD, folder / "two", fleet=desk.kafka.prefix, env=own) as other:
            yield desk, other


@pytest.fixture
def fleet(broker: Broker, tmp_path: Path, postgres_url: str) -> Iterator[tuple[Desk, Worker]]:
    with fleet_of(broker, tmp_path, postgres_url) as both:
        yield both


def owner_of(desk: Desk, other: Worker, event: UUID) -> tuple[Worker, Worker]:
    """The worker that has started a run, and the one that has not."""
    line = re.compile(rf"\[started\] started: .*\(request {str(event)[:8]}")
    found = wait_until(
        f"a worker to start {event}",
        lambda: [w for w in (desk.worker, other) if w.child is not None and line.search(w.child.output())],
        timeout=SECONDS,
    )
    (owner,) = found
    return owner, other if owner is desk.worker else desk.worker


def test_a_run_of_a_killed_worker_goes_on_in_the_other(fleet):
    desk, other = fleet
    gate = desk.gate()
    event = desk.ask("gated", gate.data)
    gate.wait_for("waiting")
    owner, _ = owner_of(desk, other, event)
    owner.child.kill()
    gate.wait_for("waiting", 2)
    gate.open()
    result = desk.answer(event)
    assert (result.status, result.attempts) == (ResultStatus.SUCCESS, 2)
    assert gate.ledger == ["first", "waiting", "waiting", "passed", "last"]


def test_a_worker_that_wakes_up_too_late_changes_nothing(fleet):
    desk, other = fleet
    gate = desk.gate()
    event = desk.ask("gated", gate.data)
    gate.wait_for("waiting")
    owner, heir = owner_of(desk, other, event)
    owner.child.signal(signal.SIGSTOP)
    gate.wait_for("waiting", 2)
    gate.open()
    result = desk.answer(event)
    owner.child.signal(signal.SIGCONT)
    wait_until("the sleeper to notice", lambda: "] stopped before its end: " in owner.child.output(), timeout=SECONDS)
    assert result.attempts == 2
    assert desk.run("echo", {"task": "still there"}).result["value"] == "still there"
    assert len(desk.kafka.read_all(desk.kafka.fleet.results)) == 2
    assert heir.child.returncode is None


def test_a_stopping_worker_hands_its_runs_to_the_other(broker, tmp_path, postgres_url):
    with fleet_of(broker, tmp_path, postgres_url, drain_seconds=0) as (desk, other):
        gate = desk.gate()
        event = desk.ask("gated", gate.data)
        gate.wait_for("waiting")
        owner, _ = owner_of(desk, other, event)
        owner.child.signal(signal.SIGTERM)
        assert owner.child.wait(SECONDS) == 0
        gate.wait_for("waiting", 2)
        gate.open()
        assert desk.answer(event).status is ResultStatus.SUCCESS


def test_an_idle_worker_takes_what_a_busy_one_has_accepted(broker, tmp_path, postgres_url):
    with fleet_of(broker, tmp_path, postgres_url, concurrency=1, prefetch=8) as (desk, _):
        gates = [desk.gate() for _ in range(2)]
        task = "t" * 64  # one key, one partition, one worker that accepts both
        for number, gate in enumerate(gates):
            attempt = Attempt(task=task, id=new_ti_id(), agent=f"agent{number}", try_number=1, max_tries=0)
            same = attempt.model_copy(update={"id": UUID(int=7 << 76 | 2 << 62)})
            desk.ask(
                "gated",
                gate.data,
                event_id=str(correlation_id(same.id, same.agent)),
                attempt=same.model_dump(mode="json"),
            )
        for gate in gates:
            gate.wait_for("waiting")  # both at once, though each worker has one slot
        for gate in gates:
            gate.open()


@pytest.mark.parametrize("prefetch", [0, 2])
def test_a_busy_worker_takes_in_for_an_idle_one(broker, tmp_path, postgres_url, prefetch):
    """Whose partitions they are does not matter: every request finds the slot that is left."""
    with fleet_of(broker, tmp_path, postgres_url, concurrency=1, prefetch=prefetch) as (desk, other):
        for worker in (desk.worker, other):
            wait_until("a worker to read", lambda child=worker.child: "worker ready" in child.output(), timeout=SECONDS)
        gate = desk.gate()
        desk.ask("gated", gate.data)
        gate.wait_for("waiting")
        topic, events = desk.kafka.fleet.events, []
        for partition in range(3):
            for _ in range(3):
                events.append(uuid4())
                body = {**PLAIN, "graph": "echo", "event_id": str(events[-1])}
                desk.kafka.produce(topic, json.dumps(body), partition=partition)
        assert {desk.answer(event).status for event in events} == {ResultStatus.SUCCESS}
        assert "passed" not in gate.ledger
        gate.open()


def test_a_question_is_answered_by_anybody_on_any_worker(fleet):
    desk, _ = fleet
    asked = desk.run("asks", {})
    assert asked.status is ResultStatus.INTERRUPTED
    (question,) = asked.interrupts
    answer = {"interrupt_id": question.id, "value": "yes", "answered_by": "ann"}
    answered = desk.run(event_type="workflow.resumed", round=1, answers=[answer])
    assert (answered.status, answered.result) == (ResultStatus.SUCCESS, {"value": "yes"})
    assert answered.thread_id == asked.thread_id
    late = desk.run(event_type="workflow.resumed", round=1, answers=[{**answer, "value": "no", "answered_by": "bob"}])
    assert (late.status, late.error_type) == (ResultStatus.ERROR, "interrupt_not_pending")
    assert "answered by ann" in late.error


@pytest.mark.timeout(120)
def test_a_run_that_kills_its_workers_is_given_up_and_kept_for_a_person(broker, tmp_path, postgres_url):
    quick = {"store_url": postgres_url, "lease_seconds": 1, "renew_seconds": 0.3}
    with desk_of(broker, tmp_path, **quick) as desk, desk.worker:
        event = desk.ask("dies", {"task": "x"})
        for _ in range(4):
            desk.worker.child.wait(SECONDS)
            desk.worker.launch()
        result = desk.answer(event)
        assert (result.status, result.error_type, result.attempts) == (ResultStatus.FAILURE, "worker_lost", 4)
        (letter,) = wait_until(
            "the dead letter", lambda: desk.kafka.read_all(desk.kafka.fleet.dead_letters), timeout=SECONDS
        )
        assert value_of(letter.headers(), "dead-letter-error-type") == "worker_lost"
        assert json.loads(letter.value())["payload"]["data"] == {"task": "x"}


@pytest.mark.timeout(120)
def test_the_database_may_go_away_and_come_back(broker, tmp_path):
    with choose_postgres() as server:
        if not isinstance(server, SystemPostgres):
            pytest.skip("this server is not ours to stop")
        url = server.create_database("away")
        with fleet_of(broker, tmp_path, url, lease_seconds=6) as (desk, _):
            gate = desk.gate()
            running = desk.ask("gated", gate.data)
            gate.wait_for("waiting")
            server.stop()
            events = [desk.ask("echo", {"task": str(number)}) for number in range(10)]
            gate.open()
            gate.wait_for("passed")
            server.start()
            assert [desk.answer(event).result["value"] for event in events] == [str(number) for number in range(10)]
            assert desk.answer(running).status is ResultStatus.SUCCESS
            assert gate.ledger == ["first", "waiting", "passed", "last"]


def command(desk: Desk, folder: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """A langgraph-worker command with the settings of the desk's worker."""
    return subprocess.run(
        [sys.executable, "-m", "langgraph_worker", *arguments],
        env={**desk.worker.environment, **env},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_prune_runs_beside_the_workers_and_leaves_what_runs(fleet, tmp_path):
    desk, _ = fleet
    gate = desk.gate()
    running = desk.ask("gated", gate.data)
    gate.wait_for("waiting")
    event = str(uuid4())
    past = "2020-01-01T00:00:00Z"
    assert desk.run("echo", event_id=event, deadline=past).status is ResultStatus.TIMEOUT
    desk.wait_committed(2)
    wait_until("its acknowledgement", lambda: "removed 1 runs" in pruned(desk, tmp_path), timeout=SECONDS)
    desk.ask("echo", event_id=event)  # again: what was pruned does not run
    gate.open()
    assert desk.answer(running).status is ResultStatus.SUCCESS
    desk.wait_committed(3)
    assert len(desk.messages(UUID(event), 1)) == 1


def pruned(desk: Desk, folder: Path) -> str:
    done = command(desk, folder, "prune", "--retention-days", "0")
    assert done.returncode == 0, done.stderr
    assert "postgres:***" in done.stdout or "@" not in done.stdout
    return done.stdout


def test_check_refuses_a_store_that_the_group_does_not_use(fleet, tmp_path, postgres_server: PostgresServer):
    desk, _ = fleet
    assert "2 workers" in command(desk, tmp_path, "check").stdout
    elsewhere = postgres_server.create_database("elsewhere")
    done = command(desk, tmp_path, "check", LANGGRAPH_WORKER_STORE_URL=elsewhere)
    postgres_server.drop_database(elsewhere)
    assert done.returncode == 1
    assert "does not know one, two, now in group" in done.stdout
