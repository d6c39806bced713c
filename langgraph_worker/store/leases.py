"""Owning threads: one lease each, proved by its token. Every write of an owner asks here first.

A thread is claimed by raising its token. So a token that is still the thread's says that nobody has taken the thread
since, whatever the clocks say: time only decides when it may be taken. Locks are always taken in one order, tasks,
then threads by name, then runs, so that no two transactions wait for each other.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import BindParameter, ColumnElement, Connection, and_, bindparam, or_, select, update

from langgraph_worker.store.port import Lease, RunStatus
from langgraph_worker.store.schema import threads, workflow_runs

_FREED = {"owner": None, "correlation_id": None, "held": None, "until": None}


@dataclass(frozen=True, slots=True)
class Thread:
    """A thread's row, locked by this transaction.

    :param correlation_id: the run that holds it.
    :param held: the token that its holder was given.
    """

    token: int
    held: int | None
    owner: str | None
    correlation_id: UUID | None


def is_free(now: datetime | BindParameter[datetime]) -> ColumnElement[bool]:
    """Of a thread: nobody holds it, or the lease has run out."""
    return or_(threads.c.until.is_(None), threads.c.until <= now)


def waits(now: datetime) -> ColumnElement[bool]:
    """Of a run, joined to its thread: unfinished, and nobody is running it."""
    held_for_other = threads.c.correlation_id.is_distinct_from(workflow_runs.c.correlation_id)
    return and_(workflow_runs.c.finished_at.is_(None), or_(is_free(now), held_for_other))


_lock = (
    select(threads.c.thread_id, threads.c.token, threads.c.held, threads.c.owner, threads.c.correlation_id)
    .where(threads.c.thread_id.in_(bindparam("names", expanding=True)))
    .order_by(threads.c.thread_id)
    # Not the strongest lock: a request that is being accepted for the thread refers to its row.
    .with_for_update(key_share=True)
)


def lock(connection: Connection, names: Collection[str]) -> dict[str, Thread]:
    """Lock threads for this transaction. Their runs' status, their interrupts and checkpoints then stand still."""
    if not names:
        return {}
    found = connection.execute(_lock, {"names": sorted(names)})
    return {row.thread_id: Thread(row.token, row.held, row.owner, row.correlation_id) for row in found}


def run_of(lease: Lease, locked: dict[str, Thread]) -> UUID | None:
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
    good = {lease for lease in leases if run_of(lease, locked) is not None}
    kept = {lease for lease in good if locked[lease.thread_id].owner == worker_id}
    if kept:
        mine = threads.c.thread_id.in_({lease.thread_id for lease in kept})
        connection.execute(update(threads).where(mine).values(until=until))
    return set(leases) - kept


_let_go = (
    update(threads).where(threads.c.thread_id == bindparam("of"), threads.c.held == bindparam("under")).values(_FREED)
)


def let_go(connection: Connection, leases: Collection[Lease]) -> None:
    """Free the threads that are still held under these leases, valid or void."""
    if leases:
        connection.execute(_let_go, [{"of": lease.thread_id, "under": lease.token} for lease in leases])


def free(connection: Connection, correlation_ids: Collection[UUID]) -> None:
    """Take the threads that these runs hold from them."""
    if correlation_ids:
        held = threads.c.correlation_id.in_(correlation_ids)
        connection.execute(update(threads).where(held).values(_FREED))


def void(connection: Connection, correlation_ids: Collection[UUID]) -> None:
    """Raise the token of every thread that one of these runs holds; it stays held until its owner lets go (rule 3)."""
    if correlation_ids:
        held = threads.c.correlation_id.in_(correlation_ids)
        connection.execute(update(threads).where(held).values(token=threads.c.token + 1))


def void_all(connection: Connection, now: datetime) -> None:
    """Void every lease: whoever held one is known to be dead. Their runs stay RUNNING, and can be taken over."""
    connection.execute(update(threads).where(threads.c.held.is_not(None)).values(**_FREED, token=threads.c.token + 1))
    orphans = workflow_runs.c.status == RunStatus.RUNNING.value
    connection.execute(update(workflow_runs).where(orphans).values(waiting_since=now))
