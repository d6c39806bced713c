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
    and_,
    column,
    delete,
    exists,
    inspect,
    or_,
    select,
    table,
)

from langgraph_worker.store import leases, questions
from langgraph_worker.store.port import Pruned
from langgraph_worker.store.schema import interrupts, lineages, tasks, threads, tombstones, workflow_runs
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
    connection.execute(delete(tombstones).where(tombstones.c.expires_at <= now))
    going = _lock(connection, _prunable(retention, now), limit)
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
    asked = exists().where(interrupts.c.lineage == _runs.lineage, questions.is_pending())
    return and_(
        _runs.finished_at < now - retention.older_than,
        _runs.published_at.is_not(None),
        or_(_runs.deadline.is_(None), _runs.deadline < now - _GRACE),
        ~asked,
    )


def _lock(connection: Connection, prunable: ColumnElement[bool], limit: int) -> dict[UUID, dict[str, Any]]:
    """Runs to remove, their tasks and threads locked: in the order of every transaction, and without waiting for a task
    that somebody is just asking for.
    """
    columns = (_runs.correlation_id, _runs.task, _runs.thread_id, _runs.result_status, _runs.finished_at)
    oldest = select(*columns).where(prunable).order_by(_runs.finished_at, _runs.seq).limit(limit)
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
    if not of_lineage:
        return
    others = select(_runs.lineage).where(_runs.lineage.in_(list(of_lineage)), _runs.correlation_id.not_in(list(going)))
    for lineage in set(connection.execute(others).scalars()):
        going.pop(of_lineage[lineage], None)


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


def _delete_tasks(connection: Connection, keys: Collection[str]) -> None:
    unasked = ~exists().where(lineages.c.task == tasks.c.task)
    unused = ~exists().where(_runs.task == tasks.c.task)
    connection.execute(delete(tasks).where(tasks.c.task.in_(keys), unasked, unused))
