"""How much is unfinished."""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from langgraph_worker.store.port import Backlog
from langgraph_worker.store.schema import workflow_runs

_runs = workflow_runs.c
_of_graphs = (
    select(_runs.graph, func.count(), func.coalesce(func.sum(_runs.event_bytes), 0))
    .where(_runs.finished_at.is_(None))
    .group_by(_runs.graph)
)


def of_graphs(connection: Connection) -> dict[str, Backlog]:
    """See :meth:`~langgraph_worker.store.port.RunStore.backlog`."""
    return {graph: Backlog(count, int(size)) for graph, count, size in connection.execute(_of_graphs)}
