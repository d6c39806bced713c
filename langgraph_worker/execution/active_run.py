"""One run under way on this worker: stopped when it must, and stored when it has ended."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum

from langgraph.errors import GraphDrained
from langgraph.runtime import RunControl

from langgraph_worker.domain.models import Claim
from langgraph_worker.domain.results import Outcome, Reporter
from langgraph_worker.errors import RowError, StoreError
from langgraph_worker.execution.exception_rules import can_retry_help
from langgraph_worker.execution.node_threads import NodeThreads, running
from langgraph_worker.execution.release_policy import StartOverError
from langgraph_worker.execution.runner import Runner
from langgraph_worker.execution.time_limit import TimeLimit
from langgraph_worker.store.port import RunStore
from langgraph_worker.store.retrying import retry_store
from workflow_events.log_words import in_seconds, short_id
from workflow_events.results import ResultStatus

logger = logging.getLogger(__name__)

CANCEL_GRACE_SECONDS = 5.0
"""How long a run that was cancelled, or is past its deadline, may take to end."""
_END_WORDS = {
    ResultStatus.SUCCESS: "finished",
    ResultStatus.INTERRUPTED: "asks a person",
    ResultStatus.FAILURE: "failed",
    ResultStatus.ERROR: "cannot run",
    ResultStatus.TIMEOUT: "timed out",
    ResultStatus.CANCELLED: "cancelled",
}
_STORE_TROUBLE_DELAY_SECONDS = 5.0  # for a run whose checkpoints cannot be read or written


class Stop(Enum):
    """Why a run is being stopped by this worker."""

    LEASE_LOST = "ended from outside, or taken over"
    RELEASED = "the worker stops; the run continues from its last checkpoint"
    NOT_YET = "an earlier run on its thread has not stopped yet"


@dataclass(frozen=True, slots=True)
class RunContext:
    """What the runs of one worker share.

    :param nodes: the threads of synchronous nodes: the event loop's default executor.
    :param on_result: called when a result was stored.
    """

    store: RunStore
    runner: Runner
    nodes: NodeThreads
    worker_id: str
    lease_seconds: float
    on_result: Callable[[], None]

    async def give_back(self, claim: Claim, reason: str, delay: float = 0.0, *, keep_thread: bool = False) -> None:
        """Give a run back; one whose lease is lost only lets its thread go."""
        await retry_store(lambda: self.store.release(claim, delay, keep_thread=keep_thread), "release a run")
        logger.warning(
            "stopped before its end: %s (graph %s, request %s)",
            reason,
            claim.graph,
            short_id(claim.correlation_id),
            extra={"action": "stopped", "correlation_id": str(claim.correlation_id), "graph": claim.graph},
        )

    async def start_over(self, claim: Claim, reason: str) -> None:
        """Give a run back that starts from its input when it is claimed next."""
        await retry_store(lambda: self.store.start_over(claim), "let a run start over")
        logger.warning(
            "starts over: %s (graph %s, request %s)",
            reason,
            claim.graph,
            short_id(claim.correlation_id),
            extra={"action": "starts_over", "correlation_id": str(claim.correlation_id), "graph": claim.graph},
        )


@dataclass(slots=True)
class _Stops:
    """The worker's stops of a run.

    :ivar reasons: of all of them.
    :ivar cut_short: the reason for which the graph was last cancelled; None if it had ended before every stop.
    """

    reasons: set[Stop] = field(default_factory=set)
    cut_short: Stop | None = None

    @property
    def worker_stops(self) -> bool:
        """Whether the worker itself is about to end."""
        return Stop.RELEASED in self.reasons


@dataclass(frozen=True, slots=True)
class _GivenBack:
    """A run that did not end here: the store gets it back."""

    reason: str
    delay_seconds: float = 0.0
    starts_over: bool = False


class ActiveRun:
    """A run that has been started: creating it starts the graph.

    :ivar settled: done when the run's end is stored, or the run is given back, and its thread is let go. Its exception
        is the worker's own fault.
    """

    def __init__(self, context: RunContext, claim: Claim) -> None:
        self.claim = claim
        self._context = context
        self._stops = _Stops()
        self._started_at = datetime.now(UTC)
        deadline = claim.event.deadline
        left = None if deadline is None else max(0.0, (deadline - self._started_at).total_seconds())
        self._limit = TimeLimit(None if left is None else left + CANCEL_GRACE_SECONDS)
        self._reporter = Reporter(claim, context.worker_id, self._started_at)
        self._control = RunControl()
        variables = contextvars.copy_context()
        variables.run(running.set, claim.lease)
        work = context.runner.run(claim, self._control)
        self._graph = asyncio.create_task(work, name=f"run-{claim.correlation_id}", context=variables)
        self.settled = asyncio.create_task(self._settle(), name=f"settle-{claim.correlation_id}")

    def drain(self) -> None:
        """Let it stop at the end of its superstep."""
        self._control.request_drain(Stop.RELEASED.value)

    def stop(self, why: Stop) -> None:
        """Cancel it. A graph that has just ended is still stored: the store judges whether the lease is good."""
        self._stops.reasons.add(why)
        self._limit.shorten(CANCEL_GRACE_SECONDS / 2 if self._stops.worker_stops else self._context.lease_seconds)
        if not self._graph.done():
            self._stops.cut_short = why
            self._graph.cancel(why.value)

    async def _settle(self) -> None:
        """Wait for the graph's end, then store it. Never cancelled itself: a half-written end would be lost."""
        await self._limit.wait(self._come_to_rest())
        is_at_work = not self._is_at_rest()
        end = self._end()
        if isinstance(end, _GivenBack) and end.starts_over:
            await self._context.start_over(self.claim, end.reason)
        elif isinstance(end, _GivenBack):
            await self._context.give_back(self.claim, end.reason, end.delay_seconds, keep_thread=is_at_work)
        else:
            await self._store_end(end, keep_thread=is_at_work)
        if is_at_work:
            await self._let_thread_go()

    async def _come_to_rest(self) -> None:
        """Wait for the graph and, unless it came to its own end, for the synchronous nodes that it left at work.

        LangGraph does not wait for those when a node beside them fails. Whoever runs the graph next starts them again.
        """
        await self._graph_end()
        if self._is_at_rest() or self._has_own_end():
            return
        logger.info(
            "the run is over, but a synchronous node of it is still at work; its result waits for that (request %s)",
            short_id(self.claim.correlation_id),
            extra=self._about("waits_for_node"),
        )
        await self._rest()

    async def _graph_end(self) -> None:
        await asyncio.wait({self._graph})

    def _is_at_rest(self) -> bool:
        return self._graph.done() and self._context.nodes.is_idle(self.claim.lease)

    def _has_own_end(self) -> bool:
        """Whether the graph has finished or asks a question: no other run will start its nodes again."""
        if self._graph.cancelled() or self._graph.exception() is not None:
            return False
        return self._graph.result().result.status in (ResultStatus.SUCCESS, ResultStatus.INTERRUPTED)

    def _end(self) -> Outcome | _GivenBack:
        """How it ended."""
        reporter = self._reporter
        why = self._stops.cut_short
        if why is not None and (not self._graph.done() or self._graph.cancelled()):
            return _GivenBack(why.value)
        if not self._graph.done():
            logger.error(
                "a run does not end at its deadline: a node suppresses its cancellation (graph %s, request %s)",
                self.claim.graph,
                short_id(self.claim.correlation_id),
                extra=self._about("stubborn"),
            )
            return reporter.past_deadline(datetime.now(UTC))
        if self._graph.cancelled():
            # The graph raised it, or cancelled its own task; the worker did not ask for it.
            error = asyncio.CancelledError("the graph cancelled itself")
            return reporter.raised(error, None, datetime.now(UTC), retriable=can_retry_help(error))
        match self._graph.exception():
            case RowError() as refusal:
                return reporter.not_storable(refusal, datetime.now(UTC))
            case StoreError() as trouble:
                # Not at once: if waiting does not help, it would fail again and again.
                return _GivenBack(str(trouble), _STORE_TROUBLE_DELAY_SECONDS)
            case StartOverError() as reason:
                return _GivenBack(str(reason), starts_over=True)
            case GraphDrained():
                return _GivenBack(Stop.RELEASED.value)
        return self._graph.result()

    async def _store_end(self, outcome: Outcome, *, keep_thread: bool) -> None:
        try:
            kept = await self._keep(outcome, keep_thread)
        except RowError as error:
            outcome = self._reporter.not_storable(error, datetime.now(UTC))
            kept = await self._keep(outcome, keep_thread)
        if kept:
            self._context.on_result()
        self._log_end(outcome, kept)

    async def _keep(self, outcome: Outcome, keep_thread: bool) -> bool:
        """Store its end; False if it has ended otherwise.

        :raises RowError: the store cannot keep this end.
        """
        store, claim = self._context.store, self.claim
        return await retry_store(
            lambda: store.finish(claim, outcome.result, outcome.failure, keep_thread=keep_thread), "store a result"
        )

    async def _let_thread_go(self) -> None:
        """The run is over, but a node of it is at work: hold its thread until it is not, for one lease at most."""
        if not self._stops.reasons:
            self._limit.restart(self._context.lease_seconds)
        if await self._limit.wait(self._rest()):
            # It has ended in the store, so this only frees its thread.
            await retry_store(lambda: self._context.store.release(self.claim), "free a thread")
        else:
            logger.warning(
                "a node is at work although its run is over: its output will be ignored (graph %s, request %s)",
                self.claim.graph,
                short_id(self.claim.correlation_id),
                extra=self._about("left_behind"),
            )
        if not self._stops.worker_stops:
            self._limit.restart(None)
            await self._limit.wait(self._graph_end())  # without it, there is no room for another run

    async def _rest(self) -> None:
        await self._graph_end()
        await self._context.nodes.wait_idle(self.claim.lease)

    def _log_end(self, outcome: Outcome, kept: bool) -> None:
        result = outcome.result
        seconds = (datetime.now(UTC) - self._started_at).total_seconds()
        logger.log(
            logging.INFO if result.error is None else logging.ERROR,
            "%s%s%s (graph %s, %s, request %s)%s",
            "" if kept else "the store had an end of the run already, perhaps this one: ",
            _END_WORDS[result.status],
            f": {result.error}" if result.error else "",
            self.claim.graph,
            in_seconds(seconds),
            short_id(self.claim.correlation_id),
            f"\n{textwrap.indent(result.traceback, '    ')}" if result.traceback else "",
            extra=self._about("finished" if kept else "discarded")
            | {"status": result.status.value, "duration": seconds},
        )
        if outcome.failure is not None and outcome.failure.traceback:
            logger.debug("%s", outcome.failure.traceback, extra={"action": "traceback"})

    def _about(self, action: str) -> dict[str, object]:
        return {"action": action, "correlation_id": str(self.claim.correlation_id), "graph": self.claim.graph}
