"""Claims runs while slots are free, and runs many at once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Sequence
from typing import Any, Protocol
from uuid import UUID

from langgraph_worker.domain.models import Claim, Lease
from langgraph_worker.domain.pauses import PauseChange, holding
from langgraph_worker.errors import RowError, StoreError, unexpected
from langgraph_worker.execution.active_run import CANCEL_GRACE_SECONDS, ActiveRun
from langgraph_worker.execution.graph_shares import GraphShare, GraphShares
from langgraph_worker.execution.lease_keeper import LeaseKeeper
from langgraph_worker.execution.run_context import GivenBack, RunContext, Stop, about
from langgraph_worker.store.retrying import retry_store
from workflow_events.log_words import counted, short_id

logger = logging.getLogger(__name__)

_LOOK_EVERY_SECONDS = 1.0  # for runs that others gave up, and threads that became free elsewhere


class SlotObserver(Protocol):
    """What the executor reports its slots to: it decides how much may be taken in."""

    def claimed(self, runs: Collection[UUID]) -> None:
        """These requests were claimed."""

    def slots_in_use(self, count: int) -> None:
        """So many runs are active now."""

    def turn_ended(self, *, nothing_can_start: bool, open_graphs: Collection[str]) -> None:
        """A turn of claims is over.

        :param nothing_can_start: slots are free, and the store has no run for them.
        :param open_graphs: the graphs that have not used up their share of the slots.
        """


class Executor:
    """Owns the slots of one worker.

    :param keeper: not running yet; :meth:`keep_leases` runs it.
    """

    def __init__(
        self,
        context: RunContext,
        keeper: LeaseKeeper,
        shares: GraphShares,
        observer: SlotObserver,
    ) -> None:
        self._context = context
        self._keeper = keeper
        self._shares = shares
        self._observer = observer
        self._active: dict[Lease, ActiveRun] = {}
        self._pauses: Sequence[PauseChange] = ()
        self._wake = asyncio.Event()
        self._stopping = False
        self._claims_no_more = asyncio.Event()
        self._claims_no_more.set()
        self._crashed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def wake(self) -> None:
        """Look for runs now: the store has new requests."""
        self._wake.set()

    def set_pauses(self, pauses: Sequence[PauseChange]) -> None:
        """Let the runs that these pauses hold back stop. From now on the executor starts none of them."""
        has_ended = any(pause not in pauses for pause in self._pauses)
        self._pauses = pauses
        for active in self._active.values():
            if held := self._held_by(active.claim):
                active.pause(held)
        if has_ended:
            self.wake()

    def _held_by(self, claim: Claim) -> list[PauseChange]:
        return holding(self._pauses, claim.graph, claim.event.workflow_id)

    async def keep_leases(self) -> None:
        """Renew the leases of active runs until cancelled, and stop runs whose leases are lost."""
        await self._keeper.run(self._lose)

    async def run(self) -> None:
        """Claim and run until :meth:`drain`.

        :raises StoreError: the store fails for good, and not for one run only.
        """
        self._claims_no_more.clear()
        try:
            while not self._stopping:
                await self._claim()
                wake: asyncio.Future[Any] = asyncio.create_task(self._wake.wait())
                await asyncio.wait(
                    {wake, self._crashed}, timeout=_LOOK_EVERY_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
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
        await asyncio.wait({asyncio.ensure_future(self._claims_no_more.wait())}, timeout=CANCEL_GRACE_SECONDS)
        if self._active:
            runs = counted(len(self._active), "run")
            text = "%s may finish the step under way, for %g s at most"
            logger.info(text, runs, seconds, extra={"action": "drain"})
        for active in self._active.values():
            active.drain()
        await self._settled(seconds)
        for active in self._active.values():
            active.stop(Stop.RELEASED)
        await self._settled(CANCEL_GRACE_SECONDS)
        if self._active:
            logger.error(
                "%s cannot be cancelled: other workers continue when the leases end",
                counted(len(self._active), "run"),
                extra={"action": "drain"},
            )

    async def _settled(self, seconds: float) -> None:
        tasks = [active.settled for active in self._active.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)

    async def _claim(self) -> None:
        await self._keeper.renew_if_overdue()
        is_short = True
        for share in self._shares.next_turn():
            free = min(self._shares.slots - len(self._active), share.slots - self._running(share.graphs))
            if free > 0:
                is_short &= await self._claim_some(share.graphs, free) < free
            elif self._shares.slots <= len(self._active):
                is_short = False
        self._observer.turn_ended(nothing_can_start=is_short, open_graphs=self._open_graphs())

    def _open_graphs(self) -> set[str]:
        """The graphs whose runs wait for the worker's slots only, not for their graph's share of them."""
        return {name for share in self._shares if self._is_open(share) for name in share.graphs}

    def _is_open(self, share: GraphShare) -> bool:
        return share.slots >= self._shares.slots or self._running(share.graphs) < share.slots

    def _running(self, graphs: Collection[str]) -> int:
        return sum(active.claim.graph in graphs for active in self._active.values())

    async def _claim_some(self, graphs: Collection[str], limit: int) -> int:
        """Claim and start; how many were claimed."""
        context = self._context

        async def ask() -> tuple[float, list[Claim]]:
            # Before each try: counted from the first one, leases would be overdue after a store that was away for long.
            asked_at = self._keeper.time()
            return asked_at, await context.store.claim(context.worker_id, limit, graphs)

        asked_at, claims = await retry_store(ask, "claim runs")
        self._observer.claimed([claim.correlation_id for claim in claims])
        self._keeper.hold([claim.lease for claim in claims], asked_at)
        if any(map(self._held_by, claims)):
            # Claimed just before the pause, or just after its end: the store knows.
            self.set_pauses(await retry_store(context.store.pauses, "read what is paused"))
        # What is being stopped must have ended before it, or another, starts on its thread.
        taken = {active.claim.thread_id for active in self._active.values()}
        for claim in claims:
            context.metrics.started(claim)  # as the store counts it, also where it is given back at once
            if self._stopping:
                await self._give_back(claim, GivenBack.stopped(Stop.RELEASED))
            elif self._held_by(claim):
                await self._give_back(claim, GivenBack.paused(self._held_by(claim)))
            elif claim.thread_id in taken:
                await self._give_back(claim, GivenBack.stopped(Stop.NOT_YET, CANCEL_GRACE_SECONDS))
            else:
                self._start(claim)
        return len(claims)

    async def _give_back(self, claim: Claim, back: GivenBack) -> None:
        self._keeper.drop(claim.lease)
        await self._context.give_back(claim, back)

    def _start(self, claim: Claim) -> None:
        logger.info(
            "started: graph %s%s%s (request %s%s)",
            claim.graph,
            "" if claim.thread_name is None else f" on thread {claim.thread_name!r}",
            f", start {claim.attempts} of this request" if claim.attempts > 1 else "",
            short_id(claim.correlation_id),
            _releases(claim),
            extra=about(claim, "started")
            | {"attempt": claim.attempts, "release": claim.release, "thread_id": claim.thread_id},
        )
        active = self._active[claim.lease] = ActiveRun(self._context, claim)
        self._report_slots()
        active.settled.add_done_callback(lambda task: self._over(claim, task))

    def _over(self, claim: Claim, task: asyncio.Task[None]) -> None:
        self._keeper.drop(claim.lease)
        self._active.pop(claim.lease, None)
        self._report_slots()
        self._wake.set()
        error = None if task.cancelled() else task.exception()
        if error is None:
            return
        text = "the end of a run could not be stored: %s (graph %s, request %s)"
        request = short_id(claim.correlation_id)
        logger.error(text, error, claim.graph, request, extra=about(claim, "failed"), exc_info=unexpected(error))
        # One run ends no worker (rule 20). It waits for its lease's end, and a third takeover ends it.
        if isinstance(error, StoreError) and not isinstance(error, RowError) and not self._crashed.done():
            self._crashed.set_exception(error)

    def _report_slots(self) -> None:
        self._observer.slots_in_use(len(self._active))
        self._context.metrics.set_slots_in_use(len(self._active))

    def _lose(self, lease: Lease) -> None:
        active = self._active.get(lease)
        if active is not None:
            active.stop(Stop.LEASE_LOST)


def _releases(claim: Claim) -> str:
    """Which release runs this start, and which one began the run, if it is another."""
    if claim.release is None:
        return ""
    is_other = claim.begun_by not in (None, claim.release)
    return f", release {claim.release}" + (f"; release {claim.begun_by} began it" if is_other else "")
