"""What is still asked a person, with the values that results gave."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import ColumnElement, Connection, and_, select

from langgraph_worker.store.migrations.schema import interrupts, workflow_runs
from langgraph_worker.store.sql.questions import is_pending
from workflow_events.results import Interrupt, WorkflowResultEvent


def questions_of(connection: Connection, workflow_id: str, workflow_run_id: str) -> list[Interrupt]:
    """The pending questions of a workflow's run, in the order that they were asked."""
    is_its_own = and_(workflow_runs.c.workflow_id == workflow_id, workflow_runs.c.workflow_run_id == workflow_run_id)
    return _pending(connection, is_its_own)


def questions_before(connection: Connection, correlation_id: UUID) -> list[Interrupt]:
    """The pending questions of the thread that a request is to run on, in the order that they were asked."""
    thread = select(workflow_runs.c.thread_id).where(workflow_runs.c.correlation_id == correlation_id)
    return _pending(connection, interrupts.c.thread_id.in_(thread))


def _pending(connection: Connection, condition: ColumnElement[bool]) -> list[Interrupt]:
    asked = (
        select(interrupts.c.interrupt_id, workflow_runs.c.reply_value)
        .join(workflow_runs, workflow_runs.c.correlation_id == interrupts.c.correlation_id)
        .where(condition, is_pending())
        .order_by(workflow_runs.c.seq)
    )
    rows = connection.execute(asked).all()
    pending = {row.interrupt_id for row in rows}
    found: dict[str, Interrupt] = {}
    for value in dict.fromkeys(row.reply_value for row in rows):
        for question in WorkflowResultEvent.model_validate_json(value).interrupts:
            if question.id in pending:
                found[question.id] = question
    return list(found.values())
