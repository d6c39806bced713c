"""Does to the fleet what the plan says, one thing after the other, and keeps a record of it."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass

import psycopg

from devtools.broker import ChildBroker, require_ready
from devtools.errors import ChildDiedError
from devtools.system_postgres import SystemPostgres
from tests.chaos.fleet import Life, Workers
from tests.chaos.load import Load
from tests.chaos.plan import CONCURRENCY, WORKERS, Fault, Kind, Plan
from tests.chaos.sent_requests import SentRequest

_FULL = "SELECT correlation_id FROM threads WHERE until > now() AND held = token"
_FILL_SECONDS = 60.0
"""Seconds in which every slot is full at the latest, while no run passes its first node."""


@dataclass(frozen=True, slots=True)
class Window:
    """What was done, from when to when. A restart ends when the server answers again."""

    fault: Fault
    since: float
    until: float
    detail: str

    @property
    def is_outage(self) -> bool:
        """Whether no worker could do its work."""
        return self.fault.kind in (Kind.BROKER, Kind.STORE, Kind.ALL_DOWN)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was committed at a time when no worker lived."""

    at: float
    committed: dict[int, int]


class Faults:
    """:param committed: asks Kafka for the group's offsets.
    :param say: takes a line for people.
    """

    def __init__(
        self,
        plan: Plan,
        workers: Workers,
        broker: ChildBroker,
        store: SystemPostgres,
        url: str,
        committed: Callable[[], dict[int, int]],
        load: Load,
        say: Callable[[str], None],
    ) -> None:
        self._plan = plan
        self._workers = workers
        self._broker = broker
        self._store = store
        self._url = url
        self._committed = committed
        self._load = load
        self._say = say
        self.windows: list[Window] = []
        self.snapshots: list[Snapshot] = []
        self.cleared_while_full = 0
        self._do: dict[Kind, Callable[[Fault], str]] = {
            Kind.KILL: self._kill,
            Kind.SUSPEND: self._suspend,
            Kind.BROKER: self._restart_broker,
            Kind.STORE: self._restart_store,
            Kind.ALL_DOWN: self._all_down,
            Kind.CLEARS: self._clear,
        }

    def run(self) -> None:
        """All of them, as the plan has them.

        :raises BaseException: the fleet did not come back.
        """
        for fault in self._plan.faults():
            self._sleep(self._load.started_at + fault.at - time.monotonic())
            if fault.kind is not Kind.KILL:
                self._workers.wait_ready()
            since = time.time()
            detail = self._do[fault.kind](fault)
            self.windows.append(Window(fault, since, time.time(), detail))
            at = time.monotonic() - self._load.started_at
            self._say(f"{at:7.1f} s  {fault.kind.value}{', hard' if fault.hard else ''}: {detail}")
        self._workers.wait_ready()

    def _sleep(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._workers.revive()
            if not self._load.is_alive:
                self._load.join()
                raise RuntimeError("the load ended before the faults")
            time.sleep(min(0.2, left))

    def _kill(self, fault: Fault) -> str:
        life = self._workers.process(fault.worker)
        self._workers.kill([life])
        time.sleep(fault.seconds)
        self._workers.start(life.worker)
        return f"worker-{life.worker}, pid {life.pid}, down for {fault.seconds:.1f} s"

    def _suspend(self, fault: Fault) -> str:
        life = self._workers.process(fault.worker)
        self._load.order(lambda: self._load.burst(20))
        time.sleep(0.4)
        with self._workers.suspended(life):
            time.sleep(fault.seconds)
        return f"worker-{life.worker}, pid {life.pid}, for {fault.seconds:.1f} s"

    def _restart_broker(self, fault: Fault) -> str:
        (self._broker.kill if fault.hard else self._broker.stop)()
        time.sleep(fault.seconds)
        self._broker.child = self._broker.launch()
        require_ready(self._broker)
        return f"it stayed away for {fault.seconds:.1f} s and its start"

    def _restart_store(self, fault: Fault) -> str:
        (self._store.kill if fault.hard else self._store.stop)()
        time.sleep(fault.seconds)
        while True:
            try:
                self._store.start()
                self._store.wait_ready()
            except ChildDiedError as error:
                self._say(f"meanwhile: {error}")
                self._workers.revive()
            else:
                return f"it stayed away for {fault.seconds:.1f} s and its start"

    def _all_down(self, fault: Fault) -> str:
        """Cancels and newer attempts come for what ran, for what waits, and for what is asked only now."""
        self._load.order(lambda: self._load.burst(40))
        time.sleep(0.8)
        down_since = time.time()
        lives: list[Life] = self._workers.running()
        self._workers.kill(lives)
        left = self._load.open()
        tasks = [one for one in left if one.relation == "first" and one.newer is None and not one.cancelled_at]
        others = [one for one in left if one.relation == "plain" and not one.cancelled_at]
        cancelled: list[SentRequest] = []

        def strike() -> None:
            for one in [*others[:10], *tasks[:10], *self._load.burst(6)]:
                one.down_since = down_since
                self._load.cancel(one)
                cancelled.append(one)
            for number, one in enumerate(tasks[10:20]):
                self._load.supersede(one, is_clear=number % 2 == 1)
            self._load.flush()

        self._load.order(strike)
        self.snapshots.append(Snapshot(time.time(), self._committed()))
        time.sleep(fault.seconds)
        for life in lives:
            self._workers.start(life.worker)
        self._workers.wait_ready()
        return f"{len(cancelled)} cancels and {len(tasks[10:20])} newer attempts came"

    def _clear(self, fault: Fault) -> str:
        with self._workers.holding():
            running = self._fill()
            found = [one for one in running if one.is_newest_attempt and not one.cancelled_at][:15]
            self._load.order(functools.partial(self._load.clear, found))
        self.cleared_while_full += len(found)
        return f"{len(found)} clears met {len(running)} running requests"

    def _fill(self) -> list[SentRequest]:
        """Ask so much at once that every slot is full; what runs then. Empty if that did not come to pass."""
        slots = WORKERS * CONCURRENCY
        self._load.order(lambda: self._load.burst(2 * slots))
        known = {one.id: one for one in self._load.open()}
        end = time.monotonic() + _FILL_SECONDS
        with psycopg.connect(self._url, autocommit=True) as connection:
            while time.monotonic() < end:
                ids = [request_id for (request_id,) in connection.execute(_FULL)]
                if len(ids) >= slots:
                    return [known[request_id] for request_id in ids if request_id in known]
                time.sleep(0.02)
        return []
