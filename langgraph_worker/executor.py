"""Claims runs while slots are free, and runs many at once."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection
from typing import Any

from langgraph_worker.active import STUBBORN, ActiveRun, Place, Stop
from langgraph_worker.lease import LeaseKeeper
from langgraph_worker.patience import persist
from langgraph_worker.run import Runner
from langgraph_worker.settings import WorkerSettings
from langgraph_worker.store.port import Claim, Lease, RunStore
from langgraph_worker.threads import NodeThreads

logger = logging.getLogger(__name__)

_LOOK_EVERY = 1.0  # seconds: runs that others gave up, threads that became free elsewhere


class Executor:
    """Owns the slots of one worker.

    :param graphs: the names of the graphs it can run.
    :param nodes: where synchronous nodes run: the event loop's default executor.
    :param on_room: called when :meth:`room` may have changed.
    :param on_result: called when a result was stored.
    """

    def __init__(
        self,
        store: RunStore,
        runner: Runner,
        graphs: Collection[str],
        nodes: NodeThreads,
        settings: WorkerSettings,
        *,
        on_room: Callable[[], None],
        on_result: Callable[[], None],
    ) -> None:
        self._store = store
        self._worker_id = settings.worker_id
        self._place = Place(store, runner, nodes, settings.worker_id, settings.lease_seconds, on_result)
        self._concurrency = settings.concurrency
        self._prefetch = settings.prefetch
        limited = {name: most for name, most in settings.graph_concurrency.items() if name in graphs}
        self._shares = [(frozenset({name}), most) for name, most in sorted(limited.items())]
        if unlimited := frozenset(graphs) - limited.keys():
            self._shares.append((unlimited, self._concurrency))
        self._on_room = on_room
        self._active: dict[Lease, ActiveRun] = {}
        self._waiting = 0
        self._wake = asyncio.Event()
        self._stopping = False
        self._claims_no_more = asyncio.Event()
        self._claims_no_more.set()
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
        self._claims_no_more.clear()
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
        """Claim no more; let runs come to the end of their superstep, for so long; then cancel them. All are given back
        to the store.
        """
        self._stopping = True
        self._wake.set()
        await asyncio.wait({asyncio.ensure_future(self._claims_no_more.wait())}, timeout=STUBBORN)
        if self._active:
            logger.info("waiting for %d runs to stop between two steps", len(self._active), extra={"action": "drain"})
        for active in self._active.values():
            active.drain()
        await self._settled(seconds)
        for active in self._active.values():
            active.stop(Stop.RELEASED)
        await self._settled(STUBBORN)
        if self._active:
            logger.error(
                "%d runs do not let themselves be cancelled; their leases run out by themselves",
                len(self._active),
                extra={"action": "drain"},
            )

    async def _settled(self, seconds: float) -> None:
        tasks = [active.settled for active in self._active.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)

    async def _claim(self) -> None:
        await self.keeper.catch_up()
        is_short = True
        # Each in turn goes first, so that none takes every slot that becomes free.
        self._shares.append(self._shares.pop(0))
        for graphs, most in list(self._shares):
            free = min(self._concurrency - len(self._active), most - self._running(graphs))
            if free > 0:
                is_short &= await self._claim_some(graphs, free) < free
            elif self._concurrency <= len(self._active):
                is_short = False
        if is_short:
            # Nothing else can start now: what still waits, waits for its thread, its graph or its graph's share.
            self._waiting = 0

    def _running(self, graphs: Collection[str]) -> int:
        return sum(active.claim.graph in graphs for active in self._active.values())

    async def _claim_some(self, graphs: Collection[str], most: int) -> int:
        """Claim and start; how many were claimed."""
        asked_at = time.monotonic()
        claims = await persist(lambda: self._store.claim(self._worker_id, most, graphs), "claim runs")
        self._waiting = max(0, self._waiting - len(claims))
        self.keeper.hold([claim.lease for claim in claims], asked_at)
        # What is being stopped must have ended before it, or another, starts on its thread.
        taken = {active.claim.thread_id for active in self._active.values()}
        for claim in claims:
            if self._stopping:
                await self._give_back(claim, Stop.RELEASED)
            elif claim.thread_id in taken:
                await self._give_back(claim, Stop.NOT_YET, STUBBORN)
            else:
                self._start(claim)
        return len(claims)

    async def _give_back(self, claim: Claim, why: Stop, delay: float = 0.0) -> None:
        self.keeper.drop(claim.lease)
        await self._place.let_go(claim, why.value, delay)

    def _start(self, claim: Claim) -> None:
        logger.info(
            "started %s: graph %s on thread %s, start %d",
            claim.correlation_id,
            claim.graph,
            claim.thread_id,
            claim.attempts,
            extra={"action": "started", "correlation_id": str(claim.correlation_id), "graph": claim.graph},
        )
        active = self._active[claim.lease] = ActiveRun(self._place, claim)
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

    def _lose(self, lease: Lease) -> None:
        active = self._active.get(lease)
        if active is not None:
            active.stop(Stop.LEASE_LOST)
