"""How many requests are in each status, and how large the unfinished ones are."""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from langgraph_worker.domain.models import Backlog, Decision, FleetFigures, RunStatus
from langgraph_worker.store.migrations.schema import pauses, workflow_runs

_runs = workflow_runs.c
_is_answer = _runs.decision == Decision.ANSWER.value
_deployment = func.coalesce(_runs.deployment, "")
_unfinished = (
    select(_runs.graph, _deployment, _is_answer, func.count(), func.coalesce(func.sum(_runs.event_bytes), 0))
    .where(_runs.finished_at.is_(None))
    .group_by(_runs.graph, _deployment, _is_answer)
)
_under_way = (
    select(_runs.graph, _runs.status, func.count())
    .where(_runs.finished_at.is_(None))
    .group_by(_runs.graph, _runs.status)
)
_paused = select(func.count()).where(pauses.c.is_on)
_unpublished = select(func.count()).where(_runs.published_at.is_(None), _runs.finished_at.is_not(None))


def unfinished(connection: Connection) -> dict[tuple[str, str], Backlog]:
    """See :meth:`~langgraph_worker.store.port.RunStore.backlog`."""
    found = {
        (graph, deployment, bool(answer)): (count, int(size))
        for graph, deployment, answer, count, size in connection.execute(_unfinished)
    }
    return {
        (graph, deployment): Backlog(
            *found.get((graph, deployment, False), (0, 0)), *found.get((graph, deployment, True), (0, 0))
        )
        for graph, deployment, _ in found
    }


def fleet_figures(connection: Connection) -> FleetFigures:
    """See :meth:`~langgraph_worker.store.port.RunStore.fleet_figures`."""
    found: dict[RunStatus, dict[str, int]] = {RunStatus.PENDING: {}, RunStatus.RUNNING: {}}
    for graph, status, count in connection.execute(_under_way):
        found[RunStatus(status)][graph or ""] = count
    unpublished, paused = (connection.execute(count).scalar_one() for count in (_unpublished, _paused))
    return FleetFigures(found[RunStatus.PENDING], found[RunStatus.RUNNING], unpublished, paused)


def counts(connection: Connection) -> dict[RunStatus, int]:
    """See :meth:`~langgraph_worker.store.port.RunStore.counts`."""
    rows = connection.execute(select(_runs.status, func.count()).group_by(_runs.status))
    found = {RunStatus(status): count for status, count in rows}
    return {status: found.get(status, 0) for status in RunStatus}
