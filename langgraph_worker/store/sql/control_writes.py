"""Writes that control messages cause: cancels, newer attempts whose requests are still to come, repeated results.

A cancel and the request that it names may arrive at the same moment. Accepting and cancelling exclude each other, so
that one of them finds the other's row.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, and_, bindparam, delete, exists, or_, select, text, update

from langgraph_worker.domain import models
from langgraph_worker.domain.attempts import AttemptKey, is_newer
from langgraph_worker.domain.models import Cancel, Cancelled, RunStatus
from langgraph_worker.domain.reply_encoding import clean
from langgraph_worker.store.migrations.schema import cancellations, lineages, tasks, tombstones, workflow_runs
from langgraph_worker.store.sql import leases, questions
from langgraph_worker.store.sql.endings import EndingContext, end_from_outside, ending
from langgraph_worker.store.sql.rows import CancelRow, TaskRow, columns_of
from langgraph_worker.store.sql.run_rows import ControlledRun
from langgraph_worker.store.sql.statements import MAX_VALUES, in_chunks, insert_missing, insert_or_replace
from langgraph_worker.store.sql.store_replies import cancelled, superseded
from langgraph_worker.store.sql.task_rows import lock_tasks
from workflow_events.models import Attempt

_CANCELLING = 0x6C67_636E  # PostgreSQL's advisory lock: exclusive for cancelling, shared for accepting
_MAX_IDS = 500  # in one statement of a query
_COLUMNS = columns_of(ControlledRun, workflow_runs)
_prolong = (
    update(cancellations)
    .where(cancellations.c.correlation_id == bindparam("run"))
    .values(expires_at=bindparam("until"))
)


def keep_cancels_out(connection: Connection) -> None:
    """Let no cancel in until this transaction, which accepts requests, has ended. Its first statement."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock_shared(:key)"), {"key": _CANCELLING})


def _keep_accepts_out(connection: Connection) -> None:
    # SQLite has one writer anyway.
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _CANCELLING})


def cancel(
    connection: Connection, cancels: Sequence[Cancel], until: datetime, context: EndingContext
) -> dict[UUID, Cancelled]:
    """See :meth:`~langgraph_worker.store.port.RunStore.cancel`.

    :param until: when a cancel whose request has not come may be forgotten.
    """
    first = {one.correlation_id: one for one in reversed(cancels)}
    if not first:
        return {}
    _keep_accepts_out(connection)
    named = workflow_runs.c.correlation_id.in_(first)
    thread_ids = set(connection.execute(select(workflow_runs.c.thread_id).where(named)).scalars()) - {None}
    leases.lock(connection, thread_ids)
    runs = _runs(connection, named)
    buried = select(tombstones.c.correlation_id).where(tombstones.c.correlation_id.in_(first))
    pruned = set(connection.execute(buried).scalars())
    outcomes = {run: _outcome(run, runs, pruned) for run in first}
    ended = {
        run: ending(cancelled(runs[run], first[run].reason, first[run].requested_by, context.now), context)
        for run, outcome in outcomes.items()
        if outcome is Cancelled.ENDED
    }
    end_from_outside(connection, ended, context.now)
    leases.void(connection, ended)
    asking = {run for run, outcome in outcomes.items() if outcome is Cancelled.WITHDRAWN}
    outcomes |= dict.fromkeys(asking - _withdraw(connection, asking, context.now), Cancelled.TOO_LATE)
    early = [first[run] for run, outcome in outcomes.items() if outcome is Cancelled.NOTED]
    _remember(connection, early, until, context.now)
    return outcomes | dict.fromkeys(_forget_oldest(connection) if early else (), Cancelled.FORGOTTEN)


def _runs(connection: Connection, condition: ColumnElement[bool]) -> dict[UUID, ControlledRun]:
    found = connection.execute(select(*_COLUMNS).where(condition))
    return {run.correlation_id: run for run in ControlledRun.read(found)}


def _outcome(correlation_id: UUID, runs: Mapping[UUID, ControlledRun], pruned: Collection[UUID]) -> Cancelled:
    """What a cancel of this request does. WITHDRAWN only if the run's questions are still pending."""
    if correlation_id in pruned:
        return Cancelled.TOO_LATE
    run = runs.get(correlation_id)
    if run is None:
        return Cancelled.NOTED
    if run.finished_at is None:
        return Cancelled.ENDED
    return Cancelled.WITHDRAWN if run.status == RunStatus.INTERRUPTED else Cancelled.TOO_LATE


