"""Workers of another version under load, a new one that migrates the schema beside them, and their replacement.

The other version comes from this repository's history: ``make test-upgrade FROM=<commit>``.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tarfile
import time
import uuid
from pathlib import Path

import psycopg
import pytest

from devtools.broker import Broker
from devtools.postgres import PostgresServer
from langgraph_worker.store.migrations.migrate import VERSION_TABLE
from tests.chaos.fleet import Workers
from tests.chaos.ledger import read_ledgers
from tests.chaos.steady_load import SteadyLoad, broken_promises, repeated
from tests.chaos.topics import Listener
from tests.support.kafka import KafkaTopics
from workflow_events.topics import consumer_group_of

ROOT = Path(__file__).resolve().parents[2]
FROM = os.environ.get("UPGRADE_FROM", "")
_BESIDE_EACH_OTHER = 100
"""Answers while both versions work."""

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not FROM, reason="the version to upgrade from is not named: make test-upgrade"),
]


@pytest.fixture
def version_before(tmp_path: Path) -> Path:
    """The packages of the version before, from the history."""
    archive, folder = tmp_path / "before.tar", tmp_path / "before"
    packages = ["langgraph_worker", "workflow_events"]
    subprocess.run(["git", "-C", str(ROOT), "archive", "-o", str(archive), FROM, *packages], check=True, timeout=60)
    with tarfile.open(archive) as opened:
        opened.extractall(folder, filter="data")
    return folder


def variables_of_before(kafka: KafkaTopics, folder: Path) -> dict[str, str]:
    """Its code, and its topics one by one: a version before may not know of fleets."""
    fleet = kafka.fleet
    return {
        "PYTHONPATH": str(folder),
        "LANGGRAPH_WORKER_FLEET": "",
        "KAFKA_CONSUMER_GROUP_ID": consumer_group_of(kafka.prefix),
        "KAFKA_WORKFLOW_EVENTS_TOPIC": fleet.events,
        "KAFKA_WORKFLOW_RESULTS_TOPIC": fleet.results,
        "KAFKA_WORKFLOW_CONTROL_TOPIC": fleet.control,
        "KAFKA_WORKFLOW_PROGRESS_TOPIC": fleet.progress,
        "KAFKA_WORKFLOW_DEAD_LETTERS_TOPIC": fleet.dead_letters,
    }


def revision(url: str) -> str:
    with psycopg.connect(url) as connection:
        [[found]] = connection.execute(f"SELECT version_num FROM {VERSION_TABLE}".encode()).fetchall()
    return str(found)


def test_no_request_is_lost_when_a_fleet_is_upgraded_worker_by_worker(
    broker: Broker, postgres_server: PostgresServer, version_before: Path, tmp_path: Path
) -> None:
    url = postgres_server.create_database("upgrade")  # a version before may need better defaults than this one
    kafka = KafkaTopics(broker, f"upgrade{uuid.uuid4().hex[:8]}")
    kafka.create_fleet()
    before = variables_of_before(kafka, version_before)
    further = [before, before, {}, {}, {}]
    with (
        Listener(kafka) as listener,
        Workers(broker, kafka.prefix, url, tmp_path, further, begin_with=2) as workers,
    ):
        was = revision(url)
        load = SteadyLoad(kafka, listener)
        load.start()
        load.wait_for()
        first = workers.start(2)
        workers.wait_ready()
        load.wait_for(_BESIDE_EACH_OTHER)
        old, killed = workers.process(0), workers.process(1)
        old.child.signal(signal.SIGTERM)
        assert old.child.wait(60) == 0
        old.died_at = time.time()
        workers.start(3)
        workers.wait_ready()
        load.wait_for(_BESIDE_EACH_OTHER // 2)
        workers.kill([killed])
        workers.start(4)
        workers.wait_ready()
        load.finish()
        assert workers.stop() == [0] * 3
        assert not workers.deaths
    executions = read_ledgers(workers.ledgers)
    assert not list(broken_promises(load, listener, executions))
    sys.stdout.write(
        f"{len(load.asked)} requests while {FROM} ({was}) became {revision(url)}; "
        f"{sum(one.pid == first.pid for one in executions)} of {len(executions)} nodes ran in the first new worker, "
        f"{sum(one.pid in (old.pid, killed.pid) for one in executions)} in the old ones; {repeated(executions)} twice\n"
    )
    kafka.close()
