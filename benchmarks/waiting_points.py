"""The measured points of :mod:`benchmarks.waiting`: a topic, a process that waits, and the figures."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.replies import ANSWER, Topic
from benchmarks.waiting_triggers import Task, request_id
from devtools.broker import Broker

PAUSE_SECONDS = 0.004
"""Between two replies whose way to the event is timed."""
PACED = 1_000
"""Replies of a round that are timed; the others are written as fast as possible."""


class Waiters:
    """A process of :mod:`benchmarks.waiters`."""

    def __init__(self, folder: Path, how: str, task: Task) -> None:
        environment = {**os.environ, "AIRFLOW_HOME": str(folder), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
        environment["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "WARNING"  # Airflow's log is not measured
        command = [sys.executable, "-m", "benchmarks.waiters", how, task.to_json()]
        self._errors = (folder / "waiters.log").open("w+")
        self._process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=self._errors, text=True
        )

    def next_line(self) -> dict[str, Any]:
        """The next line that it prints."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._errors.seek(0)
            raise RuntimeError(f"the waiters have ended:\n{self._errors.read()[-3000:]}")
        said: dict[str, Any] = json.loads(line)
        return said

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """While this is entered, the process and its listener are stopped."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        """Kill it: it keeps nothing."""
        self._process.kill()
        self._process.communicate()
        self._errors.close()


@dataclass(frozen=True, order=True)
class Lag:
    """How late the event loop was at worst.

    :param late: milliseconds.
    :param collected: the longest pause of Python's garbage collector, in milliseconds.
    """

    late: float
    collected: float

    @classmethod
    def since(cls, said: dict[str, Any], began: int = 0) -> Lag:
        """What the waiters have seen from ``began`` on. Before, their process was stopped on purpose."""
        late = [min(late, (until - began) / 1e6) for late, until in said["late"] if until > began]
        return cls(max(late, default=0.0), said["collected"])

    def __str__(self) -> str:
        return f"{self.late:.0f} ({self.collected:.0f})"


@dataclass
class Live:
    """Triggers that waited when their replies came.

    :ivar ready: by round, seconds from the first trigger's start until a reply reaches all.
    :ivar took: by timed reply, milliseconds to the event.
    :ivar starting, serving: by round, how late the loop was for others.
    :ivar served: events, of ``asked``.
    :ivar collection: milliseconds of processor time that Python's collector takes for the whole process meanwhile.
    :ivar stopped: why there were no more rounds.
    """

    count: int
    rss: int = 0
    threads: int = 0
    collection: float = 0.0
    ready: list[float] = field(default_factory=list)
    took: list[float] = field(default_factory=list)
    starting: list[Lag] = field(default_factory=list)
    serving: list[Lag] = field(default_factory=list)
    served: int = 0
    asked: int = 0
    stopped: str = ""


@dataclass(frozen=True)
class Drained:
    """Triggers whose replies were there before they looked for them.

    :param seconds: from the triggers' start, or from when they go on, to the last event.
    :param burst: from the first event to the last.
    :param cpu: seconds of the process's processor time.
    :param lag: how late the loop was for others.
    """

    served: int
    seconds: float
    burst: float
    cpu: float
    lag: Lag


class Bench:
    """A broker, and the processes that wait for replies on it."""

    def __init__(self, broker: Broker, folder: Path) -> None:
        self._broker = broker
        self._folder = folder
        self._warm = Topic(broker)
        self._progress = self._topic()
        self._warm.reply([request_id("warm", 0)])
        self.first_use: list[tuple[str, float, Lag]] = []
        """By process: the kind of triggers, seconds until the first was served, and how late the loop was."""

    def _topic(self) -> Topic:
        return Topic(self._broker, beside=self._warm.name)

    def _task(self, topic: Topic, kind: str, count: int, **more: Any) -> Task:
        start = {str(partition): offset for partition, offset in topic.ends().items()}
        seed = uuid.uuid4().hex[:8]
        client = dict(self._broker.client)
        topics = (topic.name, self._warm.name, self._progress.name)
        return Task(kind, count, *topics, topic.cluster, client, start, seed, **more)

    @contextmanager
    def _waiters(self, how: str, task: Task) -> Iterator[Waiters]:
        started = Waiters(self._folder, how, task)
        try:
            said = started.next_line()
            self.first_use.append((task.kind, said["seconds"], Lag.since(said)))
            yield started
        finally:
            started.end()

    def live(self, kind: str, count: int, rounds: int = 1, **more: Any) -> Live:
        """Start the triggers, reply one by one, then as fast as possible."""
        topic, result = self._topic(), Live(count)
        task = self._task(topic, kind, count, rounds=rounds, **more)
        with self._waiters("live", task) as waiters:
            for first in range(0, rounds * count, count):
                said = waiters.next_line()
                result.rss, result.threads = result.rss or said["rss"], max(result.threads, said["threads"])
                result.collection = max(result.collection, said["full"])
                if not said["ready"]:
                    result.stopped = f"{said['consumers']} of {count} had a consumer after {said['seconds']:.0f} s"
                    return result
                result.ready.append(said["seconds"])
                sent = self._reply(topic, task, range(first, first + count))
                ended = waiters.next_line()
                self._note(result, said, ended, sent)
                if result.stopped:
                    return result
        return result

    def idle(self, count: int) -> int:
        """Resident bytes of a process with so many triggers that wait for nothing."""
        with self._waiters("live", self._task(self._progress, "idle", count)) as waiters:
            return int(waiters.next_line()["rss"])

    @staticmethod
    def _reply(topic: Topic, task: Task, numbers: Sequence[int]) -> dict[int, int]:
        ids = {request_id(task.seed, number): number for number in numbers}
        sent = topic.reply_paced(list(ids)[:PACED], PAUSE_SECONDS)
        topic.reply(list(ids)[PACED:])
        return {ids[one]: at for one, at in sent.items()}

    @staticmethod
    def _note(result: Live, said: dict[str, Any], ended: dict[str, Any], sent: dict[int, int]) -> None:
        events = dict(ended["events"])
        result.asked += result.count
        result.served += len(events)
        result.took += [(events[number] - at) / 1e6 for number, at in sent.items() if number in events]
        result.starting.append(Lag.since(said))
        result.serving.append(Lag.since(ended))
        if len(events) < result.count:
            result.stopped = f"{len(events)} of {result.count} had their reply in time"

    def backlog(
        self, count: int, foreign: int = 0, partitions: int = 0, kind: str = "ours", answer: str = ANSWER
    ) -> Drained:
        """Start our triggers, stop their process, fill the topic, and let the process go on.

        :param foreign: replies to others that come first, in each of so many partitions.
        :param answer: the text of the replies.
        """
        topic = self._topic()
        task = self._task(topic, kind, count)
        with self._waiters("live", task) as waiters:
            if not waiters.next_line()["ready"]:
                raise RuntimeError("the waiters were not ready in time")
            with waiters.stopped():
                topic.reply_to_others(foreign, partitions)
                topic.reply([request_id(task.seed, number) for number in range(count)], partitions, answer)
                began = time.monotonic_ns()
            return _drained(waiters.next_line(), began)

    def late(self, kind: str, count: int, foreign: int = 0, partitions: int = 0, **more: Any) -> Drained:
        """Fill the topic, then start the triggers."""
        topic = self._topic()
        task = self._task(topic, kind, count, **more)
        topic.reply_to_others(foreign, partitions)
        topic.reply([request_id(task.seed, number) for number in range(count)], partitions)
        with self._waiters("late", task) as waiters:
            said = waiters.next_line()
            return _drained(said, said["began"])


def _drained(said: dict[str, Any], began: int) -> Drained:
    at = sorted(when for _, when in said["events"]) or [began]
    served, lag = len(said["events"]), Lag.since(said, began)
    return Drained(served, (at[-1] - began) / 1e9, (at[-1] - at[0]) / 1e9, said["cpu"], lag)
