"""Ending what nobody runs and must not wait longer."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

from sqlalchemy import ColumnElement, Connection, and_, or_, select

from langgraph_worker.store import leases
from langgraph_worker.store.endings import Terms, end_runs, ending, past_deadline, unknown_graph
from langgraph_worker.store.schema import threads, workflow_runs

_COLUMNS = (
    "correlation_id",
    "workflow_id",
    "workflow_run_id",
    "graph",
    "thread_id",
    "deadline",
    "attempts",
    "started_at",
)


_LOCKED_AT_ONCE = 500


def expire(connection: Connection, known_graphs: Collection[str], graph_grace: float, terms: Terms) -> int:
    """See :meth:`~langgraph_worker.store.port.RunStore.expire`."""
    runs, now = workflow_runs, terms.now
    late = runs.c.deadline <= now
    since = now - timedelta(seconds=graph_grace)
    # A run whose owner is gone waits since its lease ran out.
    lost_it_before = or_(threads.c.correlation_id.is_distinct_from(runs.c.correlation_id), threads.c.until <= since)
    unknown = and_(runs.c.graph.not_in(known_graphs), runs.c.waiting_since <= since, lost_it_before)
    too_long = and_(leases.waits(now), or_(late, unknown))
    names = _threads(connection, too_long)
    if not names:
        return 0
    # Again, now that nobody can claim or end them meanwhile.
    found = connection.execute(
        select(*[runs.c[name] for name in _COLUMNS])
        .join(threads, threads.c.thread_id == runs.c.thread_id)
        .where(runs.c.thread_id.in_(names), too_long)
        .order_by(runs.c.seq)
        .with_for_update(of=runs)
    )
    endings = {}
    for row in map(dict, found.mappings()):
        if row["deadline"] is not None and row["deadline"] <= now:
            result = past_deadline(row, now)
        else:
            result = unknown_graph(row, known_graphs, graph_grace, now)
        endings[row["correlation_id"]] = ending(result, terms)
    end_runs(connection, endings)
    leases.free(connection, endings)
    return len(endings)


def _threads(connection: Connection, condition: ColumnElement[bool]) -> list[str]:
    """Lock the threads of such runs, but for those that somebody is just writing to."""
    found = connection.execute(
        select(threads.c.thread_id)
        .join(workflow_runs, threads.c.thread_id == workflow_runs.c.thread_id)
        .where(condition)
        .order_by(threads.c.thread_id)
        .limit(_LOCKED_AT_ONCE)
        .with_for_update(of=threads, key_share=True, skip_locked=True)
    )
    return sorted(set(found.scalars()))
