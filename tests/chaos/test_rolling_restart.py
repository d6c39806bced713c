"""A deploy under load: every worker is restarted, one after the other, and no run notices but by a pause."""

from __future__ import annotations

import json
import signal
import sys
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from uuid import UUID

import pytest

from devtools.broker import Broker
from tests.chaos.fleet import Workers
from tests.chaos.ledger import Execution, read_ledgers
from tests.chaos.plan import NODES, WORKERS
from tests.chaos.steady_load import SteadyLoad
from tests.chaos.topics import Listener
from tests.support.kafka import KafkaTopics


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
    life = workers.process(number)
    life.child.signal(signal.SIGTERM)
    assert life.child.wait(30) == 0
    life.died_at = time.time()
    workers.start(number)
    workers.wait_ready()


@pytest.mark.integration
@pytest.mark.timeout(400)
def test_no_run_fails_or_starts_over_in_a_rolling_restart(broker: Broker, postgres_url: str, tmp_path: Path) -> None:
    prefix = f"roll{uuid.uuid4().hex[:8]}"
    kafka = KafkaTopics(broker, prefix)
    kafka.create_fleet()
    with Listener(kafka) as listener, Workers(broker, kafka.prefix, postgres_url, tmp_path) as workers:
        load = SteadyLoad(kafka, listener, ["desk"])
        load.start()
        load.wait_for()
        for number in range(WORKERS):
            restart(workers, number)
        load.finish()
        assert workers.stop() == [0] * WORKERS
        assert not workers.deaths
    executions = read_ledgers(workers.ledgers)
    done = Counter((one.correlation_id, one.node) for one in executions)
    assert done == Counter((request_id, node) for request_id in load.asked for node in NODES)
    assert not [one for one in executions if one.is_cut or one.ended is None]
    longest = sorted(pauses(executions))
    sys.stdout.write(
        f"{len(load.asked)} runs while {WORKERS} workers were restarted; longest pause of a run {longest[-1]:.2f} s, "
        f"of nine in ten at most {longest[int(len(longest) * 0.9)]:.2f} s\n"
    )
    results = [json.loads(message.value()) for message in kafka.read_all(kafka.fleet.results)]
    assert Counter(one["status"] for one in results) == {"success": len(results)}
    kafka.close()
