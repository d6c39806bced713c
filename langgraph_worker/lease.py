"""Keeping the leases of running runs, in a thread of their own, and giving them up in time.

Three watch each other. One thread renews, however busy the event loop is. The loop gives up the runs whose renewals do
not come (the store is away, or holds the thread up) before anybody else may take them. And another thread ends the
process when the loop hangs: it runs nothing then, ends nothing and hears of no lost lease, so its leases must not hold
for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor

from langgraph_worker.errors import LeaseLostError, StoreError
from langgraph_worker.store.port import Lease, RunStore

logger = logging.getLogger(__name__)

THREAD = "lease-keeper"
"""How the names of its threads begin."""

_MARGIN = 0.8  # of the lease: an owner that could not renew by then gives up before another may take over
_RETRY = 1.0  # seconds after a renewal that failed
_LATE = 1.0  # seconds for a renewal that comes after its time anyhow
_BEATS = 30  # of the loop's heart, in the time of a lease
_SILENT = 0.1  # of the lease: a loop that does not give up an overdue run for so long cannot
_HUNG = 70  # exit code: EX_SOFTWARE


def end_process() -> None:
    """Leave at once, and tell what every thread was doing: the loop's shows the node that blocks it."""
    faulthandler.dump_traceback(sys.__stderr__ or 2, all_threads=True)
    logging.shutdown()
    os._exit(_HUNG)


class LeaseKeeper:
    """Renews what its worker holds.

    :param lease_seconds, renew_seconds: see the settings.
    :param on_lost: called in the event loop with each lease that is lost: its run must stop at once, and publish
        nothing.
    :param hang_seconds: see the settings.
    :param on_hung: called in a thread when the event loop has stood still, while the process was running, for
        ``hang_seconds``, or for a tenth of a lease with a run to give up.
    """

    def __init__(
        self,
        store: RunStore,
        worker_id: str,
        lease_seconds: float,
        renew_seconds: float,
        hang_seconds: float,
        on_lost: Callable[[Lease], None],
        on_hung: Callable[[], None] = end_process,
    ) -> None:
        self._store = store
        self._worker_id = worker_id
        self._lease = lease_seconds
        self._every = renew_seconds
        self._longest_silence = hang_seconds
        self._beat_every = lease_seconds / _BEATS
        self._on_lost = on_lost
        self._on_hung = on_hung
        self._guard = threading.Lock()
        self._renewed: dict[Lease, float] = {}
        self._one_at_a_time = threading.Lock()
        self._at_once = ThreadPoolExecutor(1, thread_name_prefix=f"{THREAD}-at-once")
        self._stop = threading.Event()
        self._hurry = threading.Event()
        self._beats = 0
        self._loop: asyncio.AbstractEventLoop

    def hold(self, leases: Collection[Lease], claimed_at: float) -> None:
        """Start renewing.

        :param claimed_at: ``time.monotonic()`` before the claim was sent.
        """
        with self._guard:
            self._renewed.update(dict.fromkeys(leases, claimed_at))

    def drop(self, lease: Lease) -> None:
        """Stop renewing: its run is over."""
        with self._guard:
            self._renewed.pop(lease, None)

    def hurry(self) -> None:
        """Renew now: some runs were ended from outside, perhaps of this worker. From any thread."""
        self._hurry.set()

    async def run(self) -> None:
        """Renew until cancelled."""
        self._loop = asyncio.get_running_loop()
        keeper = threading.Thread(target=self._keep, name=THREAD, daemon=True)
        watch = threading.Thread(target=self._watch, name=f"{THREAD}-watch", daemon=True)
        keeper.start()
        watch.start()
        try:
            await self._beat(keeper)
        finally:
            self._stop.set()
            self._hurry.set()
            self._at_once.shutdown(wait=False, cancel_futures=True)

    async def catch_up(self) -> None:
        """Renew at once if the process has stood still for so long that leases may have run out."""
        if self._overdue():
            await self._loop.run_in_executor(self._at_once, self._renew)

    async def ensure(self, lease: Lease) -> None:
        """Make sure, before a run goes on, that the process has not stood still for longer than its lease.

        :raises LeaseLostError: it has, and the store does not say that the lease is good.
        """
        if self._is_overdue(lease):
            await self.catch_up()
            if self._is_overdue(lease):
                raise LeaseLostError(f"{lease.thread_id}: not renewed for longer than a lease lasts")

    # ---- the event loop ----

    async def _beat(self, keeper: threading.Thread) -> None:
        beat_at = time.monotonic()
        while keeper.is_alive():
            stood_still = time.monotonic() - beat_at > self._lease * (1 - _MARGIN)
            if stood_still and self._overdue():
                # Too late already. Whether anybody has taken its threads meanwhile, the store knows.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LATE):
                        await self.catch_up()
            self._lose(self._overdue())
            self._beats += 1
            beat_at = time.monotonic()
            await asyncio.sleep(self._beat_every)
        raise RuntimeError("the thread that keeps the leases has ended")

    def _lose(self, leases: Collection[Lease]) -> None:
        for lease in leases:
            with self._guard:
                held = self._renewed.pop(lease, None) is not None
            if held:
                self._on_lost(lease)

    # ---- any thread ----

    def _overdue(self) -> set[Lease]:
        with self._guard:
            held = list(self._renewed)
        return {lease for lease in held if self._is_overdue(lease)}

    def _is_overdue(self, lease: Lease) -> bool:
        renewed_at = self._renewed.get(lease)
        return renewed_at is not None and renewed_at <= time.monotonic() - self._lease * _MARGIN

    def _renew(self) -> bool:
        """Ask the store; whether it answered."""
        with self._one_at_a_time:
            with self._guard:
                held = frozenset(self._renewed)
            if not held or self._stop.is_set():
                return True
            asked_at = time.monotonic()
            try:
                lost = self._store.renew(self._worker_id, held)
            except StoreError as error:
                if not self._stop.is_set():
                    logger.error("cannot renew leases: %s", error, extra={"action": "store_trouble"})
                return False
            with self._guard:
                self._renewed.update((lease, asked_at) for lease in held - lost if lease in self._renewed)
        if lost:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._lose, lost)
        return True

    # ---- threads of its own ----

    def _keep(self) -> None:
        pause = self._every
        while True:
            self._hurry.wait(pause)
            self._hurry.clear()
            if self._stop.is_set():
                return
            pause = self._every if self._renew() else min(_RETRY, self._every / 2)

    def _watch(self) -> None:
        beats, silent, looked_at = self._beats, 0.0, time.monotonic()
        while not self._stop.wait(self._beat_every):
            now = time.monotonic()
            # What passed while the whole process stood still does not count: nobody could have beaten.
            silent += min(now - looked_at, 2 * self._beat_every)
            looked_at = now
            if self._beats != beats:
                beats, silent = self._beats, 0.0
            elif silent >= self._longest_silence or (silent >= self._lease * _SILENT and self._overdue()):
                logger.critical(
                    "the event loop has stood still for %.1f s, so this process ends and others take its runs over: a "
                    "node blocks it (a synchronous call in an async node?); see what the threads were doing",
                    silent,
                    extra={"action": "hung"},
                )
                self._on_hung()
                silent = 0.0
