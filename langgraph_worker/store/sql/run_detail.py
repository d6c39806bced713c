"""One run with all that the store keeps of it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from pydantic import JsonValue
from sqlalchemy import Connection, Row, and_, func, select

from langgraph_worker.domain.models import Failure, RunStatus
from langgraph_worker.domain.pauses import holding
from langgraph_worker.domain.retry_policy import ErrorClass, Retried
from langgraph_worker.domain.run_views import (
    MOST_SHOWN,
    ErrorView,
    QuestionState,
    QuestionView,
    RunDetail,
    RunScope,
    RunSummary,
    WaitsFor,
)
from langgraph_worker.store.migrations.schema import (
    interrupts,
    run_spending,
    threads,
    workflow_errors,
    workflow_runs,
)
from langgraph_worker.store.sql import pauses, run_steps
from langgraph_worker.store.sql.rows import QuestionRow
from langgraph_worker.store.sql.run_lists import NEWEST_FIRST, SUMMARY_COLUMNS, summary, within
from langgraph_worker.store.sql.statements import in_chunks
from workflow_events.results import ModelUsage, WorkflowResultEvent

_runs = workflow_runs.c
_ALONE = (
    "event",
    "reply_value",
    "deadline",
    "not_before",
    "retried",
    "lineage",
    "generation",
    "logical_run",
    "release",
    "takeovers",
    "published_at",
    "run_start",
)
_COLUMNS = [*SUMMARY_COLUMNS, *(_runs[name] for name in _ALONE)]


def detail(connection: Connection, correlation_id: UUID, most_steps: int, scope: RunScope) -> RunDetail | None:
    """See :meth:`~langgraph_worker.store.views.RunViews.detail`."""
    wanted = select(*_COLUMNS).where(_runs.correlation_id == correlation_id, *within(scope))
    row = connection.execute(wanted).one_or_none()
    if row is None:
        return None
    result = WorkflowResultEvent.model_validate_json(row.reply_value) if row.reply_value is not None else None
    return RunDetail(
        run=summary(row),
        event=json.loads(row.event) if row.event is not None else None,
        result=result,
        deadline=row.deadline,
        not_before=row.not_before,
        waits_for=_waits_for(connection, row) if row.status == RunStatus.PENDING else None,
        lineage=row.lineage,
        generation=row.generation,
        logical_run=row.logical_run,
        release=row.release,
        takeovers=row.takeovers,
        published_at=row.published_at,
        deployment=row.deployment or None,
        run_start=row.run_start,
        steps=run_steps.newest(connection, correlation_id, most_steps),
        errors=_errors(connection, correlation_id),
        questions=_questions(connection, row),
        usage=result.usage if result is not None else _spent(connection, row),
        requests=_requests(connection, row),
    )


def _waits_for(connection: Connection, run: Row[Any]) -> WaitsFor:
    holds = and_(threads.c.thread_id == run.thread_id, threads.c.correlation_id != run.correlation_id)
    holder = connection.execute(select(threads.c.correlation_id).where(holds)).scalar()
    # In the words of the index of unfinished runs.
    runs = and_(_runs.graph == run.graph, _runs.finished_at.is_(None), _runs.status == RunStatus.RUNNING.value)
    running = connection.execute(select(func.count()).select_from(workflow_runs).where(runs)).scalar_one()
    paused = holding(pauses.pauses_on(connection), run.graph, run.workflow_id)
    return WaitsFor(tuple(sorted(Retried.from_json(run.retried).turns)), next(iter(paused), None), holder, running)


def _errors(connection: Connection, correlation_id: UUID) -> tuple[ErrorView, ...]:
    errors = workflow_errors.c
    newest = select(workflow_errors).where(errors.correlation_id == correlation_id)
    # Not by the id alone: PostgreSQL might look through all errors, backwards, for those of the run.
    newest = newest.order_by(errors.occurred_at.desc(), errors.id.desc()).limit(MOST_SHOWN)
    return tuple(reversed([_error(row) for row in connection.execute(newest)]))


def _error(row: Row[Any]) -> ErrorView:
    failure = Failure(
        error_type=row.error_type,
        message=row.message,
        traceback=row.traceback,
        node=row.node,
        error_class=ErrorClass(row.error_class) if row.error_class is not None else None,
        model=row.model,
        wait_seconds=row.wait_seconds,
    )
    return ErrorView(row.attempt, failure, row.worker_id, row.occurred_at)


def _questions(connection: Connection, run: Row[Any]) -> tuple[QuestionView, ...]:
    if run.thread_id is None or run.logical_run is None:
        return ()
    asked = and_(interrupts.c.thread_id == run.thread_id, interrupts.c.logical_run == run.logical_run)
    newest = select(interrupts).where(asked).order_by(interrupts.c.asked_at.desc(), interrupts.c.interrupt_id.desc())
    rows = QuestionRow.read(connection.execute(newest.limit(MOST_SHOWN)))
    values = _asked_values(connection, {row.correlation_id for row in rows})
    return tuple(_question(row, values) for row in reversed(rows))


def _question(row: QuestionRow, values: Mapping[tuple[UUID, str], JsonValue]) -> QuestionView:
    answered = QuestionState.ANSWERED if row.answered_at is not None else QuestionState.RETIRED
    return QuestionView(
        interrupt_id=row.interrupt_id,
        asked_by=row.correlation_id,
        asked_at=row.asked_at,
        state=QuestionState.PENDING if row.is_pending else answered,
        value=values.get((row.correlation_id, row.interrupt_id)),
        answered_at=row.answered_at,
        answered_by=row.answered_by,
        answer_id=row.answer_id,
        answer=row.answer,
    )


def _asked_values(connection: Connection, requests: Collection[UUID]) -> dict[tuple[UUID, str], JsonValue]:
    """What was asked, by the request that ended with it and the question's id."""
    found: dict[tuple[UUID, str], JsonValue] = {}
    for some in in_chunks(requests):
        replies = select(_runs.correlation_id, _runs.reply_value).where(_runs.correlation_id.in_(some))
        for name, reply in connection.execute(replies.where(_runs.reply_value.is_not(None))):
            for question in WorkflowResultEvent.model_validate_json(reply).interrupts:
                found[name, question.id] = question.value
    return found


def _spent(connection: Connection, run: Row[Any]) -> dict[str, ModelUsage]:
    counted = run_spending.c
    of_run = and_(counted.lineage == run.lineage, counted.generation == run.generation)
    usage = connection.execute(select(counted.usage).where(of_run)).scalar_one_or_none() or {}
    return {model: ModelUsage.model_validate(used) for model, used in usage.items()}


def _requests(connection: Connection, run: Row[Any]) -> tuple[RunSummary, ...]:
    """The requests of the run's lineage; of a run that has none, it alone."""
    if run.lineage is None:
        return (summary(run),)
    newest = select(*SUMMARY_COLUMNS).where(_runs.lineage == run.lineage).order_by(*NEWEST_FIRST).limit(MOST_SHOWN)
    return tuple(reversed([summary(row) for row in connection.execute(newest)]))
