"""End the runs that wait, and must not wait longer."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, and_, or_, select

from langgraph_worker.domain.known_graphs import KnownGraphs
from langgraph_worker.domain.pauses import pause_before
from langgraph_worker.store.migrations.schema import threads, workflow_runs
from langgraph_worker.store.sql import leases, pauses
from langgraph_worker.store.sql.endings import EndingContext, end_from_outside, ending
from langgraph_worker.store.sql.last_tries import last_tries, usage_so_far
from langgraph_worker.store.sql.row_by_row import EVERY, Among
from langgraph_worker.store.sql.rows import columns_of
from langgraph_worker.store.sql.run_rows import WaitingRun
from langgraph_worker.store.sql.store_replies import past_deadline, unknown_graph

_AT_ONCE = 500  # threads that are locked, or runs that are looked for


def expire(
    connection: Connection,
    graphs: KnownGraphs,
    grace_seconds: float,
    context: EndingContext,
    among: Among[UUID] = EVERY,
) -> int:
    """See :meth:`~langgraph_worker.store.port.RunStore.expire`.

    :param among: runs.
    """
    runs, now = workflow_runs, context.now
    too_long = and_(_waits_too_long(graphs.names, grace_seconds, now), among.those(runs.c.correlation_id))
    names = _lock_threads(connection, too_long)
    if not names:
        return 0
    # Again, now that no other transaction can claim or end them.
    found = connection.execute(
        select(*columns_of(WaitingRun, runs))
        .join(threads, threads.c.thread_id == runs.c.thread_id)
        .where(runs.c.thread_id.in_(names), too_long)
        .order_by(runs.c.seq)
        .with_for_update(of=runs)
    )
    waiting = WaitingRun.read(found)
    started = [run.correlation_id for run in waiting if run.attempts]
    tries, usage = last_tries(connection, started), usage_so_far(connection, started)
    endings, holders, paused = {}, _holders(connection, names, now), pauses.pauses_on(connection)
    for run in waiting:
        key = run.correlation_id
        if run.deadline is not None and run.deadline <= now:
            holder = holders.get(run.thread_id or "")
            pause = pause_before(paused, run.graph or "", run.workflow_id, run.deadline)
            result = past_deadline(run, run.deadline, graphs, holder, now, tries.get(key), pause)
        else:
            result = unknown_graph(run, graphs.names, grace_seconds, now)
        endings[key] = ending(result.model_copy(update={"usage": usage.get(key, {})}), context)
    end_from_outside(connection, endings, now)
    leases.free(connection, endings)
    return len(endings)


def find_overdue(
    connection: Connection, known_graphs: Collection[str], grace_seconds: float, now: datetime, among: Among[UUID]
) -> list[UUID]:
    """The runs that :func:`expire` would end."""
    runs = workflow_runs
    overdue = select(runs.c.correlation_id).join(threads, threads.c.thread_id == runs.c.thread_id)
    too_long = and_(_waits_too_long(known_graphs, grace_seconds, now), among.those(runs.c.correlation_id))
    return list(connection.execute(overdue.where(too_long).order_by(runs.c.seq).limit(_AT_ONCE)).scalars())


def _waits_too_long(known_graphs: Collection[str], grace_seconds: float, now: datetime) -> ColumnElement[bool]:
    """The condition that a run, joined to its thread, waits and must not wait longer."""
    runs = workflow_runs
    late = runs.c.deadline <= now
    since = now - timedelta(seconds=grace_seconds)
    # A run whose owner is gone waits since its lease ran out.
    lost_it_before = or_(threads.c.correlation_id.is_distinct_from(runs.c.correlation_id), threads.c.until <= since)
    unknown = and_(runs.c.graph.not_in(known_graphs), runs.c.waiting_since <= since, lost_it_before)
    return and_(leases.waits(now), or_(late, unknown))


def _holders(connection: Connection, names: Collection[str], now: datetime) -> dict[str, UUID]:
    """The requests that hold these threads now."""
    held = and_(threads.c.thread_id.in_(names), threads.c.until > now)
    found = connection.execute(select(threads.c.thread_id, threads.c.correlation_id).where(held))
    return {row.thread_id: row.correlation_id for row in found if row.correlation_id is not None}


def _lock_threads(connection: Connection, condition: ColumnElement[bool]) -> list[str]:
    """Lock the threads of such runs, without those that another transaction has locked."""
    found = connection.execute(
        select(threads.c.thread_id)
        .join(workflow_runs, threads.c.thread_id == workflow_runs.c.thread_id)
        .where(condition)
        .order_by(threads.c.thread_id)
        .limit(_AT_ONCE)
        .with_for_update(of=threads, key_share=True, skip_locked=True)
    )
    return sorted(set(found.scalars()))
