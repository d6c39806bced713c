"""Threads and their leases. A thread has one lease, which its token proves. Every write of an owner is checked here.

A claim raises the thread's token. So if a lease has the thread's token, no other worker has taken the thread since,
whatever the clocks say: time only decides when the thread may be taken. Locks are always taken in one order (tasks,
then threads by name, then runs), so that no two transactions wait for each other.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from uuid import UUID

from sqlalchemy import BindParameter, ColumnElement, Connection, and_, bindparam, or_, select, update

from langgraph_worker.domain.models import Lease, RunStatus
from langgraph_worker.store.migrations.schema import threads, workflow_runs
from langgraph_worker.store.sql.rows import LockedThread, columns_of

_FREED = {"owner": None, "correlation_id": None, "held": None, "until": None}


def is_free(now: datetime | BindParameter[datetime]) -> ColumnElement[bool]:
    """The condition that no worker holds a thread, or that its lease has run out."""
    return or_(threads.c.until.is_(None), threads.c.until <= now)


def waits(now: datetime) -> ColumnElement[bool]:
    """The condition that a run, joined to its thread, is unfinished and no worker runs it."""
    held_for_other = threads.c.correlation_id.is_distinct_from(workflow_runs.c.correlation_id)
    return and_(workflow_runs.c.finished_at.is_(None), or_(is_free(now), held_for_other))


_lock = (
    select(*columns_of(LockedThread, threads))
    .where(threads.c.thread_id.in_(bindparam("names", expanding=True)))
    .order_by(threads.c.thread_id)
    # Not the strongest lock: a request that is being accepted for the thread refers to its row.
    .with_for_update(key_share=True)
)


def lock(connection: Connection, names: Collection[str]) -> dict[str, LockedThread]:
    """Lock threads for this transaction. No other one then changes their runs' status, questions or checkpoints."""
    if not names:
        return {}
    found = connection.execute(_lock, {"names": sorted(names)})
    return {thread.thread_id: thread for thread in LockedThread.read(found)}


def run_with_valid_lease(lease: Lease, locked: Mapping[str, LockedThread]) -> UUID | None:
    """The correlation id of the run that the lease is for; None if the lease is void."""
    thread = locked.get(lease.thread_id)
    if thread is None or thread.held != thread.token or thread.token != lease.token:
        return None
    return thread.correlation_id


def renew(connection: Connection, worker_id: str, leases: Collection[Lease], *, until: datetime) -> set[Lease]:
    """See :meth:`~langgraph_worker.store.port.RunStore.renew`."""
    if not leases:
        return set()
    locked = lock(connection, {lease.thread_id for lease in leases})
    good = {lease for lease in leases if run_with_valid_lease(lease, locked) is not None}
    kept = {lease for lease in good if locked[lease.thread_id].owner == worker_id}
    if kept:
        mine = threads.c.thread_id.in_({lease.thread_id for lease in kept})
        connection.execute(update(threads).where(mine).values(until=until))
    return set(leases) - kept


def spare(connection: Connection, worker_id: str, leases: Collection[Lease], now: datetime) -> None:
    """See :meth:`~langgraph_worker.store.port.RunStore.spare`."""
    locked = lock(connection, {lease.thread_id for lease in leases})
    held = {lease: run_with_valid_lease(lease, locked) for lease in leases}
    runs = {run for lease, run in held.items() if run is not None and locked[lease.thread_id].owner == worker_id}
    if runs:
        pending = {"status": RunStatus.PENDING.value, "waiting_since": now}
        connection.execute(update(workflow_runs).where(workflow_runs.c.correlation_id.in_(runs)).values(pending))
        void(connection, runs)


_let_go = (
    update(threads)
    .where(
        threads.c.thread_id == bindparam("thread"),
        threads.c.held == bindparam("held_under"),
        # A thread that was pruned, and has come again by its shared name, counts its tokens anew.
        threads.c.correlation_id == bindparam("run"),
    )
    .values(_FREED)
)


def let_go(connection: Connection, runs: Collection[tuple[UUID, Lease]]) -> None:
    """Free each thread that one of these runs still holds under its lease, also if that lease is void.

    :param runs: their correlation ids, each with its lease.
    """
    if runs:
        rows = [{"thread": lease.thread_id, "held_under": lease.token, "run": run} for run, lease in runs]
        connection.execute(_let_go, rows)


def free(connection: Connection, correlation_ids: Collection[UUID]) -> None:
    """Free the threads that these runs hold."""
    if correlation_ids:
        held = threads.c.correlation_id.in_(correlation_ids)
        connection.execute(update(threads).where(held).values(_FREED))


def void(connection: Connection, correlation_ids: Collection[UUID]) -> None:
    """Raise the token of every thread that one of these runs holds; it stays held until its owner lets go (rule 3)."""
    if correlation_ids:
        held = threads.c.correlation_id.in_(correlation_ids)
        connection.execute(update(threads).where(held).values(token=threads.c.token + 1))


def void_all(connection: Connection, now: datetime) -> None:
    """Void every lease: the process that held them is known to be gone. Its runs stay RUNNING, to be taken over."""
    connection.execute(update(threads).where(threads.c.held.is_not(None)).values(**_FREED, token=threads.c.token + 1))
    orphans = workflow_runs.c.status == RunStatus.RUNNING.value
    connection.execute(update(workflow_runs).where(orphans).values(waiting_since=now))
