"""A storm over real workers: they leave, join, die and stand still about every second, under the load of ``chaos``."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import random
import signal
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil
import psycopg
from confluent_kafka.admin import NewPartitions

from devtools.apache_kafka import ApacheKafka
from devtools.system_postgres import SystemPostgres
from tests.chaos.evidence import Evidence, gather
from tests.chaos.faults import Window
from tests.chaos.fleet import Life, Workers
from tests.chaos.ledger import Execution, ends, read_ledgers
from tests.chaos.load import Load
from tests.chaos.plan import Fault, Kind, Plan
from tests.chaos.report import Memory, Story, explain, figures
from tests.chaos.request_checks import Judge, Violation
from tests.chaos.sent_requests import SentRequests
from tests.chaos.topics import Listener
from tests.chaos.writer_checks import Writers
from tests.storm.asker import Asker
from tests.support.kafka import KafkaTopics
from workflow_events.topics import consumer_group_of

WORKERS = 5
_FEWEST_RUNNING = 1
_LAST_ANSWERS_SECONDS = 150.0  # the newer protocol gives up a killed member after 45 s
_CALM_WORKERS = 3
_MOST_PARTITIONS = 9
_MOST_THREADS = 90
"""Of one worker: its Kafka clients, pools for nodes and database."""
_REVOKE_SECONDS = 25.0  # for a worker to start, and for another to give it partitions
_GAVE_UP = "gave up partitions"
_CHANGES = ("join", "leave", "kill in a revoke", "kill", "stand still", "grow")
_WEIGHTS = (36, 24, 20, 6, 12, 2)

PROTOCOLS: dict[str, dict[str, str]] = {
    "classic": {"session.timeout.ms": "3000", "heartbeat.interval.ms": "300", "max.poll.interval.ms": "3000"},
    "consumer": {"group.protocol": "consumer"},
}
_SETTINGS = {
    "LANGGRAPH_WORKER_MAX_WAITING": "60",  # often full: answers pass what waits
    "LANGGRAPH_WORKER_GRAPH_CONCURRENCY": json.dumps({"desk": 8, "asking": 2}),
}


@dataclass
class Changes:
    """Does it to the fleet, one after the other, and keeps a record of it."""

    workers: Workers
    kafka: KafkaTopics
    rng: random.Random
    say: Callable[[str], None]
    windows: list[Window] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    codes: list[int] = field(default_factory=list)
    """Exit codes that no worker should have."""
    threads: int = 0
    """The most of one worker."""
    _partitions: int = 3
    _leaving: list[Life] = field(default_factory=list)
    _standing: dict[int, tuple[float, float]] = field(default_factory=dict)

    def run(self, seconds: float) -> None:
        """The storm; then the fleet rests, with few workers."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._settle()
            [change] = self.rng.choices(_CHANGES, _WEIGHTS)
            if self._do(change):
                self.counts[change] += 1
            time.sleep(self.rng.uniform(0.2, 1.2))
        while self._standing or self._leaving:
            self._settle()
            time.sleep(0.1)
        for number in self._absent()[: max(0, _CALM_WORKERS - len(self._present()))]:
            self.workers.start(number)
        self.workers.wait_ready()

    def _do(self, change: str) -> bool:
        present = self._present()
        if change == "join":
            if absent := self._absent():
                self.workers.start(self.rng.choice(absent))
            return bool(absent)
        if change == "grow":
            return self._grow()
        if len(present) <= _FEWEST_RUNNING:
            return False
        life = self.rng.choice(present)
        if change == "leave":
            life.child.signal(signal.SIGTERM)
            self._leaving.append(life)
        elif change == "kill":
            self._kill(life)
        elif change == "stand still":
            self._stand_still(life)
        else:
            return self._kill_in_a_revoke()
        return True

    # ---- who is there ----

    def _present(self) -> list[Life]:
        """Neither leaving nor standing still."""
        away = {life.pid for life in self._leaving} | self._standing.keys()
        return [life for life in self.workers.running() if life.pid not in away]

    def _absent(self) -> list[int]:
        there = {life.worker for life in self.workers.running()}
        return [number for number in range(WORKERS) if number not in there]

    def _settle(self) -> None:
        """Wake those that stood still long enough, bury those that have left, and start no other again."""
        now = time.time()
        for pid, (since, until) in list(self._standing.items()):
            if now >= until:
                del self._standing[pid]
                os.kill(pid, signal.SIGCONT)
                life = next(one for one in self.workers.lives if one.pid == pid)
                life.suspended.append((since, time.time()))
        for life in list(self._leaving):
            if life.child.returncode is not None:
                # One that was told to leave before it had begun anything just ends.
                expected = (0,) if life.is_ready else (0, -signal.SIGTERM)
                self.codes += [code for code in [life.child.wait(1)] if code not in expected]
                life.died_at = time.time()
                self._leaving.remove(life)
        for life in self._present():
            with contextlib.suppress(psutil.Error):
                self.threads = max(self.threads, psutil.Process(life.pid).num_threads())
            if life.child.returncode is not None:
                self.workers.deaths.append(f"worker-{life.worker} ended by itself:\n{life.child.tail(12)}")
                life.child.kill()
                life.died_at = life.killed_at = time.time()

    # ---- what is done ----

    def _kill(self, life: Life) -> None:
        since = time.time()
        self.workers.kill([life])
        self.windows.append(Window(Fault(0, Kind.KILL, life.worker, True, 0), since, time.time(), str(life.pid)))

    def _kill_in_a_revoke(self) -> bool:
        """A worker joins; one that just gives up partitions for it dies."""
        absent, present = self._absent(), self._present()
        if not absent or len(present) < _FEWEST_RUNNING + 1:
            return False
        before = {life.pid: life.child.output().count(_GAVE_UP) for life in present}
        self.workers.start(self.rng.choice(absent))
        end = time.monotonic() + _REVOKE_SECONDS
        while time.monotonic() < end:
            for life in present:
                if life.child.output().count(_GAVE_UP) > before[life.pid]:
                    self._kill(life)
                    return True
            time.sleep(0.01)
        return False

    def _stand_still(self, life: Life) -> None:
        """Longer than the group waits for it; sometimes longer than its leases hold."""
        since = time.time()
        os.kill(life.pid, signal.SIGSTOP)
        seconds = self.rng.choice([4.0, 5.0, 13.0])
        self._standing[life.pid] = (since, since + seconds)
        fault = Fault(0, Kind.SUSPEND, life.worker, False, seconds)
        self.windows.append(Window(fault, since, since + seconds, str(life.pid)))

    def _grow(self) -> bool:
        if self._partitions >= _MOST_PARTITIONS:
            return False
        self._partitions += 1
        topic = self.kafka.fleet.events
        [future] = self.kafka.admin.create_partitions([NewPartitions(topic, self._partitions)]).values()
        future.result(15)
        return True


