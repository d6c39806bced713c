"""What a thread's checkpoints are, for people. No class of the project is loaded for it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from langgraph.checkpoint.base import CheckpointTuple
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from sqlalchemy import Connection, inspect

from langgraph_worker.checkpoints.make_dialect import make_dialect
from langgraph_worker.checkpoints.resumed_graphs import next_nodes
from langgraph_worker.store.sql.checkpoint_rows import checkpoints
from langgraph_worker.store.sql.run_store import SqlRunStore

MOST = 1_000
"""How many checkpoints of a run are listed: the newest ones."""


@dataclass(frozen=True, slots=True)
class CheckpointView:
    """One checkpoint of a run's own graph.

    :param written_at: by the clock of the worker's host; None: it does not say.
    :param step: the superstep that wrote it: -1 is the input's; None: it does not say.
    :param source: what wrote it: ``input``, ``loop`` (a superstep), ``update`` or ``fork``.
    :param next: the nodes that run behind it, as far as it names them; empty: the graph has ended.
    """

    checkpoint_id: str
    written_at: datetime | None
    step: int | None
    source: str | None
    next: tuple[str, ...]


async def checkpoints_of(store: SqlRunStore, thread_id: str, logical_run: UUID) -> list[CheckpointView]:
    """The checkpoints that a logical run wrote to its thread, or begins with, the oldest first: at most :data:`MOST`.

    :raises StoreError: the database failed.
    """
    # Values that the project's classes stand for are read as plain data, and LangGraph would log each.
    logging.getLogger("langgraph.checkpoint.serde.jsonplus").setLevel(logging.ERROR)
    serde: Any = JsonPlusSerializer(allowed_msgpack_modules=())
    dialect = make_dialect(store, serde)
    config: Any = {"configurable": {"thread_id": thread_id, "checkpoint_ns": ""}}

    def read(connection: Connection) -> list[CheckpointTuple]:
        if not inspect(connection).has_table(checkpoints.name):
            return []  # no worker has made them yet
        return list(dialect.reader(connection).list(config, filter={"run_id": str(logical_run)}, limit=MOST))

    return [_view(found) for found in reversed(await store.read(read))]


def _view(found: CheckpointTuple) -> CheckpointView:
    checkpoint, metadata = found.checkpoint, found.metadata
    return CheckpointView(
        checkpoint_id=checkpoint["id"],
        written_at=_time(checkpoint.get("ts")),
        step=metadata.get("step"),
        source=metadata.get("source"),
        next=tuple(sorted(next_nodes(checkpoint))),
    )


def _time(text: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
