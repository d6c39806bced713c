"""What the runs of one worker share, and how a run goes back to the store before its end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from langgraph_worker.domain.models import Claim, Failure
from langgraph_worker.domain.pauses import PauseChange
from langgraph_worker.domain.retry_policy import BackOff, Retried
from langgraph_worker.execution.node_threads import NodeThreads
from langgraph_worker.execution.runner import Runner
from langgraph_worker.store.port import RunStore
from langgraph_worker.store.retrying import retry_store
from langgraph_worker.telemetry.metrics import GivenBackReason, Metrics
from langgraph_worker.telemetry.traces.port import NO_TRACE, NoTracing, StartEnd, StartTrace, Tracing
from workflow_events.log_words import in_seconds, short_id

logger = logging.getLogger(__name__)


def about(claim: Claim, action: str) -> dict[str, object]:
    """What a line of the log says of its run."""
    return {"action": action, "correlation_id": str(claim.correlation_id), "graph": claim.graph}


class Stop(Enum):
    """Why a run is being stopped by this worker."""

    LEASE_LOST = "its lease was not renewed in time, or is void"
    RELEASED = "the worker stops; the run continues from its last checkpoint"
    PAUSED = "paused; the run continues from its last checkpoint"
    NOT_YET = "an earlier run on its thread has not stopped yet"


@dataclass(frozen=True, slots=True)
class GivenBack:
    """A run that did not end here: the store gets it back.

    :param reason: for a person.
    :param kind: for the figures.
    :param retried: what is kept with it; None: what was.
    """

    reason: str
    kind: GivenBackReason
    delay_seconds: float = 0.0
    retried: Retried | None = None

    @classmethod
    def stopped(cls, why: Stop, delay_seconds: float = 0.0) -> GivenBack:
        """Its worker has stopped it."""
        return cls(why.value, _STOP_KINDS[why], delay_seconds)

    @classmethod
    def paused(cls, pauses: Sequence[PauseChange]) -> GivenBack:
        """These pauses hold it back."""
        return cls("; ".join(pause.in_words for pause in pauses), "paused")

    @property
    def start_end(self) -> StartEnd:
        """The end of its start, for its trace."""
        is_trouble = self.kind in ("lease_lost", "store_trouble")
        return StartEnd(self.kind, self.kind if is_trouble else None, self.reason if is_trouble else None)


_TAKEN_OVER = GivenBack("another worker has taken it over", "lease_lost")
_ENDED_OUTSIDE = GivenBack("ended from outside", "ended_outside")

_STOP_KINDS: dict[Stop, GivenBackReason] = {
    Stop.LEASE_LOST: "lease_lost",
    Stop.RELEASED: "released",
    Stop.NOT_YET: "not_yet",
}


@dataclass(frozen=True, slots=True)
class RunContext:
    """What the runs of one worker share.

    :param nodes: the threads of synchronous nodes: the event loop's default executor.
    :param on_result: called when a result was stored.
    :param metrics: counts how they end.
    :param tracing: makes their traces.
    """

    store: RunStore
    runner: Runner
    nodes: NodeThreads
    worker_id: str
    lease_seconds: float
    on_result: Callable[[], None]
    metrics: Metrics = field(default_factory=Metrics)
    tracing: Tracing = field(default_factory=NoTracing)

    def trace_of(self, claim: Claim) -> StartTrace:
        """The trace of a start, which begins now. A run goes on without it, whatever is wrong with it."""
        try:
            return self.tracing.start(claim)
        except Exception:
            logger.exception("the start of a run is not traced", extra=about(claim, "trace"))
            return NO_TRACE

    async def give_back(self, claim: Claim, back: GivenBack, *, keep_thread: bool = False) -> GivenBack:
        """Give a run back; one whose lease is void only lets its thread go.

        :returns: why it did not end here, as the store knows it now.
        """
        delay = back.delay_seconds
        if not await retry_store(
            lambda: self.store.release(claim, delay, keep_thread=keep_thread, retried=back.retried), "release a run"
        ):
            return await self.lost(claim)
        self.metrics.given_back(claim, back.kind)
        if back.kind in ("paused", "waits_for_turn"):
            self.runner.progress.paused(claim.event, back.reason, claim.reply_traceparent)
        waits = back.kind == "waits_for_turn"
        logger.log(
            logging.INFO if waits else logging.WARNING,
            "%s: %s (graph %s, request %s)",
            f"goes on in {in_seconds(delay)}" if waits else "stopped before its end",
            back.reason,
            claim.graph,
            short_id(claim.correlation_id),
            extra=about(claim, back.kind if waits else "stopped"),
        )
        return back

    async def lost(self, claim: Claim) -> GivenBack:
        """Count a run whose lease was void when its start was over.

        :returns: why it was void.
        """
        is_taken = await retry_store(lambda: self.store.is_taken_over(claim), "see who has a run")
        back = _TAKEN_OVER if is_taken else _ENDED_OUTSIDE
        self.metrics.given_back(claim, back.kind)
        logger.log(
            logging.WARNING if is_taken else logging.INFO,
            "stopped before its end: %s (graph %s, request %s)",
            back.reason,
            claim.graph,
            short_id(claim.correlation_id),
            extra=about(claim, "stopped"),
        )
        return back

    async def back_off(
        self, claim: Claim, back_off: BackOff, failure: Failure, *, keep_thread: bool
    ) -> GivenBack | None:
        """Give a run back that goes on after a wait; one whose lease is void only lets its thread go.

        :returns: why its lease was void; None if it was not.
        """
        if not await retry_store(
            lambda: self.store.back_off(claim, back_off, failure, keep_thread=keep_thread), "let a run back off"
        ):
            return await self.lost(claim)
        self.metrics.given_back(claim, "backs_off")
        self.metrics.retried(claim, back_off.error_class)
        self.runner.progress.backs_off(claim, back_off, failure)
        logger.warning(
            "backs off: %s; it goes on in %s (%s, graph %s, request %s)",
            failure.message,
            in_seconds(back_off.wait_seconds),
            back_off.words,
            claim.graph,
            short_id(claim.correlation_id),
            extra=about(claim, "backs_off")
            | {"error_class": back_off.error_class.value, "model": failure.model, "wait": back_off.wait_seconds},
        )
        return None

    async def start_over(self, claim: Claim, back: GivenBack) -> GivenBack:
        """Give a run back that starts from its input when it is claimed next.

        :returns: why it did not end here, as the store knows it now.
        """
        if not await retry_store(lambda: self.store.start_over(claim), "let a run start over"):
            return await self.lost(claim)
        self.metrics.given_back(claim, back.kind)
        logger.warning(
            "starts over: %s (graph %s, request %s)",
            back.reason,
            claim.graph,
            short_id(claim.correlation_id),
            extra=about(claim, "starts_over"),
        )
        return back
