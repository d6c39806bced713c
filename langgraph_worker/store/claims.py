"""Claiming: which runs can start, and their start."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Select, and_, bindparam, exists, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from langgraph_worker.store.endings import MAX_TAKEOVERS, end_runs, ending, free_threads, worker_lost
from langgraph_worker.store.leases import is_free
from langgraph_worker.store.port import Claim, Decision, Lease, RunStatus
from langgraph_worker.store.schema import lineages, threads, workflow_runs
from langgraph_worker.store.statements import Row
from workflow_events.models import WorkflowEvent

_COLUMNS = (
    "correlation_id",
    "workflow_id",
    "workflow_run_id",
    "status",
    "decision",
    "event",
    "graph",
    "generation",
    "logical_run",
    "thread_id",
    "accepted_at",
    "started_at",
    "attempts",
    "takeovers",
    "worker_id",
)
_STARTED = ("status", "attempts", "takeovers", "worker_id", "started_at")
_start = (
    update(workflow_runs)
    .where(workflow_runs.c.correlation_id == bindparam("of"))
    .values({name: bindparam(name) for name in _STARTED})
)
_HELD = ("token", "held", "owner", "correlation_id", "until")
_hold = update(threads).where(threads.c.thread_id == bindparam("of")).values({name: bindparam(name) for name in _HELD})


async def claim(
    connection: AsyncConnection,
    worker_id: str,
    limit: int,
    graphs: Collection[str],
    *,
    until: datetime,
    max_bytes: int,
    now: datetime,
) -> list[Claim]:
    """See :meth:`~langgraph_worker.store.port.RunStore.claim`. Ends those whose owners vanished too often."""
    if limit < 1 or not graphs:
        return []
    found = [dict(row) for row in (await connection.execute(_claimable(graphs, limit, now))).mappings()]
    for row in found:
        row["takeovers"] += row["status"] == RunStatus.RUNNING  # found running, and nobody holds its thread
    lost = {row["correlation_id"]: row for row in found if row["takeovers"] > MAX_TAKEOVERS}
    if lost:
        await end_runs(connection, {of: ending(worker_lost(row, now), max_bytes, now) for of, row in lost.items()})
        await free_threads(connection, lost)
    taken = [_taken(row, worker_id, until, now) for row in found if row["correlation_id"] not in lost]
    if taken:
        await connection.execute(_start, [{**_only(row, _STARTED), "of": row["correlation_id"]} for row in taken])
        await connection.execute(_hold, [{**_only(row, _HELD), "of": row["thread_id"]} for row in taken])
    return [_claim(row) for row in taken]


def _claimable(graphs: Collection[str], limit: int, now: datetime) -> Select[Any]:
    """Runs with a free thread, the oldest of each thread, oldest first."""
    runs, older = workflow_runs, workflow_runs.alias()
    in_time = or_(runs.c.deadline.is_(None), runs.c.deadline > now)
    goes_first = and_(
        older.c.thread_id == runs.c.thread_id,
        older.c.finished_at.is_(None),
        older.c.seq < runs.c.seq,
        or_(older.c.deadline.is_(None), older.c.deadline > now),
    )
    of_its_generation = and_(lineages.c.lineage == runs.c.lineage, lineages.c.generation == runs.c.generation)
    return (
        select(*[runs.c[name] for name in _COLUMNS], threads.c.token, lineages.c.nodes)
        .select_from(runs)
        .join(threads, threads.c.thread_id == runs.c.thread_id)
        .outerjoin(lineages, of_its_generation)
        .where(runs.c.finished_at.is_(None), runs.c.graph.in_(graphs), in_time, is_free(now))
        .where(~exists().where(goes_first))
        .order_by(runs.c.seq)
        .limit(limit)
    )


def _taken(row: Row, worker_id: str, until: datetime, now: datetime) -> Row:
    token = row["token"] + 1
    return row | {
        "status": RunStatus.RUNNING.value,
        "attempts": row["attempts"] + 1,
        "worker_id": worker_id,
        "started_at": row["started_at"] or now,
        "token": token,
        "held": token,
        "owner": worker_id,
        "until": until,
    }


def _only(row: Row, names: Collection[str]) -> Row:
    return {name: row[name] for name in names}


def _claim(row: Row) -> Claim:
    return Claim(
        event=WorkflowEvent.model_validate_json(row["event"]),
        graph=row["graph"],
        thread_id=row["thread_id"],
        logical_run=row["logical_run"],
        generation=row["generation"],
        resumes=row["decision"] == Decision.RESUMED or row["attempts"] > 1,
        attempts=row["attempts"],
        nodes=None if row["nodes"] is None else frozenset(row["nodes"]),
        lease=Lease(row["thread_id"], row["token"]),
        accepted_at=row["accepted_at"],
    )
