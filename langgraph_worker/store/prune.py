"""Forgetting what ended long ago, so that nothing of it can run again."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnClause,
    ColumnElement,
    Connection,
    FromClause,
    and_,
    column,
    delete,
    exists,
    func,
    inspect,
    or_,
    select,
    table,
)

from langgraph_worker.store import leases, questions
from langgraph_worker.store.port import Pruned
from langgraph_worker.store.schema import cancellations, interrupts, lineages, tasks, threads, tombstones, workflow_runs
from langgraph_worker.store.statements import insert_missing

_GRACE = timedelta(hours=1)  # after a deadline: whoever still waits has been answered, or gave up
_CHECKPOINTS = ("checkpoints", "writes", "checkpoint_blobs", "checkpoint_writes")
"""The tables of LangGraph's savers, in either database; each has a ``thread_id``."""

_runs = workflow_runs.c


@dataclass(frozen=True, slots=True)
class Retention:
    """What is kept.

    :param older_than: of ended runs: may go.
    :param tombstones: how long a removed run's tombstone stays.
    """

    older_than: timedelta
    tombstones: timedelta


def prune(connection: Connection, retention: Retention, limit: int, now: datetime) -> Pruned:
    """See :meth:`~langgraph_worker.store.port.RunStore.prune`."""
    for expiring in (tombstones, cancellations):
        connection.execute(delete(expiring).where(expiring.c.expires_at <= now))
    going = _lock(connection, _prunable(retention, now), limit)
    if len(going) < limit:
        _forget_announced(connection, now - retention.older_than, limit)
    if not going:
        return Pruned(0, 0)
    _keep_newest(connection, going)
    _bury(connection, going, now, now + retention.tombstones)
    ids = list(going)
    names = {row["thread_id"] for row in going.values()} - {None}
    connection.execute(delete(interrupts).where(interrupts.c.correlation_id.in_(ids)))
    connection.execute(delete(workflow_runs).where(_runs.correlation_id.in_(ids)))
    connection.execute(delete(lineages).where(lineages.c.newest.in_(ids)))
    gone = _delete_threads(connection, names)
    _delete_tasks(connection, {row["task"] for row in going.values()} - {None})
    return Pruned(len(going), gone)


def _prunable(retention: Retention, now: datetime) -> ColumnElement[bool]:
    """Of a run: nothing keeps it, nor any other of its lineage: that may still need to know what was answered."""
    other = workflow_runs.alias()
    kept = exists().where(other.c.lineage == _runs.lineage, _is_kept(other, retention, now))
    asking = exists().where(interrupts.c.lineage == _runs.lineage, questions.is_pending())
    return and_(~_is_kept(workflow_runs, retention, now), ~kept, ~asking)


def _is_kept(runs: FromClause, retention: Retention, now: datetime) -> ColumnElement[bool]:
    return or_(
        runs.c.finished_at.is_(None),
        runs.c.finished_at >= now - retention.older_than,
        runs.c.published_at.is_(None),
        and_(runs.c.deadline.is_not(None), runs.c.deadline >= now - _GRACE),
    )


def _lock(connection: Connection, prunable: ColumnElement[bool], limit: int) -> dict[UUID, dict[str, Any]]:
    """Runs to remove, their tasks and threads locked: in the order of every transaction, and without waiting for a task
    that somebody is just asking for.
    """
    columns = (_runs.correlation_id, _runs.task, _runs.thread_id, _runs.result_status, _runs.finished_at)
    # A lineage's newest after its others, or as many as the limit could wait for others that are never looked at.
    several = select(_runs.lineage).where(_runs.lineage.is_not(None)).group_by(_runs.lineage).having(func.count() > 1)
    goes_last = _runs.correlation_id.in_(select(lineages.c.newest).where(lineages.c.lineage.in_(several)))
    oldest = select(*columns).where(prunable).order_by(goes_last, _runs.finished_at, _runs.seq).limit(limit)
    found = [dict(row) for row in connection.execute(oldest).mappings()]
    wanted = {row["task"] for row in found} - {None}
    free = select(tasks.c.task).where(tasks.c.task.in_(wanted)).order_by(tasks.c.task).with_for_update(skip_locked=True)
    locked = set(connection.execute(free).scalars()) if wanted else set()
    found = [row for row in found if row["task"] is None or row["task"] in locked]
    leases.lock(connection, {row["thread_id"] for row in found} - {None})
    ids = [row["correlation_id"] for row in found]
    # Again: somebody may have asked for one of them once more.
    still = select(_runs.correlation_id).where(_runs.correlation_id.in_(ids), prunable).with_for_update()
    left = set(connection.execute(still).scalars())
    return {row["correlation_id"]: row for row in found if row["correlation_id"] in left}


def _keep_newest(connection: Connection, going: dict[UUID, dict[str, Any]]) -> None:
    """A lineage's newest request tells what the next one is to it: it goes with the last of the lineage's runs."""
    newest = connection.execute(select(lineages.c.lineage, lineages.c.newest).where(lineages.c.newest.in_(list(going))))
    of_lineage = {row.lineage: row.newest for row in newest}
    # Again and again: an answer is the newest of one lineage and belongs to another, which then has to wait for it.
    while of_lineage:
        in_it = and_(_runs.lineage.in_(list(of_lineage)), _runs.correlation_id.not_in(list(going)))
        left = set(connection.execute(select(_runs.lineage).where(in_it)).scalars())
        if not left:
            return
        for lineage in left:
            going.pop(of_lineage.pop(lineage), None)


def _bury(connection: Connection, going: dict[UUID, dict[str, Any]], now: datetime, until: datetime) -> None:
    rows = [
        {
            "correlation_id": of,
            "result_status": row["result_status"],
            "finished_at": row["finished_at"],
            "pruned_at": now,
            "expires_at": until,
        }
        for of, row in going.items()
    ]
    if rows:
        connection.execute(insert_missing(connection, tombstones), rows)


def _delete_threads(connection: Connection, names: Collection[str]) -> int:
    """Remove those that no run belongs to any more, with their checkpoints."""
    used = set(connection.execute(select(_runs.thread_id).where(_runs.thread_id.in_(names)).distinct()).scalars())
    unused = set(names) - used
    if not unused:
        return 0
    present = set(inspect(connection).get_table_names())
    for name in _CHECKPOINTS:
        if name in present:
            thread: ColumnClause[str] = column("thread_id")
            connection.execute(delete(table(name, thread)).where(thread.in_(unused)))
    connection.execute(delete(threads).where(threads.c.thread_id.in_(unused)))
    return len(unused)


def _forget_announced(connection: Connection, before: datetime, limit: int) -> None:
    """Remove the tasks of attempts that were announced before then and whose requests never came."""
    unused = select(tasks.c.task).where(tasks.c.updated_at < before, _is_unused()).order_by(tasks.c.task).limit(limit)
    _delete_tasks(connection, connection.execute(unused.with_for_update(skip_locked=True)).scalars().all())


def _delete_tasks(connection: Connection, keys: Collection[str]) -> None:
    """Remove those of these locked tasks that nothing belongs to any more."""
    if keys:
        connection.execute(delete(tasks).where(tasks.c.task.in_(keys), _is_unused()))


def _is_unused() -> ColumnElement[bool]:
    asked = exists().where(lineages.c.task == tasks.c.task)
    used = exists().where(_runs.task == tasks.c.task)
    return and_(~asked, ~used)
