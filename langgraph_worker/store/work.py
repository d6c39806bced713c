"""What the owner of a run writes: each write checks its lease in the same transaction, a void one writes nothing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import and_, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from langgraph_worker.reply import clean
from langgraph_worker.store.endings import end_runs, ending
from langgraph_worker.store.leases import let_go, running
from langgraph_worker.store.port import Claim, Failure, Lease, Step
from langgraph_worker.store.schema import lineages, model_usage, step_executions, workflow_errors, workflow_runs
from langgraph_worker.store.statements import Row, insert_or_replace
from workflow_events.results import WorkflowResultEvent

_MOST = 2**63 - 1  # what a column holds; a count beyond it is a fault of a model's client, and no reason to lose a run


async def remember_nodes(connection: AsyncConnection, lease: Lease, nodes: Collection[str], now: datetime) -> None:
    """See :meth:`~langgraph_worker.store.port.RunStore.remember_nodes`."""
    run = await running(connection, lease, now)
    if run is None:
        return
    place = select(workflow_runs.c.lineage, workflow_runs.c.generation).where(workflow_runs.c.correlation_id == run)
    lineage, generation = (await connection.execute(place)).one()
    first = and_(lineages.c.lineage == lineage, lineages.c.generation == generation, lineages.c.nodes.is_(None))
    await connection.execute(update(lineages).where(first).values(nodes=sorted(nodes)))


async def record(connection: AsyncConnection, claim: Claim, steps: Sequence[Step], now: datetime) -> None:
    """See :meth:`~langgraph_worker.store.port.RunStore.record`."""
    if steps and await running(connection, claim.lease, now) == claim.correlation_id:
        await connection.execute(insert_or_replace(step_executions), [_step(claim, step) for step in steps])


async def finish(
    connection: AsyncConnection,
    claim: Claim,
    result: WorkflowResultEvent,
    failure: Failure | None,
    *,
    max_bytes: int,
    now: datetime,
) -> bool:
    """See :meth:`~langgraph_worker.store.port.RunStore.finish`."""
    valid = await running(connection, claim.lease, now) == claim.correlation_id
    if valid:
        await end_runs(connection, {claim.correlation_id: ending(result, max_bytes, now)})
        if failure is not None:
            await connection.execute(insert(workflow_errors), [await _error(connection, claim, failure, now)])
        if result.usage:
            await connection.execute(insert_or_replace(model_usage), _usage(claim, result))
    await let_go(connection, claim.lease)
    return valid


async def _error(connection: AsyncConnection, claim: Claim, failure: Failure, now: datetime) -> Row:
    worker = select(workflow_runs.c.worker_id).where(workflow_runs.c.correlation_id == claim.correlation_id)
    return {
        "correlation_id": claim.correlation_id,
        "attempt": claim.attempts,
        "error_type": clean(failure.error_type),
        "message": clean(failure.message),
        "traceback": clean(failure.traceback),
        "node": clean(failure.node) if failure.node else None,
        "worker_id": (await connection.execute(worker)).scalar_one(),
        "occurred_at": now,
    }


def _usage(claim: Claim, result: WorkflowResultEvent) -> list[Row]:
    return [
        {
            "correlation_id": claim.correlation_id,
            "model": clean(model),
            "input_tokens": min(used.input_tokens, _MOST),
            "output_tokens": min(used.output_tokens, _MOST),
            "total_tokens": min(used.total_tokens, _MOST),
        }
        for model, used in result.usage.items()
    ]


def _step(claim: Claim, step: Step) -> Row:
    return {
        "correlation_id": claim.correlation_id,
        "step_id": step.step_id,
        "attempt": claim.attempts,
        "namespace": clean(step.namespace),
        "node": clean(step.node),
        "agent": clean(step.agent) if step.agent else None,
        "status": step.status.value,
        "started_at": step.started_at,
        "finished_at": step.finished_at,
        "input": step.input,
        "output": step.output,
        "error": clean(step.error) if step.error else None,
    }
