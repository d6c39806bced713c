"""One run under way on this worker: stopped when it must, and stored when it has ended."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from langgraph.errors import GraphDrained
from langgraph.runtime import RunControl

from langgraph_worker.domain.faults import BUDGET_EXCEEDED
from langgraph_worker.domain.models import Claim
from langgraph_worker.domain.pauses import PauseChange
from langgraph_worker.domain.results import Judged, Outcome, Reporter
from langgraph_worker.errors import LeaseLostError, RowError, StoreError
from langgraph_worker.execution.exception_rules import can_retry_help
from langgraph_worker.execution.model_calls import traced_by
from langgraph_worker.execution.node_threads import running
from langgraph_worker.execution.release_policy import StartOverError
from langgraph_worker.execution.run_context import GivenBack, RunContext, Stop, about
from langgraph_worker.execution.runner import sooner
from langgraph_worker.execution.time_limit import TimeLimit
from langgraph_worker.execution.turn_wait import WaitsForTurnError
from langgraph_worker.store.retrying import retry_store
from langgraph_worker.telemetry.run_labels import labels_of, run_labels
from langgraph_worker.telemetry.traces.port import StartEnd
from workflow_events.log_words import in_seconds, short_id
from workflow_events.results import ResultStatus

logger = logging.getLogger(__name__)

CANCEL_GRACE_SECONDS = 5.0
"""How long a run that was cancelled, or is past its deadline, may take to end."""
PAUSE_GRACE_SECONDS = 1.0
"""How long a run that a pause stops at once may take to end, before it waits for the end of the pause: a node that goes
on beyond that holds its thread, and what it still does is not written.
"""
_END_WORDS = {
    ResultStatus.SUCCESS: "finished",
    ResultStatus.INTERRUPTED: "asks a person",
    ResultStatus.FAILURE: "failed",
    ResultStatus.ERROR: "cannot run",
    ResultStatus.TIMEOUT: "timed out",
    ResultStatus.CANCELLED: "cancelled",
}
_STORE_TROUBLE_DELAY_SECONDS = 5.0  # for a run whose checkpoints cannot be read or written


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


class ActiveRun:
    """A run that has been started: creating it starts the graph.

    :ivar settled: done when the run's end is stored, or the run is given back, and its thread is let go. Its exception
        is the worker's own fault.
    """

    def __init__(self, context: RunContext, claim: Claim) -> None:
        self._trace = context.trace_of(claim)
        self.claim = claim = replace(claim, start_traceparent=self._trace.traceparent)
        self._context = context
        self._stops = _Stops()
        self._drained = Stop.RELEASED  # also where a node asks for it
        self._pauses: Sequence[PauseChange] = ()
        self._started_at = datetime.now(UTC)
        deadline = claim.event.deadline
        self._meter = context.runner.meter_for(claim)
        by_deadline = None if deadline is None else (deadline - self._started_at).total_seconds()
        left = sooner(by_deadline, self._meter.seconds_left())
        self._limit = TimeLimit(None if left is None else max(0.0, left) + CANCEL_GRACE_SECONDS)
        self._control = RunControl()
        variables = contextvars.copy_context()
        variables.run(running.set, claim.lease)
        labels = labels_of(claim, self._trace.labels)
        variables.run(run_labels.set, labels)
        variables.run(self._trace.enter)
        variables.run(traced_by, self._trace.handlers)
        work = context.runner.run(claim, self._control, self._meter)
        self._graph = asyncio.create_task(work, name=f"run-{claim.correlation_id}", context=variables)
        settling = contextvars.copy_context()
        settling.run(run_labels.set, labels)
        name = f"settle-{claim.correlation_id}"
        self.settled = asyncio.create_task(self._settle(), name=name, context=settling)
        self.settled.add_done_callback(lambda _: self._trace.end(StartEnd("worker_failed")))  # if nothing else has

    @property
    def _reporter(self) -> Reporter:
        """What builds its end, where its graph has none."""
        return Reporter(self.claim, self._context.worker_id, self._started_at, self._meter.total().usage)

    def drain(self, why: Stop = Stop.RELEASED) -> None:
        """Let it stop at the end of its superstep."""
        self._drained = why
        self._control.request_drain(why.value)

    def pause(self, pauses: Sequence[PauseChange]) -> None:
        """Let it wait for the end of pauses that hold it back: from the end of its superstep on, or from now where one
        of them says so. What stops already, or has come to its end, is left alone.
        """
        self._pauses = pauses
        if not any(pause.at_once for pause in pauses):
            self.drain(Stop.PAUSED)
        elif not self._stops.reasons and not self._graph.done():
            self.stop(Stop.PAUSED)

    def stop(self, why: Stop) -> None:
        """Cancel it. A graph that has just ended is still stored: the store judges whether the lease is good."""
        self._stops.reasons.add(why)
        self._limit.shorten(self._grace_seconds(why))
        if not self._graph.done():
            self._stops.cut_short = why
            self._graph.cancel(why.value)

    def _grace_seconds(self, why: Stop) -> float:
        if self._stops.worker_stops:
            return CANCEL_GRACE_SECONDS / 2
        return PAUSE_GRACE_SECONDS if why is Stop.PAUSED else self._context.lease_seconds

    async def _settle(self) -> None:
        """Wait for the graph's end, then store it. Never cancelled itself: a half-written end would be lost."""
        await self._limit.wait(self._come_to_rest())
        is_at_work = not self._is_at_rest()
        end = self._end()
        found = await self._hand_in(end, keep_thread=is_at_work) or end
        self._context.metrics.spent(self._meter.used_here())
        self._end_trace(found)
        if is_at_work:
            await self._let_thread_go()

    async def _hand_in(self, end: Outcome | GivenBack, *, keep_thread: bool) -> GivenBack | None:
        """Store how it ended, or give it back; why the store did not take that, if it did not."""
        context, claim = self._context, self.claim
        if isinstance(end, GivenBack):
            if end.kind == "starts_over":
                return await context.start_over(claim, end)
            return await context.give_back(claim, end, keep_thread=keep_thread)
        if end.back_off is not None and end.failure is not None:
            return await context.back_off(claim, end.back_off, end.failure, keep_thread=keep_thread)
        return await self._store_end(end, keep_thread=keep_thread)

    def _end_trace(self, end: Outcome | GivenBack) -> None:
        if isinstance(end, GivenBack):
            found = end.start_end
        elif end.back_off is not None and end.failure is not None:
            found = StartEnd("backs_off", end.failure.error_type, end.failure.message)
        else:
            found = StartEnd(end.result.status.value, end.result.error_type, end.result.error)
        self._trace.end(replace(found, used=self._meter.used_here()))

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

    def _end(self) -> Outcome | GivenBack:
        """How it ended."""
        reporter = self._reporter
        why = self._stops.cut_short
        if why is not None and (not self._graph.done() or self._graph.cancelled()):
            return self._given_back(why)
        if not self._graph.done():
            return self._past_its_time(reporter)
        if self._graph.cancelled():
            # The graph raised it, or cancelled its own task; the worker did not ask for it.
            error = asyncio.CancelledError("the graph cancelled itself")
            return reporter.raised(error, None, datetime.now(UTC), Judged(can_retry_help(error)))
        match self._graph.exception():
            case RowError() as refusal:
                return reporter.not_storable(refusal, datetime.now(UTC))
            case LeaseLostError():  # before its keeper has seen it
                return self._given_back(Stop.LEASE_LOST)
            case StoreError() as trouble:
                # Not at once: if waiting does not help, it would fail again and again.
                return GivenBack(str(trouble), "store_trouble", _STORE_TROUBLE_DELAY_SECONDS)
            case StartOverError() as reason:
                return GivenBack(str(reason), "starts_over")
            case WaitsForTurnError() as reason:
                return GivenBack(str(reason), "waits_for_turn", reason.wait.seconds, reason.retried)
            case GraphDrained():
                return self._given_back(self._drained)
        return self._graph.result()

    def _past_its_time(self, reporter: Reporter) -> Outcome:
        logger.error(
            "a run does not end at its deadline: a node suppresses its cancellation (graph %s, request %s)",
            self.claim.graph,
            short_id(self.claim.correlation_id),
            extra=self._about("stubborn"),
        )
        if self._meter.time_is_up() and self._meter.excess is not None:
            return reporter.fault(BUDGET_EXCEEDED, self._meter.excess, datetime.now(UTC))
        return reporter.past_deadline(datetime.now(UTC))

    def _given_back(self, why: Stop) -> GivenBack:
        return GivenBack.paused(self._pauses) if why is Stop.PAUSED else GivenBack.stopped(why)

    async def _store_end(self, outcome: Outcome, *, keep_thread: bool) -> GivenBack | None:
        try:
            kept = await self._keep(outcome, keep_thread)
        except RowError as error:
            outcome = self._reporter.not_storable(error, datetime.now(UTC))
            kept = await self._keep(outcome, keep_thread)
        seconds = (datetime.now(UTC) - self._started_at).total_seconds()
        if kept:
            self._context.metrics.ended(self.claim, outcome.result, seconds)
            self._context.on_result()
        self._log_end(outcome, kept, seconds)
        return None if kept else await self._context.lost(self.claim)

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
        if self._stops.reasons <= {Stop.PAUSED}:
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

    def _log_end(self, outcome: Outcome, kept: bool, seconds: float) -> None:
        result = outcome.result
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
        return about(self.claim, action)
