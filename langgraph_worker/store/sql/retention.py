"""Remove runs that ended long ago, so that none of them can run again."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
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
    inspect,
    or_,
    select,
    table,
)

from langgraph_worker.domain.models import Pruned
from langgraph_worker.store.migrations.schema import (
    cancellations,
    interrupts,
    lineages,
    tasks,
    threads,
    tombstones,
    workflow_runs,
)
from langgraph_worker.store.sql import leases, model_turns, questions, shared_spending
from langgraph_worker.store.sql.row_by_row import EVERY, Among
from langgraph_worker.store.sql.rows import columns_of
from langgraph_worker.store.sql.run_rows import PrunableRun
from langgraph_worker.store.sql.statements import insert_missing

_GRACE = timedelta(hours=1)  # after a deadline: by then every waiting task has its answer or has given up
_CHECKPOINTS = ("checkpoints", "writes", "checkpoint_blobs", "checkpoint_writes")
"""The tables of LangGraph's savers, in either database; each has a ``thread_id``."""

_runs = workflow_runs.c
_COLUMNS = columns_of(PrunableRun, workflow_runs)


@dataclass(frozen=True, slots=True)
class Retention:
    """How long the store keeps what it has.

    :param older_than: runs that ended longer ago may be removed.
    :param tombstones: how long a removed run's tombstone stays.
    """

    older_than: timedelta
    tombstones: timedelta


def prune(
    connection: Connection, retention: Retention, limit: int, now: datetime, among: Among[UUID] = EVERY
) -> Pruned:
    """See :meth:`~langgraph_worker.store.port.RunStore.prune`.

    :param among: runs.
    """
    for expiring in (tombstones, cancellations):
        connection.execute(delete(expiring).where(expiring.c.expires_at <= now))
    going = _lock(connection, _prunable(retention, now, among), limit)
    if len(going) < limit:
        _forget_announced(connection, now - retention.older_than, limit)
        shared_spending.forget(connection, retention.older_than, now)
        model_turns.forget(connection, now)
    if not going:
        return Pruned(0, 0)
    _keep_newest(connection, going)
    return Pruned(len(going), remove_runs(connection, going, now, now + retention.tombstones))


def remove_runs(connection: Connection, going: Mapping[UUID, PrunableRun], now: datetime, until: datetime) -> int:
    """Remove these runs, whose tasks and threads are locked, with all of their rows; and what no run needs any more.

    :param until: how long their tombstones stay.
    :returns: how many threads went, with their checkpoints.
    """
    _bury(connection, going, now, until)
    ids = list(going)
    names = {run.thread_id for run in going.values() if run.thread_id is not None}
    # By thread too: no index begins with the correlation id.
    asked = and_(interrupts.c.thread_id.in_(names), interrupts.c.correlation_id.in_(ids))
    connection.execute(delete(interrupts).where(asked))
    connection.execute(delete(workflow_runs).where(_runs.correlation_id.in_(ids)))
    connection.execute(delete(lineages).where(lineages.c.newest.in_(ids)))
    gone = delete_threads(connection, names)
    _delete_tasks(connection, {run.task for run in going.values() if run.task is not None})
    return gone


def find_prunable(
    connection: Connection, retention: Retention, limit: int, now: datetime, among: Among[UUID]
) -> Collection[UUID]:
    """The runs that :func:`prune` would remove, in its order."""
    return list(_lock(connection, _prunable(retention, now, among), limit))


def _prunable(retention: Retention, now: datetime, among: Among[UUID]) -> ColumnElement[bool]:
    """The condition that a run may be removed.

    The run and all others of its lineage ended long ago, are published, and are an hour past their deadlines; and the
    lineage has no pending question. The others count because their answers may depend on this run.
    """
    other = workflow_runs.alias()
    kept = exists().where(other.c.lineage == _runs.lineage, ~_is_over(other, retention, now))
    asking = exists().where(interrupts.c.lineage == _runs.lineage, questions.is_pending())
    return and_(_is_over(workflow_runs, retention, now), ~kept, ~asking, among.those(_runs.correlation_id))


def _is_over(runs: FromClause, retention: Retention, now: datetime) -> ColumnElement[bool]:
    """The condition that a run has no reason of its own to stay; a deadline keeps it for an hour longer (the grace).

    Never NULL: what is not published is false. The first two are in the words of the index.
    """
    return and_(
        runs.c.published_at.is_not(None),
        runs.c.finished_at < now - retention.older_than,
        or_(runs.c.deadline.is_(None), runs.c.deadline < now - _GRACE),
    )


