"""What a workflow's run still asks a person, in words as its results said it."""

from __future__ import annotations

from sqlalchemy import Connection, select

from langgraph_worker.store.migrations.schema import interrupts, workflow_runs
from langgraph_worker.store.sql.questions import is_pending
from workflow_events.results import Interrupt, WorkflowResultEvent


def open_questions(connection: Connection, workflow_id: str, workflow_run_id: str) -> list[Interrupt]:
    """The pending questions of a workflow's run, in the order that they were asked."""
    asked = (
        select(interrupts.c.interrupt_id, workflow_runs.c.reply_value)
        .join(workflow_runs, workflow_runs.c.correlation_id == interrupts.c.correlation_id)
        .where(
            workflow_runs.c.workflow_id == workflow_id,
            workflow_runs.c.workflow_run_id == workflow_run_id,
            is_pending(),
        )
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
