"""The rows of LangGraph's savers, as far as the worker itself reads them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, bindparam, column, select, table

HAS_DELTAS = "counters_since_delta_snapshot"
"""In the metadata of a checkpoint that is rebuilt from those before it."""
CALL = ":"
"""In the namespace of a subgraph's single call; that of one that keeps its state has none."""

_LOOKED_AT = 100  # checkpoints at a time

checkpoints = table(
    "checkpoints",
    column("thread_id"),
    column("checkpoint_ns"),
    column("checkpoint_id"),
    column("parent_checkpoint_id"),
    column("metadata"),
)
_c = checkpoints.c
_metadata = (
    select(_c.checkpoint_id, _c.metadata)
    .where(
        _c.thread_id == bindparam("thread"),
        _c.checkpoint_ns == bindparam("namespace"),
        _c.checkpoint_id <= bindparam("newest"),
    )
    .order_by(_c.checkpoint_id.desc())
    .limit(bindparam("count"))
)
_next = _metadata.where(_c.checkpoint_id < bindparam("before"))


def newest_first(
    connection: Connection, thread: str, namespace: str, newest: str, count: int
) -> list[tuple[str, dict[str, Any]]]:
    """The ids of a namespace's checkpoints up to this one, each with its metadata: at most ``count``."""
    look = {"thread": thread, "namespace": namespace, "newest": newest, "count": count}
    return [(one, _read(found)) for one, found in connection.execute(_metadata, look)]


def needed_for(connection: Connection, thread: str, namespace: str, newest: str) -> list[str]:
    """The ids of the checkpoints that make up the state at the newest one up to this id: it, and if it has deltas,
    those before it down to one that is whole. The newest is the first; empty: there is none.
    """
    found = []
    for one, metadata in _all(connection, thread, namespace, newest):
        found.append(one)
        if HAS_DELTAS not in metadata:
            break
    return found


def _all(connection: Connection, thread: str, namespace: str, newest: str) -> Iterator[tuple[str, dict[str, Any]]]:
    look = {"thread": thread, "namespace": namespace, "newest": newest, "count": _LOOKED_AT}
    page = connection.execute(_metadata, look).all()
    while page:
        yield from ((one, _read(found)) for one, found in page)
        page = connection.execute(_next, look | {"before": page[-1].checkpoint_id}).all()


def _read(metadata: Any) -> dict[str, Any]:
    """A checkpoint's metadata: PostgreSQL's driver reads its JSON, SQLite has bytes of it."""
    try:
        found = metadata if isinstance(metadata, dict) else json.loads(metadata)
    except (TypeError, ValueError):
        found = None
    return found if isinstance(found, dict) else {HAS_DELTAS: None}  # what cannot be read, stays
