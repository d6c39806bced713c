"""The row of a run when its request is accepted."""

from __future__ import annotations

from datetime import datetime

from langgraph_worker.domain.models import Decision, Refusal, Request, RunStatus
from langgraph_worker.domain.run_views import asker_of_unplaced
from langgraph_worker.domain.turns import turn_of
from langgraph_worker.store.sql.placing import Placement
from langgraph_worker.store.sql.rows import Parameters, attempt_parameters
from langgraph_worker.store.sql.run_rows import RunRow


def new_run(item: Request | Refusal, decision: Decision, now: datetime, placement: Placement | None = None) -> RunRow:
    """A PENDING run, as it is before anything happens to it.

    :param placement: None for a request that never runs.
    """
    source = item.event if isinstance(item, Request) else item.result
    origin = item.origin
    return RunRow(
        correlation_id=item.event.event_id if isinstance(item, Request) else item.result.correlation_id,
        workflow_id=source.workflow_id,
        workflow_run_id=source.workflow_run_id,
        status=RunStatus.PENDING.value,
        decision=decision.value,
        attempts=0,
        cluster=origin.cluster,
        topic=origin.topic,
        partition=origin.partition,
        offset=origin.offset,
        reply_topic=item.reply_topic,
        accepted_at=now,
        waiting_since=now,
        turn=turn_of(now, item.event.priority) if isinstance(item, Request) else now,
        **(_of_request(item, placement) if isinstance(item, Request) else {}),
    )


def _of_request(item: Request, placement: Placement | None) -> Parameters:
    """The columns that a refusal does not have."""
    event = item.event
    body = event.model_dump_json()
    columns: Parameters = {
        "event": body,
        "event_bytes": len(body.encode()),
        "graph": item.graph,
        "traceparent": item.traceparent,
        "deadline": event.deadline,
        "round": event.round,
        "deployment": asker_of_unplaced(event),
    }
    if event.attempt is not None:
        columns |= {"task": event.attempt.task, **attempt_parameters(event.attempt)}
    elif event.replay is not None:
        columns["replay"] = event.replay.number
    if placement is not None:
        columns |= placement.columns()
    return columns
