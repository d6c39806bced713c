"""The steps of one run, as they are shown."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, select, tuple_

from langgraph_worker.domain.models import Step, StepStatus
from langgraph_worker.domain.run_views import StepKey, StepPage, StepView
from langgraph_worker.store.migrations.schema import step_executions

_steps = step_executions.c
_FIELDS = [name for name in _steps.keys() if name not in ("correlation_id", "attempt", "status")]  # noqa: SIM118


def newest(connection: Connection, correlation_id: UUID, most: int) -> tuple[StepView, ...]:
    """The newest steps of a run, in the order of their starts."""
    if not most:
        return ()
    of_run = select(step_executions).where(_steps.correlation_id == correlation_id)
    rows = connection.execute(of_run.order_by(_steps.started_at.desc(), _steps.step_id.desc()).limit(most))
    return tuple(reversed([_view(row) for row in rows]))


def page(connection: Connection, correlation_id: UUID, limit: int, after: StepKey | None) -> StepPage:
    """See :meth:`~langgraph_worker.store.views.RunViews.steps`."""
    wanted = select(step_executions).where(_steps.correlation_id == correlation_id)
    if after is not None:
        wanted = wanted.where(tuple_(_steps.started_at, _steps.step_id) > (after.started_at, after.step_id))
    rows = connection.execute(wanted.order_by(_steps.started_at, _steps.step_id).limit(limit + 1))
    found = [_view(row) for row in rows]
    steps = tuple(found[:limit])
    return StepPage(steps, steps[-1].key if len(found) > limit and steps else None)


def _view(row: Row[Any]) -> StepView:
    return StepView(row.attempt, Step(status=StepStatus(row.status), **{name: row._mapping[name] for name in _FIELDS}))