def _lock(connection: Connection, prunable: ColumnElement[bool], limit: int) -> dict[UUID, PrunableRun]:
    """Find runs to remove, and lock their tasks, then their threads, as every transaction does.

    Runs of a task that another transaction has locked are left out. The condition is checked again under the locks.
    """
    found = _oldest(connection, prunable, limit)
    wanted = {run.task for run in found if run.task is not None}
    free = select(tasks.c.task).where(tasks.c.task.in_(wanted)).order_by(tasks.c.task).with_for_update(skip_locked=True)
    locked = set(connection.execute(free).scalars()) if wanted else set()
    found = [run for run in found if run.task is None or run.task in locked]
    leases.lock(connection, {run.thread_id for run in found if run.thread_id is not None})
    ids = [run.correlation_id for run in found]
    # Again: one of them may have been requested once more.
    still = select(_runs.correlation_id).where(_runs.correlation_id.in_(ids), prunable).with_for_update()
    left = set(connection.execute(still).scalars())
    return {run.correlation_id: run for run in found if run.correlation_id in left}


def _oldest(connection: Connection, prunable: ColumnElement[bool], limit: int) -> list[PrunableRun]:
    """The runs that ended first, those that must wait for others after these.

    Up to the limit of runs that wait would otherwise hide those others from every call.
    """
    oldest = select(*_COLUMNS).where(prunable).order_by(_runs.finished_at, _runs.seq)
    found: list[PrunableRun] = []
    for condition in (~_goes_last(), _goes_last()):
        if len(found) < limit:
            rows = connection.execute(oldest.where(condition).limit(limit - len(found)))
            found += PrunableRun.read(rows)
    return found


def _goes_last() -> ColumnElement[bool]:
    """The condition that a run is the newest request of a lineage that has others, see :func:`_keep_newest`."""
    other = workflow_runs.alias()
    others = exists().where(other.c.lineage == lineages.c.lineage, other.c.correlation_id != lineages.c.newest)
    return exists().where(lineages.c.newest == _runs.correlation_id, others)


def _keep_newest(connection: Connection, going: dict[UUID, PrunableRun]) -> None:
    """Keep each lineage's newest request until the lineage's last run goes: the next request is compared with it."""
    newest = connection.execute(select(lineages.c.lineage, lineages.c.newest).where(lineages.c.newest.in_(list(going))))
    of_lineage = {row.lineage: row.newest for row in newest}
    # More than once: an answer can be the newest request of one lineage and a run of another, which then has to wait.
    while of_lineage:
        in_it = and_(_runs.lineage.in_(list(of_lineage)), _runs.correlation_id.not_in(list(going)))
        left = set(connection.execute(select(_runs.lineage).where(in_it)).scalars())
        if not left:
            return
        for lineage in left:
            going.pop(of_lineage.pop(lineage), None)


def _bury(connection: Connection, going: Mapping[UUID, PrunableRun], now: datetime, until: datetime) -> None:
    rows = [
        {
            "correlation_id": run.correlation_id,
            "result_status": run.result_status,
            "finished_at": run.finished_at,
            "pruned_at": now,
            "expires_at": until,
        }
        for run in going.values()
    ]
    if rows:
        connection.execute(insert_missing(connection, tombstones), rows)


def delete_threads(connection: Connection, names: Collection[str]) -> int:
    """Remove the threads that have no run any more, with their checkpoints; return how many."""
    if not names:
        return 0
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
    """Remove the tasks of attempts that were announced before then, and whose requests never came."""
    unused = select(tasks.c.task).where(tasks.c.updated_at < before, _is_unused())
    # Oldest first, as the index has them. It waits for no lock, so they need not be taken in their order.
    oldest = unused.order_by(tasks.c.updated_at).limit(limit).with_for_update(skip_locked=True)
    _delete_tasks(connection, connection.execute(oldest).scalars().all())


def _delete_tasks(connection: Connection, keys: Collection[str]) -> None:
    """Remove those of these locked tasks that have no run and no lineage any more."""
    if keys:
        connection.execute(delete(tasks).where(tasks.c.task.in_(keys), _is_unused()))


def _is_unused() -> ColumnElement[bool]:
    has_lineage = exists().where(lineages.c.task == tasks.c.task)
    has_run = exists().where(_runs.task == tasks.c.task)
    return and_(~has_lineage, ~has_run)
