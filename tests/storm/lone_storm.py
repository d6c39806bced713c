"""A storm over one worker on SQLite, which leaves, dies, stands still and comes back all the time."""

from __future__ import annotations

import os
import random
import signal
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

from devtools.apache_kafka import ApacheKafka
from tests.chaos.fleet import Life, Workers
from tests.chaos.ledger import Execution, read_ledgers
from tests.chaos.request_checks import Violation
from tests.chaos.topics import Listener
from tests.storm.asker import Asker
from tests.storm.fleet_storm import PROTOCOLS, wait_for_no_lag
from tests.support.kafka import KafkaTopics
from workflow_events.topics import consumer_group_of

_PER_SECOND = 4.0
_STANDS_SECONDS = 5.0  # longer than its group waits for it
_LAST_ANSWERS_SECONDS = 150.0  # the newer protocol gives up a killed member after 45 s
_CHANGES = ("leave", "kill", "stand still")
_SETTINGS = {"LANGGRAPH_WORKER_CONCURRENCY": "4", "LANGGRAPH_WORKER_MAX_WAITING": "6"}


def storm(seed: int, seconds: float, protocol: str, folder: Path, say: Callable[[str], None]) -> Sequence[Violation]:
    """What went wrong; see :func:`tests.storm.fleet_storm.storm`."""
    rng, counts, codes = random.Random(f"lone-{seed}"), Counter[str](), list[int]()
    with ExitStack() as stack:
        broker = stack.enter_context(ApacheKafka())
        kafka = KafkaTopics(broker, f"storm{uuid.uuid4().hex[:8]}")
        kafka.create_fleet()
        listener = stack.enter_context(Listener(kafka))
        url, config = f"sqlite:///{folder}/store.db", PROTOCOLS[protocol]
        workers = stack.enter_context(Workers(broker, kafka.prefix, url, folder, [_SETTINGS], kafka_config=config))
        asker = Asker(kafka, seed, _PER_SECOND)
        asker.start()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            change = rng.choice(_CHANGES)
            counts[change] += 1
            codes += _change(workers, change)
            workers.wait_ready()
            time.sleep(rng.uniform(0, 3))
        asker.finish(_LAST_ANSWERS_SECONDS)
        wait_for_no_lag(kafka, consumer_group_of(kafka.prefix))
        codes += workers.stop()
    say(f"SQLite, {protocol}, seed {seed}: {dict(counts)}; {asker.summary()}")
    found = [*asker.verdicts(), *_repeats(listener), *_again(read_ledgers(workers.ledgers), workers.lives)]
    found += [Violation("no worker ends by itself", None, death) for death in workers.deaths]
    found += [Violation("SIGTERM ends a worker in order", None, f"exit code {code}") for code in codes if code]
    for violation in found:
        say(f"VIOLATED: {violation}")
    return found


def _change(workers: Workers, change: str) -> list[int]:
    """The exit code of a worker that left."""
    life = workers.process(0)
    codes = []
    if change == "stand still":
        with workers.suspended(life):
            time.sleep(_STANDS_SECONDS)
        return []
    if change == "leave":
        os.kill(life.pid, signal.SIGTERM)
        codes = [life.child.wait(30)]
        life.died_at = time.time()
    else:
        workers.kill([life])
    workers.start(0)
    return codes


def _repeats(listener: Listener) -> Iterator[Violation]:
    for request_id, different in listener.different.items():
        if len(different) > 1:
            text = f"{len(different)} different records among {listener.records[request_id]}"
            yield Violation("one distinct terminal result for each accepted event", request_id, text)


def _again(executions: Sequence[Execution], lives: Sequence[Life]) -> Iterator[Violation]:
    """Only what a process that was killed had in flight runs again."""
    killed = {life.pid for life in lives if life.killed_at is not None}
    places: dict[tuple[str, int], list[Execution]] = defaultdict(list)
    for one in executions:
        places[one.place].append(one)
    for found in places.values():
        for before, one in pairwise(found):
            if before.pid not in killed:
                text = f"{one.node} ran again in process {one.pid}, and nothing had struck {before.pid}"
                yield Violation("only what was in flight runs again", one.correlation_id, text)
