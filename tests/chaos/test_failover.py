"""The primary of the run store dies under load and its replica takes over: the workers go on by themselves.

``make test-failover`` runs it. What a store does in each case is in the contract suite.
"""

from __future__ import annotations

import os
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from devtools.broker import Broker
from devtools.postgres_replica import PostgresReplica
from devtools.processes import wait_until
from devtools.system_postgres import SystemPostgres
from tests.chaos.fleet import Workers
from tests.chaos.ledger import read_ledgers
from tests.chaos.plan import WORKERS
from tests.chaos.steady_load import LAST_ANSWERS_SECONDS, SteadyLoad, broken_promises, repeated
from tests.chaos.topics import Listener
from tests.support.kafka import KafkaTopics
from tests.support.replication import two_servers, url_of_both
from workflow_events.topics import consumer_group_of

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not os.environ.get("FAILOVER"), reason="takes minutes: make test-failover"),
]


@dataclass
class Fleet:
    """Workers on two servers, under a load that flows."""

    kafka: KafkaTopics
    primary: SystemPostgres
    replica: PostgresReplica
    url: str
    listener: Listener
    workers: Workers
    load: SteadyLoad

    def stop(self) -> None:
        """Stop the workers, none of which has ended by itself."""
        assert self.workers.stop() == [0] * WORKERS
        assert not self.workers.deaths

    def longest_silence(self) -> float:
        """Seconds."""
        return max(after - before for before, after in pairwise(sorted(self.listener.answered.values())))


@contextmanager
def fleet(broker: Broker, folder: Path, *, is_synchronous: bool) -> Iterator[Fleet]:
    kafka = KafkaTopics(broker, f"failover{uuid.uuid4().hex[:8]}")
    kafka.create_fleet()
    with two_servers() as (primary, replica), Listener(kafka) as listener:
        url = url_of_both(primary.create_database("failover"), replica)
        if is_synchronous:
            replica.require_for_commits()
        with Workers(broker, kafka.prefix, url, folder) as workers:
            load = SteadyLoad(kafka, listener)
            load.start()
            load.wait_for()
            yield Fleet(kafka, primary, replica, url, listener, workers, load)
    kafka.close()


def test_no_request_is_lost_when_a_synchronous_replica_takes_over(broker: Broker, tmp_path: Path) -> None:
    with fleet(broker, tmp_path, is_synchronous=True) as it:
        it.primary.kill()
        it.replica.promote()
        it.load.wait_for()
        it.load.finish()
        it.stop()
    executions = read_ledgers(it.workers.ledgers)
    assert not list(broken_promises(it.load, it.listener, executions))
    sys.stdout.write(
        f"{len(it.load.asked)} requests, none lost; the longest silence was {it.longest_silence():.1f} s; "
        f"{repeated(executions)} nodes ran twice\n"
    )


def test_an_asynchronous_replica_loses_what_it_did_not_have(broker: Broker, tmp_path: Path) -> None:
    """The workers go on all the same. What is lost: requests whose offsets are committed, and questions' answers."""
    with fleet(broker, tmp_path, is_synchronous=False) as it:
        it.replica.stop()  # it falls behind
        behind_since = time.time()
        it.load.wait_for()
        it.primary.kill()
        died_at = time.time()
        it.replica.start()
        it.replica.promote()
        it.load.wait_for()
        it.load.stop_asking()
        wait_until("the intake to have taken in all", lambda: has_taken_in_all(it), timeout=LAST_ANSWERS_SECONDS)
        wait_until("the last run to end", lambda: not unfinished(it.url), timeout=LAST_ANSWERS_SECONDS)
        known = stored_ids(it.url)
        it.stop()
    lost = it.load.unanswered() - known
    different = [name for name, answers in it.listener.different.items() if len(answers) > 1]
    sys.stdout.write(
        f"{len(it.load.asked)} requests; the replica was {died_at - behind_since:.1f} s behind; {len(lost)} are lost, "
        f"{len(different)} have different answers; the longest silence was {it.longest_silence():.1f} s\n"
    )
    assert it.load.unanswered() <= lost


def has_taken_in_all(it: Fleet) -> bool:
    group, topic = consumer_group_of(it.kafka.prefix), it.kafka.fleet.events
    return sum(it.kafka.committed(group, topic).values()) >= len(it.load.asked)


def unfinished(url: str) -> set[UUID]:
    return _ids(url, "finished_at IS NULL")


def stored_ids(url: str) -> set[UUID]:
    return _ids(url, "true")


def _ids(url: str, condition: str) -> set[UUID]:
    with psycopg.connect(url, target_session_attrs="read-write") as connection:
        found = connection.execute(f"SELECT correlation_id FROM workflow_runs WHERE {condition}".encode()).fetchall()
    return {UUID(str(name)) for (name,) in found}
