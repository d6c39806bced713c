"""The place of a request: its lineage, its generation, its logical run and its thread."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from langgraph_worker.domain.attempts import Verdict, WorkKey
from langgraph_worker.domain.models import Decision
from langgraph_worker.store.sql.remembered_nodes import StoredNames
from langgraph_worker.store.sql.rows import GraphQuestion, LineageRow, Parameters
from langgraph_worker.store.sql.thread_ids import ThreadIds
from workflow_events.identity import logical_run_id
from workflow_events.models import WorkflowEvent


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a run belongs. An answer belongs where its question was asked."""

    lineage: str
    generation: int
    logical_run: UUID
    thread_id: str
    thread_name: str | None
    graph: str
    deployment: str | None

    def columns(self) -> Parameters:
        """The columns of a run that say where it belongs."""
        return {
            "lineage": self.lineage,
            "generation": self.generation,
            "logical_run": self.logical_run,
            "thread_id": self.thread_id,
            "thread_name": self.thread_name,
            "graph": self.graph,
            "deployment": self.deployment,
        }


def place_request(
    event: WorkflowEvent,
    lineage: str,
    work: WorkKey,
    verdict: Verdict,
    before: LineageRow | None,
    thread_ids: ThreadIds,
    now: datetime,
    traceparent: str | None = None,
) -> tuple[Placement, LineageRow]:
    """The place of a request in its own lineage, and the lineage's row with it as the newest request.

    :param lineage: :func:`workflow_events.identity.lineage_of` the event.
    :param traceparent: the request's; the lineage keeps that of the request which begins a logical run.
    :param before: the lineage's row so far, if it has one.
    """
    if verdict.decision is Decision.FRESH or before is None:
        logical_run, nodes = logical_run_id(lineage, event.event_id), None
    else:
        logical_run, nodes = before.logical_run, before.nodes
    thread_id = thread_ids.choose(event, work.graph, logical_run)
    row = _lineage_row(event, lineage, work, verdict.generation, logical_run, nodes, now)
    if before is not None and verdict.decision is not Decision.FRESH:
        row = replace(row, release=before.release, traceparent=before.traceparent)
    else:
        row = replace(row, traceparent=traceparent)
    name, asker = event.thread_id, event.deployment
    place = Placement(lineage, verdict.generation, logical_run, thread_id, name, work.graph, asker)
    return place, row


def place_answer(
    event: WorkflowEvent,
    lineage: str,
    question: GraphQuestion,
    work: WorkKey,
    verdict: Verdict,
    before: LineageRow | None,
    now: datetime,
) -> tuple[Placement, LineageRow]:
    """The place of an answer: it goes on with the run that asked, also if another task answers.

    :returns: also the row of the answer's own lineage, with the answer as its newest request.
    """
    placement = Placement(
        lineage=question.lineage,
        generation=question.generation,
        logical_run=question.logical_run,
        thread_id=question.thread_id,
        thread_name=question.thread_name,
        graph=question.graph,
        deployment=question.deployment,
    )
    if before is not None and before.lineage == question.lineage:
        return placement, replace(before, newest=event.event_id)
    return placement, _lineage_row(event, lineage, work, verdict.generation, question.logical_run, None, now)


def _lineage_row(
    event: WorkflowEvent,
    lineage: str,
    work: WorkKey,
    generation: int,
    logical_run: UUID,
    nodes: StoredNames | None,
    now: datetime,
) -> LineageRow:
    attempt = event.attempt
    return LineageRow(
        lineage=lineage,
        task=attempt.task if attempt else None,
        agent=attempt.agent if attempt else None,
        generation=generation,
        logical_run=logical_run,
        graph=work.graph,
        shared_thread=work.shared_thread,
        input_hash=work.input_hash,
        nodes=nodes,
        newest=event.event_id,
        updated_at=now,
    )
