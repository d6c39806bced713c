"""The workers, as processes that are killed, stopped, woken and started again; and how much memory they take."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from devtools.broker import Broker
from devtools.processes import Child
from devtools.worker import READY, Worker
from tests.chaos.plan import CONCURRENCY, LEASE_SECONDS, RENEW_SECONDS, WORKERS

GRAPHS = Path(__file__).resolve().parent.parent / "graphs" / "chaos" / "langgraph.json"
READY_SECONDS = 60.0
QUICK = {"session.timeout.ms": "6000", "heartbeat.interval.ms": "500"}
_LEDGERS, _HOLD = "CHAOS_LEDGER", "hold"  # see the graph


@dataclass
class Life:
    """One process of a worker.

    :param killed_at: when it was told to end by SIGKILL; it may have died a moment later,
    :param died_at: but not after this.
    :param suspended: from when to when it stood still.
    :param memory: time and resident bytes.
    """

    worker: int
    pid: int
    child: Child
    started_at: float
    killed_at: float | None = None
    died_at: float | None = None
    suspended: list[tuple[float, float]] = field(default_factory=list)
    memory: list[tuple[float, int]] = field(default_factory=list)

    @property
    def is_ready(self) -> bool:
        return READY in self.child.output()


class Workers:
    """Workers of one group on one store.

    :param further: for each worker: environment variables of its own.
    :param begin_with: how many of them are started on entering; None for all.
    :param kafka_config: further librdkafka settings of all.
    :param manifest: of their graphs.
    """

    def __init__(
        self,
        broker: Broker,
        fleet: str,
        url: str,
        folder: Path,
        further: Sequence[Mapping[str, str]] = ({},) * WORKERS,
        begin_with: int | None = None,
        kafka_config: Mapping[str, Any] = QUICK,
        manifest: Path = GRAPHS,
    ) -> None:
        self._kafka_config = kafka_config
        self._manifest = manifest
        self.ledgers = folder / "ledgers"
        self.ledgers.mkdir(parents=True)
        self.lives: list[Life] = []
        self.deaths: list[str] = []
        """Processes that ended by themselves, which none should."""
        self._further = further
        self._begin_with = len(further) if begin_with is None else begin_with
        self._workers = [self._make(number, broker, fleet, url, folder) for number in range(len(further))]
        self._stop = threading.Event()
        self._sampler = threading.Thread(target=self._sample, name="memory", daemon=True)

    def _make(self, number: int, broker: Broker, fleet: str, url: str, folder: Path) -> Worker:
        settings = {
            "LANGGRAPH_WORKER_WORKER_ID": f"worker-{number}",
            "LANGGRAPH_WORKER_STORE_URL": url,
            "LANGGRAPH_WORKER_CONCURRENCY": str(CONCURRENCY),
            "LANGGRAPH_WORKER_PREFETCH": "8",
            "LANGGRAPH_WORKER_NODE_THREADS": str(CONCURRENCY),
            "LANGGRAPH_WORKER_LEASE_SECONDS": str(LEASE_SECONDS),
            "LANGGRAPH_WORKER_RENEW_SECONDS": str(RENEW_SECONDS),
            "LANGGRAPH_WORKER_CREATE_TOPICS": "false",
            "LANGGRAPH_WORKER_KEEP_CHECKPOINTS": "0",  # the judges read every checkpoint
            "KAFKA_CONFIG": json.dumps({**broker.consumer, **self._kafka_config}),
            _LEDGERS: str(self.ledgers),
            **self._further[number],
        }
        directory = folder / f"worker-{number}"
        directory.mkdir()
        return Worker(broker, self._manifest, directory, fleet=fleet, env=settings)

    def __enter__(self) -> Workers:
        for number in range(self._begin_with):  # on an empty database, all at once
            self.start(number)
        self.wait_ready()
        self._sampler.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for life in self.running():
            with contextlib.suppress(ProcessLookupError):
                os.kill(life.pid, signal.SIGCONT)
        for life in self.running():
            life.child.stop()

    def start(self, number: int) -> Life:
        child = self._workers[number].launch()
        life = Life(number, child.pid, child, time.time())
        self.lives.append(life)
        return life

    def running(self) -> list[Life]:
        return [life for life in self.lives if life.died_at is None]

    def process(self, number: int) -> Life:
        """The present process of a worker."""
        return next(life for life in reversed(self.lives) if life.worker == number)

    def kill(self, lives: Sequence[Life]) -> None:
        """SIGKILL, all at the same moment."""
        for life in lives:
            life.killed_at = time.time()
            with contextlib.suppress(ProcessLookupError):
                os.kill(life.pid, signal.SIGKILL)
        for life in lives:
            life.child.kill()
            life.died_at = time.time()

    @contextlib.contextmanager
    def suspended(self, life: Life) -> Iterator[None]:
        """SIGSTOP, and SIGCONT when this is left."""
        since = time.time()
        os.kill(life.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            until = time.time()  # before the signal: the process may be at work before this one goes on
            os.kill(life.pid, signal.SIGCONT)
            life.suspended.append((since, until))

    @contextlib.contextmanager
    def holding(self) -> Iterator[None]:
        """No run passes its first node, until this is left: so slots fill, however slow the machine is."""
        held = self.ledgers / _HOLD
        held.touch()
        try:
            yield
        finally:
            held.unlink()

    def restart(self, number: int) -> Life:
        """SIGTERM to a worker, and a new process of it once the old one has ended in order.

        :returns: the old one.
        """
        old = self.process(number)
        old.child.signal(signal.SIGTERM)
        code = old.child.wait(60)
        old.died_at = time.time()
        if code:
            self.deaths.append(f"worker-{number} ended with {code} after SIGTERM:\n{old.child.tail(12)}")
        self.start(number)
        self.wait_ready()
        return old

    def call(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the worker's command line, with the settings of the first one."""
        environment = self._workers[0].environment
        command = [sys.executable, "-m", "langgraph_worker", *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)

    def revive(self) -> None:
        """Start again what ended by itself, as a supervisor would, and remember that it did."""
        for life in self.running():
            status = life.child.returncode
            if status is None:
                continue
            life.child.kill()  # and excuse it
            life.died_at = life.killed_at = time.time()
            was = "ready" if life.is_ready else "still starting"
            self.deaths.append(f"worker-{life.worker} ({was}) ended with {status}:\n{life.child.tail(12)}")
            self.start(life.worker)

    def wait_ready(self) -> None:
        """Until every process consumes.

        :raises TimeoutError: with the last lines of one that does not.
        """
        end = time.monotonic() + READY_SECONDS
        while slow := [life for life in self.running() if not life.is_ready]:
            self.revive()
            if time.monotonic() > end:
                raise TimeoutError(f"worker-{slow[0].worker} is not ready:\n{slow[0].child.tail(30)}")
            time.sleep(0.2)

    def stop(self) -> list[int]:
        """SIGTERM to each; their exit codes."""
        self._stop.set()
        lives = self.running()
        for life in lives:
            life.child.signal(signal.SIGTERM)
        codes = []
        for life in lives:
            codes.append(life.child.wait(30))
            life.died_at = time.time()
        return codes

    def _sample(self) -> None:
        while not self._stop.wait(2.0):
            for life in self.running():
                with contextlib.suppress(psutil.Error):
                    life.memory.append((time.time(), psutil.Process(life.pid).memory_info().rss))
