"""Ending what nobody runs and must not wait longer."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import and_, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from langgraph_worker.store.endings import end_runs, ending, free_threads, past_deadline, unknown_graph
from langgraph_worker.store.leases import waits
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


async def expire(
    connection: AsyncConnection, known_graphs: Collection[str], graph_grace: float, *, max_bytes: int, now: datetime
) -> int:
    """See :meth:`~langgraph_worker.store.port.RunStore.expire`."""
    runs = workflow_runs
    late = runs.c.deadline <= now
    unknown = and_(runs.c.graph.not_in(known_graphs), runs.c.waiting_since <= now - timedelta(seconds=graph_grace))
    found = await connection.execute(
        select(*[runs.c[name] for name in _COLUMNS])
        .join(threads, threads.c.thread_id == runs.c.thread_id)
        .where(waits(now), or_(late, unknown))
        .order_by(runs.c.seq)
    )
    endings = {}
    for row in map(dict, found.mappings()):
        if row["deadline"] is not None and row["deadline"] <= now:
            result = past_deadline(row, now)
        else:
            result = unknown_graph(row, known_graphs, graph_grace, now)
        endings[row["correlation_id"]] = ending(result, max_bytes, now)
    await end_runs(connection, endings)
    if endings:
        await free_threads(connection, endings)
    return len(endings)
