"""Owning threads: one lease each, proved by the highest token. Every write of an owner asks here first."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, and_, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from langgraph_worker.store.port import Claim, Lease, RunStatus
from langgraph_worker.store.schema import threads, workflow_runs


def is_free(now: datetime) -> ColumnElement[bool]:
    """Of a thread: nobody holds it, or the lease has run out."""
    return or_(threads.c.until.is_(None), threads.c.until <= now)


def is_valid(now: datetime) -> ColumnElement[bool]:
    """Of a thread: its holder's lease has neither run out nor been voided from outside."""
    return and_(threads.c.until > now, threads.c.held == threads.c.token)


async def running(connection: AsyncConnection, lease: Lease, now: datetime) -> UUID | None:
    """The correlation id of the run that the lease is for; None if the lease is void."""
    found = await connection.execute(
        select(threads.c.correlation_id)
        .where(threads.c.thread_id == lease.thread_id, threads.c.token == lease.token, is_valid(now))
        .with_for_update()
    )
    return found.scalar_one_or_none()


async def renew(
    connection: AsyncConnection, worker_id: str, leases: Collection[Lease], *, until: datetime
) -> set[Lease]:
    """See :meth:`~langgraph_worker.store.port.RunStore.renew`."""
    if not leases:
        return set()
    names = {lease.thread_id for lease in leases}
    # Also what has run out: the token says that nobody has taken it, or ended its run, in the meantime.
    held = select(threads.c.thread_id, threads.c.token).where(
        threads.c.thread_id.in_(names), threads.c.owner == worker_id, threads.c.held == threads.c.token
    )
    tokens = {row.thread_id: row.token for row in await connection.execute(held.with_for_update())}
    kept = {lease for lease in leases if tokens.get(lease.thread_id) == lease.token}
    if kept:
        mine = threads.c.thread_id.in_({lease.thread_id for lease in kept})
        await connection.execute(update(threads).where(mine).values(until=until))
    return set(leases) - kept


async def let_go(connection: AsyncConnection, lease: Lease) -> None:
    """Free the thread, if it is still held under this lease, valid or void."""
    mine = and_(threads.c.thread_id == lease.thread_id, threads.c.held == lease.token)
    await connection.execute(update(threads).where(mine).values(owner=None, correlation_id=None, held=None, until=None))


async def release(connection: AsyncConnection, claim: Claim, now: datetime) -> None:
    """See :meth:`~langgraph_worker.store.port.RunStore.release`."""
    if await running(connection, claim.lease, now) == claim.correlation_id:
        waits = {"status": RunStatus.PENDING.value, "waiting_since": now}
        mine = workflow_runs.c.correlation_id == claim.correlation_id
        await connection.execute(update(workflow_runs).where(mine).values(waits))
    await let_go(connection, claim.lease)


async def void_all(connection: AsyncConnection, now: datetime) -> None:
    """Void every lease: whoever held one is known to be dead. Their runs stay RUNNING, and can be taken over."""
    await connection.execute(
        update(threads)
        .where(threads.c.held.is_not(None))
        .values(owner=None, correlation_id=None, held=None, until=None, token=threads.c.token + 1)
    )
    orphans = workflow_runs.c.status == RunStatus.RUNNING.value
    await connection.execute(update(workflow_runs).where(orphans).values(waiting_since=now))


def waits(now: datetime) -> ColumnElement[bool]:
    """Of a run, joined to its thread: unfinished, and nobody is running it."""
    held_for_other = threads.c.correlation_id.is_distinct_from(workflow_runs.c.correlation_id)
    return and_(workflow_runs.c.finished_at.is_(None), or_(is_free(now), held_for_other))
