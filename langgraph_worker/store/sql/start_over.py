"""A run that another release of the project began starts over: as a clear does, but for the same request."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, and_, insert, update

from langgraph_worker.domain.models import Claim
from langgraph_worker.store.migrations.schema import lineages, threads, workflow_runs
from langgraph_worker.store.sql import questions, thread_ids
from langgraph_worker.store.sql.retention import delete_threads
from workflow_events.identity import logical_run_id


def next_generation(connection: Connection, claim: Claim) -> None:
    """Start the lineage afresh: a new logical run, which no release has begun. Locks the lineage's row."""
    present = and_(lineages.c.lineage == claim.lineage, lineages.c.generation == claim.generation)
    generation = claim.generation + 1
    logical_run = logical_run_id(claim.lineage, claim.correlation_id, generation)
    afresh = {"generation": generation, "logical_run": logical_run, "nodes": None, "release": None}
    connection.execute(update(lineages).where(present).values(afresh))


def move_runs(connection: Connection, claims: Sequence[Claim], now: datetime) -> None:
    """Give each run, which waits again, the place of its new logical run. What the left one asked is retired.

    A conversation keeps its thread, and the run begins a new turn on it. Any other run gets a new thread; the left one
    goes with its checkpoints, unless an earlier request's run is on it.
    """
    for claim in claims:
        generation = claim.generation + 1
        logical_run = logical_run_id(claim.lineage, claim.correlation_id, generation)
        thread = claim.thread_id
        if claim.event.thread_id is None:
            known = thread_ids.look(connection, [(claim.event, claim.graph, logical_run)], now)
            thread = known.choose(claim.event, claim.graph, logical_run)
            connection.execute(insert(threads), {"thread_id": thread, "token": 0})
        place = {"generation": generation, "logical_run": logical_run, "thread_id": thread}
        mine = workflow_runs.c.correlation_id == claim.correlation_id
        connection.execute(update(workflow_runs).where(mine).values(place))
        questions.retire_before(connection, {claim.lineage: generation}, now)
    delete_threads(connection, {claim.thread_id for claim in claims if claim.event.thread_id is None})
