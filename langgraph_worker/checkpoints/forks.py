"""The copy of a thread's state at a checkpoint, with which a fork begins.

The rows are copied as they are, without a look into their values. What nodes had written behind the checkpoint is left
out: they run again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from langgraph_worker.checkpoints.saver import RunSaver
from langgraph_worker.domain.models import Claim
from langgraph_worker.store.engines.database import Statement
from langgraph_worker.store.sql.fork_origins import state_at

_CHECKPOINT = "checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata"
# The checkpoints are the last: what is removed of the origin meanwhile leaves none, and not one without its values.
_POSTGRES = (
    "INSERT INTO checkpoint_blobs (thread_id, checkpoint_ns, channel, version, type, blob)"
    " SELECT %(to)s, value.checkpoint_ns, value.channel, value.version, value.type, value.blob"
    " FROM checkpoint_blobs AS value"
    " WHERE value.thread_id = %(origin)s AND value.checkpoint_ns = %(namespace)s AND EXISTS (SELECT 1 FROM checkpoints"
    " AS one WHERE one.thread_id = value.thread_id AND one.checkpoint_ns = value.checkpoint_ns"
    " AND one.checkpoint_id = ANY(%(ids)s)"
    " AND one.checkpoint -> 'channel_versions' ->> value.channel = value.version)"
    " ON CONFLICT DO NOTHING",
    "INSERT INTO checkpoint_writes"
    " (thread_id, checkpoint_ns, checkpoint_id, task_id, idx, channel, type, blob, task_path)"
    " SELECT %(to)s, checkpoint_ns, checkpoint_id, task_id, idx, channel, type, blob, task_path FROM checkpoint_writes"
    " WHERE thread_id = %(origin)s AND checkpoint_ns = %(namespace)s AND checkpoint_id = ANY(%(older)s)"
    " ON CONFLICT DO NOTHING",
    f"INSERT INTO checkpoints (thread_id, {_CHECKPOINT}) SELECT %(to)s, {_CHECKPOINT} FROM checkpoints"
    " WHERE thread_id = %(origin)s AND checkpoint_ns = %(namespace)s AND checkpoint_id = ANY(%(ids)s)"
    " ON CONFLICT DO NOTHING",
    "UPDATE checkpoints SET parent_checkpoint_id = NULL"
    " WHERE thread_id = %(to)s AND checkpoint_ns = %(namespace)s AND checkpoint_id = %(oldest)s",
    "UPDATE checkpoints SET metadata = jsonb_set(metadata, '{run_id}', to_jsonb(%(run)s::text))"
    " WHERE thread_id = %(to)s AND checkpoint_ns = %(namespace)s AND checkpoint_id = %(newest)s",
)
_SQLITE = (
    f"INSERT OR IGNORE INTO checkpoints (thread_id, {_CHECKPOINT}) SELECT :to, {_CHECKPOINT} FROM checkpoints"
    " WHERE thread_id = :origin AND checkpoint_ns = :namespace"
    " AND checkpoint_id IN (SELECT value FROM json_each(:ids))",
    "INSERT OR IGNORE INTO writes"
    " (thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, value)"
    " SELECT :to, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, value FROM writes"
    " WHERE thread_id = :origin AND checkpoint_ns = :namespace"
    " AND checkpoint_id IN (SELECT value FROM json_each(:older))",
    "UPDATE checkpoints SET parent_checkpoint_id = NULL"
    " WHERE thread_id = :to AND checkpoint_ns = :namespace AND checkpoint_id = :oldest",
    "UPDATE checkpoints SET"
    " metadata = CAST(json_set(CAST(metadata AS TEXT), '$.run_id', :run) AS BLOB)"
    " WHERE thread_id = :to AND checkpoint_ns = :namespace AND checkpoint_id = :newest",
)


async def copy_state(saver: RunSaver, claim: Claim, origin: str, checkpoint_id: str, logical_run: UUID) -> bool:
    """Copy a thread's state at a checkpoint to the thread of a claim, whose logical run goes on with it.

    :param saver: the claim's.
    :param origin: the other thread.
    :param logical_run: which run's checkpoint it is.
    :returns: False: it has no such checkpoint of that run, and nothing is written.
    :raises LeaseLostError: the run has another owner, or none.
    :raises StoreError: the database failed.
    """

    def read(connection: Connection) -> tuple[Mapping[str, Sequence[str]], bool]:
        return state_at(connection, origin, checkpoint_id, logical_run), connection.dialect.name == "sqlite"

    state, is_sqlite = await saver.read_store(read)
    if state:
        await saver.write(_copying(state, origin, claim, sqlite=is_sqlite))
    return bool(state)


def _copying(state: Mapping[str, Sequence[str]], origin: str, claim: Claim, *, sqlite: bool) -> list[Statement]:
    return [
        Statement(sql, [_values(ids, namespace, origin, claim, sqlite=sqlite)], many=False)
        for namespace, ids in reversed(list(state.items()))  # its own graph last: by that the fork begins
        for sql in (_SQLITE if sqlite else _POSTGRES)
    ]


def _values(ids: Sequence[str], namespace: str, origin: str, claim: Claim, *, sqlite: bool) -> dict[str, Any]:
    listed = json.dumps if sqlite else list
    return {
        "to": claim.thread_id,
        "origin": origin,
        "namespace": namespace,
        "ids": listed(ids),
        "older": listed(ids[1:]),
        "newest": ids[0],
        "oldest": ids[-1],
        "run": str(claim.logical_run),
    }
