"""The ids by which all starts of a logical run are in one trace, whichever worker makes them, and in whatever order.

They are computed, not kept: a worker that takes a run over knows the ids that the lost worker has used.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from uuid import UUID

from langgraph_worker.domain.models import Claim
from workflow_events.trace_context import TraceParent


@dataclass(frozen=True, slots=True)
class StartIds:
    """The names of one start in its trace.

    :param trace_id: 32 hex digits, the same for all starts of the logical run: of the trace of the request which began
        it; if that had none, computed from the logical run.
    :param span_id: 16 hex digits, of this start.
    :param parent: what asked, in this trace; None: the start has no parent.
    :param links: spans that it continues, or that asked, and that cannot be its parent.
    """

    trace_id: str
    span_id: str
    parent: TraceParent | None
    links: tuple[TraceParent, ...]

    @classmethod
    def of_claim(cls, claim: Claim) -> StartIds:
        """The names of the start that this claim makes."""
        own, first = TraceParent.read(claim.traceparent), TraceParent.read(claim.first_traceparent)
        trace_id = first.trace_id if first else trace_of_logical_run(claim.logical_run)
        # A retry in its DAG run's trace is below its own task. An answer from another DAG run is linked to it.
        is_inside = own is not None and own.trace_id == trace_id
        links = [] if own is None or is_inside else [own]
        if claim.attempts > 1:
            before = span_of_start(claim.correlation_id, claim.attempts - 1)
            links.append(TraceParent(trace_id, before))
        span_id = span_of_start(claim.correlation_id, claim.attempts)
        return cls(trace_id, span_id, own if is_inside else first, tuple(links))


def trace_of_logical_run(logical_run: UUID) -> str:
    """The trace of a logical run whose first request belongs to none.

    It is a hash: samplers by ratio compare the id's digits, and those of a UUID are not all random.
    """
    return hashlib.sha256(str(logical_run).encode()).hexdigest()[:32]


def span_of_start(correlation_id: UUID, attempt: int) -> str:
    """The span of the n-th start of a request.

    :param attempt: from 1.
    """
    return hashlib.sha256(f"{correlation_id}/{attempt}".encode()).hexdigest()[:16]
