"""Keeps the leases of active runs, and gives them up in time.

Three watch each other. A thread renews, however busy the event loop is. The loop gives up the runs whose renewals do
not come (the store is away, or holds the thread up) before another worker may take them. And the loop watch, a thread
too, ends the process when the loop hangs.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from langgraph_worker.domain.models import Lease
from langgraph_worker.errors import LeaseLostError, StoreError
from langgraph_worker.execution.held_leases import HeldLeases
from langgraph_worker.execution.loop_watch import LINE_SECONDS, LoopWatch, end_process, write_within
from langgraph_worker.execution.run_tasks import Turn, lease_of, turn_on
from langgraph_worker.settings.model import WorkerSettings
from langgraph_worker.store.port import RunStore

logger = logging.getLogger(__name__)

THREAD = "lease-keeper"
"""How the names of its threads begin."""

_MARGIN = 0.8  # of a lease: an owner that could not renew by then gives up before another may take over
_RETRY_SECONDS = 1.0  # after a renewal that failed
_LATE_RENEWAL_SECONDS = 1.0  # for a renewal when it is too late already
_BEATS_PER_LEASE = 30  # of the event loop
_SPARE, _SPARE_IF_OVERDUE = 0.5, 0.05  # of a lease: how long the store may take to spare runs before the process ends


@dataclass(frozen=True, slots=True)
class LeaseTiming:
    """See the settings of these names."""

    lease_seconds: float
    renew_seconds: float
    hang_seconds: float

    @classmethod
    def from_settings(cls, settings: WorkerSettings) -> LeaseTiming:
        """The timing that the settings choose."""
        return cls(settings.lease_seconds, settings.renew_seconds, settings.hang_seconds)


class LeaseKeeper:
    """Renews what its worker holds.

    :param on_hung: see :class:`~langgraph_worker.execution.loop_watch.LoopWatch`.
    :param now: seconds of a monotonic clock.
    """

    def __init__(
        self,
        store: RunStore,
        worker_id: str,
        timing: LeaseTiming,
        on_hung: Callable[[], None] = end_process,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._worker_id = worker_id
        self._renew_seconds = timing.renew_seconds
        self._beat_seconds = timing.lease_seconds / _BEATS_PER_LEASE
        self._standstill_seconds = timing.lease_seconds * (1 - _MARGIN)
        self._now = now
        self._held = HeldLeases(timing.lease_seconds * _MARGIN, now)
        self._on_hung = on_hung
        self._lease_seconds = timing.lease_seconds
        self._watch = LoopWatch(
            self._held,
            timing.lease_seconds,
            timing.hang_seconds,
            self._beat_seconds,
            self._hang,
            now,
            self._turn_on_loop,
        )
        self._one_at_a_time = threading.Lock()
        self._at_once = ThreadPoolExecutor(1, thread_name_prefix=f"{THREAD}-at-once")
        self._stop = threading.Event()
        self._hurry = threading.Event()
        self._beat_at = now()
        self._on_lost: Callable[[Lease], None]
        self._loop: asyncio.AbstractEventLoop
        self._loop_thread: int

    def time(self) -> float:
        """Seconds of the keeper's clock."""
        return self._now()

    def hold(self, leases: Collection[Lease], claimed_at: float) -> None:
        """Start renewing.

        :param claimed_at: :meth:`time` before the claim was sent.
        """
        self._held.hold(leases, claimed_at)

    def drop(self, lease: Lease) -> None:
        """Stop renewing: its run is over."""
        self._held.drop(lease)

    def hurry(self) -> None:
        """Renew now: runs were ended from outside, perhaps some of this worker. From any thread."""
        self._hurry.set()

    async def run(self, on_lost: Callable[[Lease], None]) -> None:
        """Renew until cancelled.

        :param on_lost: called in the event loop with each lease that is lost: its run must stop at once, and publish
            nothing.
        """
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._beat_at = self._now()
        keeper = threading.Thread(target=self._keep, name=THREAD, daemon=True)
        watch = threading.Thread(target=self._watch.run, args=(self._stop,), name=f"{THREAD}-watch", daemon=True)
        keeper.start()
        watch.start()
        try:
            while keeper.is_alive():
                await self.beat()
                await asyncio.sleep(self._beat_seconds)
            raise RuntimeError("the thread that keeps the leases has ended")
        finally:
            self._stop.set()
            self._hurry.set()
            self._at_once.shutdown(wait=False, cancel_futures=True)

    async def renew_if_overdue(self) -> None:
        """Renew at once if the process has stood still for so long that leases may have expired."""
        if self._held.overdue():
            await asyncio.get_running_loop().run_in_executor(self._at_once, self.renew)

    async def ensure_lease(self, lease: Lease) -> None:
        """Make sure, before a run goes on, that the process has not stood still for longer than its lease.

        :raises LeaseLostError: it has, and the store does not say that the lease is good.
        """
        if self._held.is_overdue(lease):
            await self.renew_if_overdue()
            if self._held.is_overdue(lease):
                raise LeaseLostError(f"{lease.thread_id}: not renewed for longer than a lease lasts")

    # ---- the event loop ----

    async def beat(self) -> None:
        """Give up the runs whose renewals did not come."""
        stood_still = self._now() - self._beat_at > self._standstill_seconds
        if stood_still and self._held.overdue():
            # Too late already. The store knows whether another worker has taken the threads meanwhile.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LATE_RENEWAL_SECONDS):
                    await self.renew_if_overdue()
        self._lose(self._held.overdue())
        self._watch.beat()
        self._beat_at = self._now()

    def _lose(self, leases: Collection[Lease]) -> None:
        for lease in leases:
            if self._held.drop(lease):
                self._on_lost(lease)

    # ---- any thread ----

    def renew(self) -> bool:
        """Ask the store; whether it answered."""
        with self._one_at_a_time:
            held = self._held.all()
            if not held or self._stop.is_set():
                return True
            asked_at = self._now()
            try:
                lost = self._store.renew(self._worker_id, held)
            except StoreError as error:
                if not self._stop.is_set():
                    logger.error("cannot renew leases: %s", error, extra={"action": "store_trouble"})
                return False
            self._held.renewed(held - lost, asked_at)
        if lost:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._lose, lost)
        return True

    # ---- the watching thread ----

    def _turn_on_loop(self) -> Turn | None:
        return turn_on(self._loop, self._loop_thread)

    def _hang(self) -> None:
        """Spare the runs that do not hang the loop, if it is known which one does; then end, whatever happened."""
        try:
            self._spare_neighbours()
        except Exception as error:  # noqa: BLE001 - the process would go on for ever, and renew its leases
            text = "the runs beside the one that blocks the loop are not spared: %r"
            write_within(LINE_SECONDS, partial(logger.error, text, error, extra={"action": "hung"}))
        self._on_hung()

    def _spare_neighbours(self) -> None:
        guilty = lease_of(self._watch.blocking_turn)
        write_within(LINE_SECONDS, lambda: _log_guilty(guilty))
        if guilty is None:
            return
        others = self._held.all() - {guilty}
        sparing = threading.Thread(target=self._spare, args=(others,), name=f"{THREAD}-spare", daemon=True)
        sparing.start()
        # While leases are renewed, nobody takes them over.
        sparing.join(self._lease_seconds * (_SPARE_IF_OVERDUE if self._held.overdue() else _SPARE))

    def _spare(self, leases: Collection[Lease]) -> None:
        try:
            self._store.spare(self._worker_id, leases)
        except StoreError as error:
            logger.error("cannot spare the other runs: %s", error, extra={"action": "store_trouble"})

    # ---- the keeping thread ----

    def _keep(self) -> None:
        pause_seconds = self._renew_seconds
        while True:
            self._hurry.wait(pause_seconds)
            self._hurry.clear()
            if self._stop.is_set():
                return
            pause_seconds = self._renew_seconds if self.renew() else min(_RETRY_SECONDS, self._renew_seconds / 2)


def _log_guilty(guilty: Lease | None) -> None:
    if guilty is None:
        logger.critical("it is not known which run blocks the loop, so each counts it", extra={"action": "hung"})
    else:
        logger.critical("a node on thread %s blocks the loop", guilty.thread_id, extra={"action": "hung"})
