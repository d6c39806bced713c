"""Which run a line of the log belongs to: also the lines that a graph's own code writes."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar

from langgraph_worker.domain.models import Claim

_NONE: Mapping[str, str] = {}

run_labels: ContextVar[Mapping[str, str]] = ContextVar("run_labels", default=_NONE)
"""The names of the run that the present code belongs to; empty outside of runs."""


def labels_of(claim: Claim) -> Mapping[str, str]:
    """A run's names, as its lines in the log have them."""
    event = claim.event
    return {
        "correlation_id": str(claim.correlation_id),
        "workflow_id": event.workflow_id,
        "workflow_run_id": event.workflow_run_id,
        "graph": claim.graph,
        "thread_id": claim.thread_id,
    }
