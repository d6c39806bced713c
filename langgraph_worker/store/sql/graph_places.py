"""How many more runs of each graph may start, where the graph has a limit over all workers (``max_running``).

A run takes a place of its graph from its claim until its thread is let go, or its lease ends: also when it was ended
from outside, for its nodes may still be at work. So a place is a held thread, and nothing has to be counted up or down.

Two claims that count at the same moment would both find the last place free. So a claim first takes the lock of each
graph that has room: on PostgreSQL an advisory lock of the transaction, in the order of the keys; SQLite has one writer.
A worker that stands still in its claim holds others up no longer than the server lets its transaction stand idle.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from hashlib import sha256

from sqlalchemy import ARRAY, BigInteger, Connection, bindparam, column, func, select

from langgraph_worker.store.migrations.schema import UtcDateTime, threads, workflow_runs

_LOCKS = 0x6C67_6D72  # the first half of PostgreSQL's advisory locks of graphs
_taken = (
    select(workflow_runs.c.graph, func.count().label("taken"))
    .join(threads, threads.c.correlation_id == workflow_runs.c.correlation_id)
    .where(
        threads.c.correlation_id.is_not(None),
        threads.c.until > bindparam("now", type_=UtcDateTime()),
        workflow_runs.c.graph.in_(bindparam("graphs", expanding=True)),
    )
    .group_by(workflow_runs.c.graph)
)
_keys = func.unnest(bindparam("keys", type_=ARRAY(BigInteger))).table_valued(column("key", BigInteger), name="keys")
_keys = _keys.render_derived()
_lock = select(func.pg_advisory_xact_lock(_keys.c.key)).select_from(_keys)

Rooms = Mapping[str, int | None]
"""By graph, how many more of its runs may start; None: as many as there are. A graph that is full is left out."""


def rooms(connection: Connection, graphs: Collection[str], limits: Mapping[str, int], now: datetime) -> Rooms:
    """The rooms as they are now. Without :func:`lock_rooms` they may be taken before this transaction ends.

    :param limits: most runs at once over all workers, by graph; other graphs have none.
    """
    limited = [graph for graph in graphs if graph in limits]
    found: dict[str, int | None] = dict.fromkeys(graphs)
    if limited:
        taken = {row.graph: row.taken for row in connection.execute(_taken, {"graphs": limited, "now": now})}
        found |= {graph: limits[graph] - taken.get(graph, 0) for graph in limited}
    return {graph: room for graph, room in found.items() if room is None or room > 0}


def lock_rooms(connection: Connection, graphs: Collection[str], limits: Mapping[str, int], now: datetime) -> Rooms:
    """The rooms, which no other transaction takes until this one ends. Has to come before its other locks.

    A graph that is full is not locked: claims of other graphs do not wait for it.
    """
    found = rooms(connection, graphs, limits, now)
    limited = [graph for graph, room in found.items() if room is not None]
    if not limited or connection.dialect.name != "postgresql":
        return found
    connection.execute(_lock, {"keys": sorted(_key(graph) for graph in limited)})
    # Again, in a statement that sees what was committed while this transaction waited.
    return rooms(connection, found, limits, now)


def _key(graph: str) -> int:
    """The same in every worker; two graphs that share one by chance only wait for each other."""
    return _LOCKS << 32 | int.from_bytes(sha256(graph.encode()).digest()[:4])
