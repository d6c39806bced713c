"""A deploy under load: every worker is restarted, one after the other, and no run notices but by a pause."""

from __future__ import annotations

import json
import random
import signal
import sys
import threading
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from devtools.broker import Broker
from devtools.kafka import prefixed_fleet
from devtools.processes import wait_until
from tests.chaos.fleet import Workers
from tests.chaos.ledger import Execution, read_ledgers
from tests.chaos.plan import NODES, WORKERS
from tests.chaos.topics import Listener, Publisher
from tests.support.kafka import KafkaTopics
from tests.support.worker import PLAIN

PER_SECOND = 12
LAST_ANSWERS = 60.0  # seconds


class SteadyLoad(threading.Thread):
    """Asks until it is told to stop."""

    def __init__(self, kafka: KafkaTopics) -> None:
        super().__init__(name="steady-load", daemon=True)
        self._kafka = kafka
        self.asked: list[UUID] = []
        self.enough = threading.Event()

    def run(self) -> None:
        publisher, rng = Publisher(self._kafka), random.Random(1)
        while not self.enough.wait(1 / PER_SECOND):
            event_id = uuid4()
            data = {"delays": [rng.randint(50, 500) for _ in NODES]}
            event = {**PLAIN, "event_id": str(event_id), "graph": "desk", "payload": {"data": data}}
            publisher.send(self._kafka.fleet.events, json.dumps(event).encode(), str(event_id).encode(), [])
            self.asked.append(event_id)
        publisher.flush()


def pauses(executions: Sequence[Execution]) -> list[float]:
    """Of each run, the longest time between the end of a node and the beginning of the next, in seconds."""
    runs: dict[UUID, list[Execution]] = defaultdict(list)
    for one in executions:
        runs[one.correlation_id].append(one)
    return [
        max(after.began - (before.ended or before.began) for before, after in pairwise(of_run))
        for of_run in runs.values()
    ]


def restart(workers: Workers, number: int) -> None:
    life = workers.of(number)
    life.child.signal(signal.SIGTERM)
    assert life.child.wait(30) == 0
    life.died_at = time.time()
    workers.start(number)
    workers.wait_ready()


@pytest.mark.integration
@pytest.mark.timeout(200)
def test_no_run_fails_or_starts_over_in_a_rolling_restart(broker: Broker, postgres_url: str, tmp_path: Path) -> None:
    prefix = f"roll{uuid.uuid4().hex[:8]}"
    kafka = KafkaTopics(broker, prefix, prefixed_fleet(prefix))
    kafka.create_fleet()
    with Listener(kafka) as listener, Workers(broker, kafka.fleet, postgres_url, tmp_path) as workers:
        load = SteadyLoad(kafka)
        load.start()
        wait_until("the load to flow", lambda: len(listener.answered) > 2 * PER_SECOND, timeout=LAST_ANSWERS)
        for number in range(WORKERS):
            restart(workers, number)
        load.enough.set()
        load.join()
        wait_until("the last answer", lambda: listener.answered.keys() >= set(load.asked), timeout=LAST_ANSWERS)
        assert workers.stop() == [0] * WORKERS
        assert not workers.deaths
    executions = read_ledgers(workers.ledgers)
    done = Counter((one.correlation_id, one.node) for one in executions)
    assert done == Counter((of, node) for of in load.asked for node in NODES)
    assert not [one for one in executions if one.is_cut or one.ended is None]
    longest = sorted(pauses(executions))
    sys.stdout.write(
        f"{len(load.asked)} runs while {WORKERS} workers were restarted; longest pause of a run {longest[-1]:.2f} s, "
        f"of nine in ten at most {longest[int(len(longest) * 0.9)]:.2f} s\n"
    )
    results = [json.loads(message.value()) for message in kafka.read_all(kafka.fleet.results)]
    assert Counter(one["status"] for one in results) == {"success": len(results)}
    kafka.close()
