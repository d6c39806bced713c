"""Which run a line of the log belongs to: also the lines that a graph's own code writes."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextvars import ContextVar

from langgraph_worker.domain.models import Claim
from workflow_events.trace_context import TraceParent

_NONE: Mapping[str, str] = {}

run_labels: ContextVar[Mapping[str, str]] = ContextVar("run_labels", default=_NONE)
"""The names of the run that the present code belongs to; empty outside of runs."""


def labels_of(claim: Claim, trace: Mapping[str, str] = _NONE) -> Mapping[str, str]:
    """A run's names, as its lines in the log have them.

    :param trace: the ids of the start's trace; without them the trace is named that the request came with, if any.
    """
    event = claim.event
    given = TraceParent.read(claim.first_traceparent or claim.traceparent)
    return {
        **({} if given is None else {"trace_id": given.trace_id}),
        **trace,
        "correlation_id": str(claim.correlation_id),
        "workflow_id": event.workflow_id,
        "workflow_run_id": event.workflow_run_id,
        "graph": claim.graph,
        "thread_id": claim.thread_id,
    }


def present_labels() -> Mapping[str, str]:
    """The labels of the present code: the run's, with the present span of its trace, a node's or its own."""
    labels = run_labels.get()
    if "span_id" not in labels:
        return labels
    found = sys.modules["opentelemetry.trace"].get_current_span().get_span_context()
    is_inside = f"{found.trace_id:032x}" == labels["trace_id"]
    return {**labels, "span_id": f"{found.span_id:016x}"} if is_inside else labels