def _withdraw(connection: Connection, ids: Collection[UUID], now: datetime) -> set[UUID]:
    """Retire the questions that these INTERRUPTED requests were answered with, as the run that asked or as its retry.

    A question stays if the newest request of the lineage was answered with it too, or is still unfinished.

    :returns: the requests of which something was pending.
    """
    if not ids:
        return set()
    run, newest = workflow_runs.alias(), workflow_runs.alias()
    ended_later = and_(newest.c.status == RunStatus.INTERRUPTED, newest.c.finished_at >= run.c.finished_at)
    others = (
        exists()
        .where(lineages.c.lineage == run.c.lineage, newest.c.correlation_id == lineages.c.newest)
        .where(newest.c.correlation_id != run.c.correlation_id, or_(newest.c.finished_at.is_(None), ended_later))
    )
    columns = (run.c.correlation_id, run.c.lineage, run.c.generation, run.c.finished_at)
    found = connection.execute(select(*columns).where(run.c.correlation_id.in_(ids), ~others)).all()
    return {
        correlation_id
        for correlation_id, lineage, generation, ended_at in found
        if questions.withdraw(connection, lineage, generation, ended_at, now)
    }


def _remember(connection: Connection, cancels: Sequence[Cancel], until: datetime, now: datetime) -> None:
    rows = [
        CancelRow(
            correlation_id=one.correlation_id,
            reason=clean(one.reason),
            requested_by=None if one.requested_by is None else clean(one.requested_by),
            received_at=now,
            expires_at=until,
        )
        for one in cancels
    ]
    if not rows:
        return
    connection.execute(insert_missing(connection, cancellations), [row.parameters() for row in rows])
    # A cancel that is read back lasts longer, if the events topic has come to keep its records longer.
    known = early_cancels(connection, [row.correlation_id for row in rows])
    ends = {row.correlation_id: row.received_at + (until - now) for row in known.values()}
    longer = [{"run": name, "until": end} for name, end in ends.items() if end > known[name].expires_at]
    if longer:
        connection.execute(_prolong, longer)


def _forget_oldest(connection: Connection) -> list[UUID]:
    """Of too many cancels forget those that end first: a flood must not keep later ones from being taken."""
    newest_first = (cancellations.c.expires_at.desc(), cancellations.c.correlation_id)
    beyond = select(cancellations.c.correlation_id).order_by(*newest_first).offset(models.MOST_EARLY_CANCELS)
    forgotten = list(connection.execute(beyond.limit(MAX_VALUES)).scalars())  # the rest goes with the next cancel
    if forgotten:
        connection.execute(delete(cancellations).where(cancellations.c.correlation_id.in_(forgotten)))
    return forgotten


def early_cancels(connection: Connection, ids: Collection[UUID]) -> dict[UUID, CancelRow]:
    """The cancels that came before their requests, by correlation id."""
    found = connection.execute(select(cancellations).where(cancellations.c.correlation_id.in_(ids)))
    return {row.correlation_id: row for row in CancelRow.read(found)}


def supersede(connection: Connection, attempts: Sequence[Attempt], context: EndingContext) -> int:
    """See :meth:`~langgraph_worker.store.port.RunStore.supersede`.

    ``BatchDecision._supersede`` does the same for an attempt whose request is accepted.
    """
    newest: dict[str, Attempt] = {}
    for attempt in attempts:
        known = newest.get(attempt.task)
        if known is None or _is_newer(attempt, AttemptKey.from_attempt(known)):
            newest[attempt.task] = attempt
    if not newest:
        return 0
    rows, _ = lock_tasks(connection, newest, context.now)
    before = {row.task: row.newest for row in rows}
    newer = {
        task: attempt for task, attempt in newest.items() if task not in before or _is_newer(attempt, before[task])
    }
    if not newer:
        return 0
    changed = [TaskRow.from_attempt(newer[task], context.now).parameters() for task in sorted(newer)]
    connection.execute(insert_or_replace(connection, tasks), changed)
    return _end_older(connection, newer, context)


def _is_newer(attempt: Attempt, other: AttemptKey) -> bool:
    return is_newer(AttemptKey.from_attempt(attempt), other)


def _end_older(connection: Connection, newer: Mapping[str, Attempt], context: EndingContext) -> int:
    unfinished = and_(workflow_runs.c.task.in_(newer), workflow_runs.c.finished_at.is_(None))
    names = set(connection.execute(select(workflow_runs.c.thread_id).where(unfinished)).scalars())
    leases.lock(connection, names)
    # Again, now that no other transaction can end them.
    ended = {}
    for correlation_id, run in _runs(connection, unfinished).items():
        assert run.task is not None  # it was found by its task
        result = superseded(run, newer[run.task].try_number, context.now)
        ended[correlation_id] = ending(result, context)
    end_from_outside(connection, ended, context.now)
    leases.void(connection, ended)
    return len(ended)


def publish_again(connection: Connection, query_id: UUID, ids: Collection[UUID], context: EndingContext) -> int:
    """See :meth:`~langgraph_worker.store.port.RunStore.publish_again`."""
    runs = workflow_runs.c
    count = 0
    for wanted in in_chunks(sorted(set(ids)), _MAX_IDS):
        some = runs.correlation_id.in_(wanted)
        not_for_this = or_(runs.last_query.is_(None), runs.last_query != query_id)
        again = update(workflow_runs).where(some, runs.finished_at.is_not(None), not_for_this)
        count += connection.execute(again.values(**context.publish_again(), last_query=query_id)).rowcount
    return count