def storm(seed: int, seconds: float, protocol: str, folder: Path, say: Callable[[str], None]) -> Sequence[Violation]:
    """What went wrong.

    :param protocol: of the consumer group, see :data:`PROTOCOLS`.
    :param folder: gets the logs and the ledgers.
    :param say: takes a line for people.
    """
    plan = Plan(seed, int(seconds * 6), seconds)
    with ExitStack() as stack:
        broker, store = stack.enter_context(ApacheKafka()), stack.enter_context(SystemPostgres())
        _keep_commit_times(store)
        url = store.create_database("storm")
        kafka = KafkaTopics(broker, f"storm{uuid.uuid4().hex[:8]}")
        kafka.create_fleet()
        group, sent, calm = consumer_group_of(kafka.prefix), SentRequests(), threading.Event()
        listener = stack.enter_context(Listener(kafka))
        config = {"topic.metadata.refresh.interval.ms": "1000", **PROTOCOLS[protocol]}
        workers = stack.enter_context(
            Workers(broker, kafka.prefix, url, folder, [_SETTINGS] * WORKERS, kafka_config=config)
        )
        load, asker = Load(plan, kafka, sent, listener, calm), Asker(kafka, seed)
        changes = Changes(workers, kafka, random.Random(f"storm-{seed}"), say)
        load.start()
        asker.start()
        stack.callback(load.abandon)
        changes.run(seconds)
        calm.set()
        load.join()
        asker.finish(_LAST_ANSWERS_SECONDS)
        _wait_for_answers(sent, listener)
        wait_for_no_lag(kafka, group)
        changes.codes += filter(None, workers.stop())
        evidence = gather(url, kafka, group)
    executions = read_ledgers(workers.ledgers)
    found = list(_verdicts(changes, sent, asker, evidence, executions))
    say(f"{protocol}, seed {seed}: {dict(changes.counts)}; {asker.summary()}; at most {changes.threads} threads")
    for line in figures(sent, evidence, listener, executions):
        say(f"  {line}")
    story = Story(sent, evidence, executions, ends(executions, workers.lives), folder)
    for line in explain(found, story):
        say(line)
    return found


def _verdicts(
    changes: Changes, sent: SentRequests, asker: Asker, evidence: Evidence, executions: Sequence[Execution]
) -> Iterator[Violation]:
    lives = changes.workers.lives
    of_load = {name: found for name, found in evidence.results.items() if name not in asker.ids}
    yield from Judge(sent, replace(evidence, results=of_load), changes.windows, ()).verdicts()
    yield from Writers(executions, evidence, lives, changes.windows).verdicts()
    yield from asker.verdicts()
    yield from Memory.measured(lives).verdicts()
    if changes.threads > _MOST_THREADS:
        yield Violation("threads stay bounded", None, f"a worker had {changes.threads}")
    for death in changes.workers.deaths:
        yield Violation("no worker ends by itself", None, death)
    for code in changes.codes:
        yield Violation("SIGTERM ends a worker in order", None, f"exit code {code}")


def _keep_commit_times(store: SystemPostgres) -> None:
    with psycopg.connect(store.url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET track_commit_timestamp = on")
    store.stop()
    store.start()


def _wait_for_answers(sent: SentRequests, listener: Listener) -> None:
    end = time.monotonic() + _LAST_ANSWERS_SECONDS
    while sent.expected() - listener.answered_ids() and time.monotonic() < end:
        time.sleep(0.2)


def wait_for_no_lag(kafka: KafkaTopics, group: str) -> None:
    """Until every record is committed; what is left then, the judges name."""
    ends = functools.partial(_ends, kafka)
    end = time.monotonic() + _LAST_ANSWERS_SECONDS
    while kafka.committed(group, kafka.fleet.events) != ends() and time.monotonic() < end:
        time.sleep(0.2)


def _ends(kafka: KafkaTopics) -> dict[int, int]:
    found = Counter(message.partition() for message in kafka.read_all(kafka.fleet.events))
    return dict(found)
