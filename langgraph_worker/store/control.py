"""What steers requests from outside: cancels, newer attempts that are still to come, questions for stored results.

A cancel and the request it names may arrive at the same moment. Accepting and cancelling exclude each other, so one of
them finds the other's row.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, and_, exists, or_, select, text, update

from langgraph_worker.attempts import is_newer
from langgraph_worker.reply import clean
from langgraph_worker.store import leases, questions
from langgraph_worker.store.endings import Terms, cancelled, end_runs, ending, superseded
from langgraph_worker.store.port import Cancel, Cancelled, RunStatus
from langgraph_worker.store.schema import cancellations, lineages, tasks, tombstones, workflow_runs
from langgraph_worker.store.statements import Row, insert_missing, insert_or_replace
from langgraph_worker.store.tasks import lock_tasks, seen_in, seen_of, task_row
from workflow_events.models import Attempt

_CANCELLING = 0x6C67_636E  # PostgreSQL's advisory lock of those who cancel, shared by those who accept
_AT_ONCE = 500  # ids in one statement

_ENDS = (
    "correlation_id",
    "workflow_id",
    "workflow_run_id",
    "task",
    "thread_id",
    "status",
    "attempts",
    "started_at",
    "finished_at",
    "try_number",
)
_columns = [workflow_runs.c[name] for name in _ENDS]


def let_accept(connection: Connection) -> None:
    """Keep cancels out until this transaction, which accepts requests, has ended. The first thing that it does."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock_shared(:key)"), {"key": _CANCELLING})


def _keep_accepts_out(connection: Connection) -> None:
    # SQLite has one writer anyway.
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _CANCELLING})


def cancel(connection: Connection, cancels: Sequence[Cancel], until: datetime, terms: Terms) -> dict[UUID, Cancelled]:
    """See :meth:`~langgraph_worker.store.port.RunStore.cancel`.

    :param until: when a cancel whose request has not come may be forgotten.
    """
    first = {one.correlation_id: one for one in reversed(cancels)}
    if not first:
        return {}
    _keep_accepts_out(connection)
    named = workflow_runs.c.correlation_id.in_(first)
    threads = set(connection.execute(select(workflow_runs.c.thread_id).where(named)).scalars()) - {None}
    leases.lock(connection, threads)
    runs = {row["correlation_id"]: dict(row) for row in connection.execute(select(*_columns).where(named)).mappings()}
    pruned = set(
        connection.execute(select(tombstones.c.correlation_id).where(tombstones.c.correlation_id.in_(first))).scalars()
    )
    found = {of: _became(of, runs, pruned) for of in first}
    ended = {
        of: ending(cancelled(runs[of], first[of].reason, first[of].requested_by, terms.now), terms)
        for of, became in found.items()
        if became is Cancelled.ENDED
    }
    end_runs(connection, ended)
    leases.void(connection, ended)
    asking = {of for of, became in found.items() if became is Cancelled.WITHDRAWN}
    found |= dict.fromkeys(asking - _withdraw(connection, asking, terms.now), Cancelled.TOO_LATE)
    _remember(connection, [first[of] for of, became in found.items() if became is Cancelled.NOTED], until, terms.now)
    return found


def _became(of: UUID, runs: Mapping[UUID, Row], pruned: Collection[UUID]) -> Cancelled:
    if of in pruned:
        return Cancelled.TOO_LATE
    if of not in runs:
        return Cancelled.NOTED
    if runs[of]["finished_at"] is None:
        return Cancelled.ENDED
    return Cancelled.WITHDRAWN if runs[of]["status"] == RunStatus.INTERRUPTED else Cancelled.TOO_LATE


