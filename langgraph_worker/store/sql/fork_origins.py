"""What a fork begins with: a checkpoint on the thread of another run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, and_, bindparam, not_, select

from langgraph_worker.store.migrations.schema import lineages, workflow_runs
from langgraph_worker.store.sql.checkpoint_rows import CALL, checkpoints, needed_for, newest_first
from langgraph_worker.store.sql.remembered_nodes import names_in

_runs = workflow_runs.c
_of_its_generation = and_(lineages.c.lineage == _runs.lineage, lineages.c.generation == _runs.generation)
_origin = (
    select(_runs.thread_id, _runs.logical_run, _runs.graph, _runs.deployment, lineages.c.nodes, lineages.c.release)
    .select_from(workflow_runs.outerjoin(lineages, _of_its_generation))
    .where(_runs.correlation_id == bindparam("of"))
)
_c = checkpoints.c
_keeping_state = (
    select(_c.checkpoint_ns)
    .distinct()
    .where(_c.thread_id == bindparam("thread"), _c.checkpoint_ns != "", not_(_c.checkpoint_ns.contains(CALL)))
)


@dataclass(frozen=True, slots=True)
class ForkOrigin:
    """The run whose checkpoint a fork begins with.

    :param thread_id: None: it never ran.
    :param logical_run: None: it never ran.
    :param deployment: the Airflow installation that asked it; None: it was a plain request.
    :param nodes: of its graph, as it knew them when it began; None: it is not known.
    :param release: which one began it; None: it is not known.
    """

    thread_id: str | None
    logical_run: UUID | None
    graph: str | None
    deployment: str | None
    nodes: frozenset[str] | None
    release: str | None


def fork_origin(connection: Connection, correlation_id: UUID) -> ForkOrigin | None:
    """The run of this request; None if the store does not have it."""
    row = connection.execute(_origin, {"of": correlation_id}).one_or_none()
    if row is None:
        return None
    nodes = None if row.nodes is None else names_in(row.nodes)
    return ForkOrigin(row.thread_id, row.logical_run, row.graph, row.deployment, nodes, row.release)


def state_at(connection: Connection, thread: str, checkpoint_id: str, logical_run: UUID) -> Mapping[str, Sequence[str]]:
    """The checkpoints that make up a thread's state at one of its graph's: their ids, the newest first, by namespace.

    Beside the graph's own these are those of the subgraphs that keep their state between calls, as they were then.
    Empty: the thread has no such checkpoint of this logical run.
    """
    found = newest_first(connection, thread, "", checkpoint_id, 1)
    if not found or found[0][0] != checkpoint_id or found[0][1].get("run_id") != str(logical_run):
        return {}
    own = needed_for(connection, thread, "", checkpoint_id)
    kept = connection.execute(_keeping_state, {"thread": thread}).scalars().all()
    inner = {name: needed_for(connection, thread, name, checkpoint_id) for name in sorted(kept)}
    return {"": own, **{name: ids for name, ids in inner.items() if ids}}
