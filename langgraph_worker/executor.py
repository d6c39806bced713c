"""Claims runs while slots are free, runs many at once, and stores how each ended."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from langgraph_worker.errors import StoreError
from langgraph_worker.lease import LeaseKeeper
from langgraph_worker.outcome import Outcome, Reporter
from langgraph_worker.patience import persist
from langgraph_worker.run import Runner
from langgraph_worker.settings import WorkerSettings
from langgraph_worker.store.port import Claim, Lease, RunStore

logger = logging.getLogger(__name__)

_LOOK_EVERY = 1.0  # seconds: runs that others gave up, threads that became free elsewhere
_BACK_OFF = 5.0  # seconds, of a run whose checkpoints cannot be read or written
_STUBBORN = 5.0  # seconds that a cancelled run gets to end


class _Stop(Enum):
    """Why a run is being cancelled by this worker."""

    LEASE_LOST = "its lease is lost"
    RELEASED = "the worker stops"


@dataclass(slots=True)
class _Active:
    claim: Claim
    graph: asyncio.Task[Outcome]
    settled: asyncio.Task[None] | None = None
    stop: _Stop | None = None


class Executor:
    """Owns the slots of one worker.

    :param graphs: the names of the graphs it can run.
    :param on_room: called when :meth:`room` may have changed.
    :param on_result: called when a result was stored.
    """

    def __init__(
        self,
        store: RunStore,
        runner: Runner,
        graphs: Collection[str],
        settings: WorkerSettings,
        *,
        on_room: Callable[[], None],
        on_result: Callable[[], None],
    ) -> None:
        self._store = store
        self._runner = runner
        self._graphs = frozenset(graphs)
        self._worker_id = settings.worker_id
        self._concurrency = settings.concurrency
        self._prefetch = settings.prefetch
        self._on_room = on_room
        self._on_result = on_result
        self._active: dict[Lease, _Active] = {}
        self._waiting = 0
        self._wake = asyncio.Event()
        self._stopping = False
        self._claims_no_more = asyncio.Event()
        self._crashed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.keeper = LeaseKeeper(
            store,
            settings.worker_id,
            settings.lease_seconds,
            settings.renew_seconds,
            settings.hang_seconds,
            self._lose,
        )

    def room(self) -> int:
        """How many more requests may be taken in."""
        return max(0, self._concurrency + self._prefetch - len(self._active) - self._waiting)

    def accepted(self, count: int) -> None:
        """So many new requests wait in the store."""
        self._waiting += count
        self._wake.set()

    async def run(self) -> None:
        """Claim and run until :meth:`drain`.

        :raises BaseException: whatever went wrong in the worker's own handling of a run.
        """
        try:
            while not self._stopping:
                await self._claim()
                self._on_room()
                wake: asyncio.Future[Any] = asyncio.create_task(self._wake.wait())
                await asyncio.wait({wake, self._crashed}, timeout=_LOOK_EVERY, return_when=asyncio.FIRST_COMPLETED)
                wake.cancel()
                self._wake.clear()
                if self._crashed.done():
                    self._crashed.result()
        finally:
            self._claims_no_more.set()

    async def drain(self, seconds: float) -> None:
        """Claim no more; let runs finish for so long, then cancel them and give them back to the store."""
        self._stopping = True
        self._wake.set()
        await asyncio.wait({asyncio.ensure_future(self._claims_no_more.wait())}, timeout=_STUBBORN)
        if self._active:
            logger.info("waiting for %d runs to finish", len(self._active), extra={"action": "drain"})
            await self._settled(seconds)
        for active in self._active.values():
            self._cancel(active, _Stop.RELEASED)
        await self._settled(_STUBBORN)
        if self._active:
            logger.error(
                "%d runs do not let themselves be cancelled; their leases run out by themselves",
                len(self._active),
                extra={"action": "drain"},
            )

    async def _settled(self, seconds: float) -> None:
        tasks = [active.settled for active in self._active.values() if active.settled is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)

    async def _claim(self) -> None:
        await self.keeper.catch_up()
        free = self._concurrency - len(self._active)
        if free <= 0 or any(active.stop is not None for active in self._active.values()):
            return  # what is being stopped must have ended before it, or another, starts on its thread
        asked_at = time.monotonic()
        claims = await persist(lambda: self._store.claim(self._worker_id, free, self._graphs), "claim runs")
        # A short answer means that nothing else can start now: what still waits, waits for its thread or its graph.
        self._waiting = max(0, self._waiting - len(claims)) if len(claims) == free else 0
        self.keeper.hold([claim.lease for claim in claims], asked_at)
        for claim in claims:
            if self._stopping:
                self.keeper.drop(claim.lease)
                await self._let_go(claim, _Stop.RELEASED.value)
            else:
                self._start(claim)

    def _start(self, claim: Claim) -> None:
        logger.info(
            "started %s: graph %s on thread %s, start %d",
            claim.correlation_id,
            claim.graph,
            claim.thread_id,
            claim.attempts,
            extra={"action": "started", "correlation_id": str(claim.correlation_id), "graph": claim.graph},
        )
        graph = asyncio.create_task(self._runner.run(claim), name=f"run-{claim.correlation_id}")
        active = self._active[claim.lease] = _Active(claim, graph)
        active.settled = asyncio.create_task(self._settle(active), name=f"settle-{claim.correlation_id}")
        active.settled.add_done_callback(lambda task: self._over(claim.lease, task))

    def _over(self, lease: Lease, task: asyncio.Task[None]) -> None:
        self.keeper.drop(lease)
        self._active.pop(lease, None)
        self._wake.set()
        error = None if task.cancelled() else task.exception()
        if error is None:
            return
        logger.error("a run could not be stored: %s", error, extra={"action": "failed"}, exc_info=error)
        if not self._crashed.done():
            self._crashed.set_exception(error)

    async def _settle(self, active: _Active) -> None:
        """Wait for the graph's end, then store it. Never cancelled itself: a half-written end would be lost."""
        claim, started_at = active.claim, datetime.now(UTC)
        await asyncio.wait({active.graph})
        if not active.graph.cancelled():
            if isinstance(trouble := active.graph.exception(), StoreError):
                # Not at once: what no waiting helps would fail again and again.
                await self._let_go(claim, str(trouble), _BACK_OFF)
                return
            outcome = active.graph.result()
        elif active.stop is None:
            # The graph raised it, or cancelled its own task; nobody asked for it.
            error = asyncio.CancelledError("the graph cancelled itself")
            outcome = Reporter(claim, self._worker_id, started_at).raised(error, None, datetime.now(UTC))
        else:
            await self._let_go(claim, active.stop.value)
            return
        kept = await persist(lambda: self._store.finish(claim, outcome.result, outcome.failure), "store a result")
        if kept:
            self._on_result()
        self._log_end(claim, outcome, started_at, kept)

    async def _let_go(self, claim: Claim, why: str, delay: float = 0.0) -> None:
        await persist(lambda: self._store.release(claim, delay), "release a run")  # a lost one only lets its thread go
        logger.warning(
            "stopped %s before its end: %s",
            claim.correlation_id,
            why,
            extra={"action": "stopped", "correlation_id": str(claim.correlation_id), "graph": claim.graph},
        )

    def _log_end(self, claim: Claim, outcome: Outcome, started_at: datetime, kept: bool) -> None:
        result = outcome.result
        seconds = (datetime.now(UTC) - started_at).total_seconds()
        logger.log(
            logging.INFO if result.error is None else logging.ERROR,
            "%s %s: graph %s, %s in %.3f s%s",
            "finished" if kept else "discarded, as the run has ended otherwise:",
            claim.correlation_id,
            claim.graph,
            result.status.value,
            seconds,
            f": {result.error}" if result.error else "",
            extra={
                "action": "finished" if kept else "discarded",
                "correlation_id": str(claim.correlation_id),
                "graph": claim.graph,
                "status": result.status.value,
                "duration": seconds,
            },
        )
        if outcome.failure is not None and outcome.failure.traceback:
            logger.debug("%s", outcome.failure.traceback, extra={"action": "traceback"})

    def _lose(self, lease: Lease) -> None:
        active = self._active.get(lease)
        if active is not None:
            self._cancel(active, _Stop.LEASE_LOST)

    @staticmethod
    def _cancel(active: _Active, stop: _Stop) -> None:
        # A graph that has just ended still gets stored: the store judges whether its lease is good.
        if not active.graph.done():
            active.stop = stop
            active.graph.cancel(stop.value)
