"""One run under way on this worker: stopped when it must, and stored when it has ended."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum

from langgraph.errors import GraphDrained
from langgraph.runtime import RunControl

from langgraph_worker.errors import StoreError
from langgraph_worker.outcome import Outcome, Reporter
from langgraph_worker.patience import persist
from langgraph_worker.run import Runner
from langgraph_worker.store.port import Claim, RunStore
from langgraph_worker.threads import NodeThreads, running

logger = logging.getLogger(__name__)

STUBBORN = 5.0
"""Seconds that a run gets to end when it was told to."""
_BACK_OFF = 5.0  # seconds, of a run whose checkpoints cannot be read or written


class Stop(Enum):
    """Why a run is being stopped by this worker."""

    LEASE_LOST = "ended from outside, or taken over"
    RELEASED = "the worker stops"
    NOT_YET = "an earlier run on its thread has not stopped yet"


@dataclass(frozen=True, slots=True)
class Place:
    """Where runs run.

    :param nodes: where synchronous nodes do: the event loop's default executor.
    :param on_result: called when a result was stored.
    """

    store: RunStore
    runner: Runner
    nodes: NodeThreads
    worker_id: str
    lease_seconds: float
    on_result: Callable[[], None]

    async def let_go(self, claim: Claim, why: str, delay: float = 0.0) -> None:
        """Give a run back; one whose lease is lost only lets its thread go."""
        await persist(lambda: self.store.release(claim, delay), "release a run")
        logger.warning(
            "stopped %s before its end: %s",
            claim.correlation_id,
            why,
            extra={"action": "stopped", "correlation_id": str(claim.correlation_id), "graph": claim.graph},
        )


class ActiveRun:
    """Runs from when it is made.

    :ivar settled: done when nothing is left to do for it. An exception is the worker's own.
    """

    def __init__(self, place: Place, claim: Claim) -> None:
        self.claim = claim
        self._place = place
        self._stop: Stop | None = None
        self._started_at = datetime.now(UTC)
        self._control = RunControl()
        context = contextvars.copy_context()
        context.run(running.set, claim.lease)
        work = place.runner.run(claim, self._control)
        self._graph = asyncio.create_task(work, name=f"run-{claim.correlation_id}", context=context)
        self.settled = asyncio.create_task(self._settle(), name=f"settle-{claim.correlation_id}")

    def drain(self) -> None:
        """Let it stop at the end of its superstep."""
        self._control.request_drain(Stop.RELEASED.value)

    def stop(self, why: Stop) -> None:
        """Cancel it. A graph that has just ended still gets stored: the store judges whether its lease is good."""
        if not self._graph.done():
            self._stop = why
            self._graph.cancel(why.value)

    async def _settle(self) -> None:
        """Wait for the graph's end, then store it. Never cancelled itself: a half-written end would be lost."""
        outcome = await self._outcome()
        if outcome is None:
            return
        place, claim = self._place, self.claim
        kept = await persist(lambda: place.store.finish(claim, outcome.result, outcome.failure), "store a result")
        if kept:
            place.on_result()
        self._log_end(outcome, kept)
        await asyncio.wait({self._graph})  # a node that does not end keeps its slot: there is no room for another run

    async def _outcome(self) -> Outcome | None:
        """How it ended; None if it was given back instead."""
        place, claim = self._place, self.claim
        reporter = Reporter(claim, place.worker_id, self._started_at)
        if not await self._ends_in_time():
            logger.error(
                "%s does not end at its deadline: a node keeps its cancellation to itself",
                claim.correlation_id,
                extra=self._about("stubborn"),
            )
            return reporter.past_deadline(datetime.now(UTC))
        if self._graph.cancelled():
            if self._stop is None:
                # The graph raised it, or cancelled its own task; nobody asked for it.
                return reporter.raised(asyncio.CancelledError("the graph cancelled itself"), None, datetime.now(UTC))
            await self._leave_threads(self._stop)
            await place.let_go(claim, self._stop.value)
            return None
        match self._graph.exception():
            case StoreError() as trouble:
                # Not at once: what no waiting helps would fail again and again.
                await place.let_go(claim, str(trouble), _BACK_OFF)
                return None
            case GraphDrained():
                await place.let_go(claim, Stop.RELEASED.value)
                return None
        return self._graph.result()

    async def _ends_in_time(self) -> bool:
        """Wait for the graph's end, but not for a node that outlives the deadline."""
        deadline = self.claim.event.deadline
        left = None if deadline is None else max(0.0, (deadline - datetime.now(UTC)).total_seconds()) + STUBBORN
        await asyncio.wait({self._graph}, timeout=left)
        if self._stop is not None:
            await asyncio.wait({self._graph})  # it was ended from outside, and needs no answer
        return self._graph.done()

    async def _leave_threads(self, why: Stop) -> None:
        """Hold the thread while a synchronous node is still at work: whoever comes next would run it beside itself."""
        seconds = STUBBORN / 2 if why is Stop.RELEASED else self._place.lease_seconds
        if not await self._place.nodes.leave(self.claim.lease, seconds):
            logger.warning(
                "a synchronous node of %s goes on in its thread, and what it gives will be ignored",
                self.claim.correlation_id,
                extra=self._about("left_behind"),
            )

    def _log_end(self, outcome: Outcome, kept: bool) -> None:
        result = outcome.result
        seconds = (datetime.now(UTC) - self._started_at).total_seconds()
        logger.log(
            logging.INFO if result.error is None else logging.ERROR,
            "%s %s: graph %s, %s in %.3f s%s",
            "finished" if kept else "discarded, as the run has ended otherwise:",
            self.claim.correlation_id,
            self.claim.graph,
            result.status.value,
            seconds,
            f": {result.error}" if result.error else "",
            extra=self._about("finished" if kept else "discarded")
            | {"status": result.status.value, "duration": seconds},
        )
        if outcome.failure is not None and outcome.failure.traceback:
            logger.debug("%s", outcome.failure.traceback, extra={"action": "traceback"})

    def _about(self, action: str) -> dict[str, object]:
        return {"action": action, "correlation_id": str(self.claim.correlation_id), "graph": self.claim.graph}