def _withdraw(connection: Connection, ids: Collection[UUID], now: datetime) -> set[UUID]:
    """Retire what these interrupted requests were told, by their own run or as a retry of it; return those where
    something was pending. What the newest request of the lineage was told too, or is to find out, stays asked.
    """
    if not ids:
        return set()
    run, newest = workflow_runs.alias(), workflow_runs.alias()
    told_later = and_(newest.c.status == RunStatus.INTERRUPTED, newest.c.finished_at >= run.c.finished_at)
    others = (
        exists()
        .where(lineages.c.lineage == run.c.lineage, newest.c.correlation_id == lineages.c.newest)
        .where(newest.c.correlation_id != run.c.correlation_id, or_(newest.c.finished_at.is_(None), told_later))
    )
    columns = (run.c.correlation_id, run.c.lineage, run.c.generation, run.c.finished_at)
    found = connection.execute(select(*columns).where(run.c.correlation_id.in_(ids), ~others)).all()
    return {
        of
        for of, lineage, generation, told_at in found
        if questions.withdraw(connection, lineage, generation, told_at, now)
    }


def _remember(connection: Connection, cancels: Sequence[Cancel], until: datetime, now: datetime) -> None:
    rows = [
        {
            "correlation_id": one.correlation_id,
            "reason": clean(one.reason),
            "requested_by": None if one.requested_by is None else clean(one.requested_by),
            "received_at": now,
            "expires_at": until,
        }
        for one in cancels
    ]
    if rows:
        connection.execute(insert_missing(connection, cancellations), rows)


def cancels_of(connection: Connection, ids: Collection[UUID]) -> dict[UUID, Row]:
    """The cancels that came before their requests, by correlation id."""
    found = connection.execute(select(cancellations).where(cancellations.c.correlation_id.in_(ids)))
    return {row["correlation_id"]: dict(row) for row in found.mappings()}


def supersede(connection: Connection, attempts: Sequence[Attempt], terms: Terms) -> int:
    """See :meth:`~langgraph_worker.store.port.RunStore.supersede`."""
    newest: dict[str, Attempt] = {}
    for attempt in attempts:
        known = newest.get(attempt.task)
        if known is None or is_newer(seen_of(attempt), seen_of(known)):
            newest[attempt.task] = attempt
    if not newest:
        return 0
    rows, _ = lock_tasks(connection, newest, terms.now)
    before = {row["task"]: seen_in(row) for row in rows}
    newer = {
        task: attempt
        for task, attempt in newest.items()
        if task not in before or is_newer(seen_of(attempt), before[task])
    }
    if not newer:
        return 0
    connection.execute(
        insert_or_replace(connection, tasks), [task_row(newer[task], terms.now) for task in sorted(newer)]
    )
    return _end_older(connection, newer, terms)


def _end_older(connection: Connection, newer: Mapping[str, Attempt], terms: Terms) -> int:
    open_runs = (workflow_runs.c.task.in_(newer), workflow_runs.c.finished_at.is_(None))
    names = set(connection.execute(select(workflow_runs.c.thread_id).where(*open_runs)).scalars())
    leases.lock(connection, names)
    # Again, now that nobody ends them meanwhile.
    found: list[dict[str, Any]] = [
        dict(row) for row in connection.execute(select(*_columns).where(*open_runs)).mappings()
    ]
    ended = {
        row["correlation_id"]: ending(superseded(row, newer[row["task"]].try_number, terms.now), terms) for row in found
    }
    end_runs(connection, ended)
    leases.void(connection, ended)
    return len(ended)


def publish_again(connection: Connection, query_id: UUID, ids: Collection[UUID], terms: Terms) -> int:
    """See :meth:`~langgraph_worker.store.port.RunStore.publish_again`."""
    runs = workflow_runs.c
    count, wanted = 0, sorted(set(ids))
    for first in range(0, len(wanted), _AT_ONCE):
        some = runs.correlation_id.in_(wanted[first : first + _AT_ONCE])
        not_for_this = or_(runs.last_query.is_(None), runs.last_query != query_id)
        again = update(workflow_runs).where(some, runs.finished_at.is_not(None), not_for_this)
        count += connection.execute(again.values(**terms.once_more(), last_query=query_id)).rowcount
    return count
