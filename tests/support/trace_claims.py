"""Claims for tests of traces: what a start names of its run."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from langgraph_worker.domain.models import Claim, Lease
from workflow_events.models import EventSource, EventType, WorkflowEvent, WorkflowEventPayload

_EVENT = WorkflowEvent(
    event_id=UUID(int=1),
    event_type=EventType.WORKFLOW_TRIGGERED,
    source=EventSource.AIRFLOW,
    workflow_id="dag",
    workflow_run_id="run",
    payload=WorkflowEventPayload(data={}),
)
_CLAIM = Claim(
    event=_EVENT,
    graph="desk",
    thread_id="thread",
    logical_run=UUID(int=2),
    lineage="lineage",
    generation=1,
    resumes=False,
    attempts=1,
    nodes=None,
    lease=Lease("thread", 1),
    accepted_at=datetime(2026, 3, 1, tzinfo=UTC),
    worker_id="w1",
)


def claim_of(**changes: Any) -> Claim:
    """A claim of a first start, but for these fields."""
    return replace(_CLAIM, **changes)
