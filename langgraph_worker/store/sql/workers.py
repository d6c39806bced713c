"""The workers of the fleet: when each was last seen, and which graphs it can run."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, insert, select

from langgraph_worker.domain.known_graphs import SEEN_WITHIN_SECONDS, KnownGraphs
from langgraph_worker.domain.models import WorkerInfo
from langgraph_worker.store.migrations.schema import worker_graphs, workers
from langgraph_worker.store.sql.statements import insert_missing

_KEEP = timedelta(days=1)


def announce(connection: Connection, worker: WorkerInfo, now: datetime) -> None:
    """See :meth:`~langgraph_worker.store.port.RunStore.announce`."""
    connection.execute(delete(workers).where(workers.c.seen_at < now - _KEEP))
    described = {
        "worker_id": worker.worker_id,
        "version": worker.version,
        "events_topic": worker.events_topic,
        "consumer_group": worker.consumer_group,
        "uuid_threads": True,
    }
    connection.execute(insert_missing(connection, workers), described | {"started_at": now, "seen_at": now})
    this_worker = workers.c.worker_id == worker.worker_id
    connection.execute(workers.update().where(this_worker).values(described | {"seen_at": now}))
    offered = [
        {"worker_id": worker.worker_id, "graph": name, "description": text} for name, text in worker.graphs.items()
    ]
    connection.execute(delete(worker_graphs).where(worker_graphs.c.worker_id == worker.worker_id))
    if offered:
        connection.execute(insert(worker_graphs), offered)


def seen_within(connection: Connection, within: timedelta, now: datetime) -> list[WorkerInfo]:
    """The workers that announced themselves within this time, by id."""
    since = now - min(within, _KEEP)
    graphs: dict[str, dict[str, str]] = {}
    for row in connection.execute(select(worker_graphs)):
        graphs.setdefault(row.worker_id, {})[row.graph] = row.description or ""
    found = connection.execute(select(workers).where(workers.c.seen_at >= since).order_by(workers.c.worker_id))
    return [
        WorkerInfo(row.worker_id, row.version, row.events_topic, row.consumer_group, graphs.get(row.worker_id, {}))
        for row in found
    ]


def known_graphs(connection: Connection, now: datetime, own: Collection[str]) -> KnownGraphs:
    """Every graph that a worker has announced in the last day, and those of the workers that run now.

    :param own: those of the worker that asks.
    """
    served = _announced_since(connection, now - timedelta(seconds=SEEN_WITHIN_SECONDS))
    return KnownGraphs({*own, *_announced_since(connection, now - _KEEP)}, {*own, *served})


def _announced_since(connection: Connection, since: datetime) -> set[str]:
    recent = select(workers.c.worker_id).where(workers.c.seen_at >= since)
    return set(connection.execute(select(worker_graphs.c.graph).where(worker_graphs.c.worker_id.in_(recent))).scalars())
