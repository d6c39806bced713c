"""How the last start of a run ended, for runs that wait to be repeated, and what their logical runs have spent."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import Connection, and_, select

from langgraph_worker.domain.late_runs import LastTry
from langgraph_worker.domain.results import cut_error
from langgraph_worker.domain.retry_policy import Retried
from langgraph_worker.store.migrations.schema import run_spending, workflow_errors, workflow_runs
from langgraph_worker.store.sql import spending
from langgraph_worker.store.sql.statements import in_chunks
from workflow_events.results import ModelUsage


def last_tries(connection: Connection, ids: Collection[UUID]) -> dict[UUID, LastTry]:
    """The last start of each run that waits to be repeated after it; others are left out."""
    runs, errors = workflow_runs, workflow_errors
    of_last_start = and_(
        errors.c.correlation_id == runs.c.correlation_id,
        errors.c.attempt == runs.c.attempts,
        errors.c.wait_seconds.is_not(None),
    )
    columns = (runs.c.correlation_id, runs.c.retried, runs.c.not_before, errors.c.error_class, errors.c.message)
    wanted = select(*columns).join(errors, of_last_start).where(runs.c.not_before.is_not(None))
    tries: dict[UUID, LastTry] = {}
    for some in in_chunks(ids):
        for row in connection.execute(wanted.where(runs.c.correlation_id.in_(some))):
            kind = row.error_class or ""
            retry = {one.value: times for one, times in Retried.from_json(row.retried).times.items()}.get(kind, 0)
            tries[row.correlation_id] = LastTry(cut_error(row.message), kind, retry, row.not_before)
    return tries


def usage_so_far(connection: Connection, ids: Collection[UUID]) -> dict[UUID, dict[str, ModelUsage]]:
    """What the logical run of each run has spent, by model; runs of which nothing is counted are left out."""
    columns = (workflow_runs.c.correlation_id, run_spending.c.usage)
    counted = select(*columns).join(run_spending, spending.of_its_run)
    return {
        row.correlation_id: {model: ModelUsage.model_validate(used) for model, used in row.usage.items()}
        for some in in_chunks(ids)
        for row in connection.execute(counted.where(workflow_runs.c.correlation_id.in_(some)))
    }
