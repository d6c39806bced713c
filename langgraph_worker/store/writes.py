"""What running runs write: many of them in one transaction, each only if its lease is good.

The leases are checked, and their threads locked, in the transaction that writes: a stale owner's steps, results and
checkpoints count for nothing, whoever looks at the clock when.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID

from sqlalchemy import Connection, and_, insert, update

from langgraph_worker.reply import clean
from langgraph_worker.store import leases, questions
from langgraph_worker.store.book import lineage_of
from langgraph_worker.store.database import Statement
from langgraph_worker.store.endings import Terms, end_runs, ending
from langgraph_worker.store.port import Claim, Failure, RunStatus, Step
from langgraph_worker.store.schema import lineages, model_usage, step_executions, workflow_errors, workflow_runs
from langgraph_worker.store.statements import Row, insert_or_replace
from workflow_events.results import WorkflowResultEvent

_MOST = 2**63 - 1  # what a column holds; a count beyond it is a fault of a model's client, and no reason to lose a run


@dataclass(frozen=True, slots=True)
class RememberNodes:
    """See :meth:`~langgraph_worker.store.port.RunStore.remember_nodes`."""

    claim: Claim
    nodes: Collection[str]


@dataclass(frozen=True, slots=True)
class PutCheckpoint:
    """Statements of LangGraph's saver for the claim's thread.

    :param progress: it is a new checkpoint: whatever killed the run's owners before, it came further.
    :param answers: ids of the questions whose answers are in it.
    """

    claim: Claim
    statements: Sequence[Statement]
    progress: bool = False
    answers: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class RecordSteps:
    """See :meth:`~langgraph_worker.store.port.RunStore.record`."""

    claim: Claim
    steps: Sequence[Step]


@dataclass(frozen=True, slots=True)
class Finish:
    """See :meth:`~langgraph_worker.store.port.RunStore.finish`."""

    claim: Claim
    result: WorkflowResultEvent
    failure: Failure | None


@dataclass(frozen=True, slots=True)
class Release:
    """See :meth:`~langgraph_worker.store.port.RunStore.release`."""

    claim: Claim
    delay: timedelta


Write = RememberNodes | PutCheckpoint | RecordSteps | Finish | Release
_W = TypeVar("_W", RememberNodes, PutCheckpoint, RecordSteps, Finish, Release)

Execute = Callable[[Connection, Sequence[Statement]], None]


def apply(connection: Connection, batch: Sequence[Write], execute: Execute, terms: Terms) -> list[bool]:
    """Write a batch in the connection's transaction; of each whether it was written: not under a void lease.

    :param execute: runs a saver's statements.
    """
    locked = leases.lock(connection, {write.claim.thread_id for write in batch})
    written = _judge(batch, locked)
    good = [write for write, is_good in zip(batch, written, strict=True) if is_good]
    # By kind, so that a kind is one statement however many runs write. A run's own order is kept: it ends last.
    for nodes in _of(good, RememberNodes):
        _remember_nodes(connection, nodes)
    _put_checkpoints(connection, _of(good, PutCheckpoint), execute, terms.now)
    _record(connection, _of(good, RecordSteps))
    _finish(connection, _of(good, Finish), terms)
    _release(connection, _of(good, Release), terms.now)
    leases.let_go(connection, [write.claim.lease for write in batch if isinstance(write, Finish | Release)])
    return written


def _judge(batch: Sequence[Write], locked: dict[str, leases.Thread]) -> list[bool]:
    over: set[UUID] = set()
    judged = []
    for write in batch:
        of = write.claim.correlation_id
        is_good = of not in over and leases.run_of(write.claim.lease, locked) == of
        judged.append(is_good)
        if is_good and isinstance(write, Finish | Release):  # a stale owner's is no end of the run
            over.add(of)
    return judged


def _of(writes: Sequence[Write], kind: type[_W]) -> list[_W]:
    return [write for write in writes if isinstance(write, kind)]


def _remember_nodes(connection: Connection, write: RememberNodes) -> None:
    claim = write.claim
    first = and_(
        lineages.c.lineage == claim.lineage,
        lineages.c.generation == claim.generation,
        lineages.c.nodes.is_(None),
    )
    connection.execute(update(lineages).where(first).values(nodes=sorted(write.nodes)))


def _put_checkpoints(connection: Connection, writes: Sequence[PutCheckpoint], execute: Execute, now: datetime) -> None:
    statements = [statement for write in writes for statement in write.statements]
    if statements:
        execute(connection, statements)
    further = {write.claim.correlation_id for write in writes if write.progress}
    if further:
        of_these = workflow_runs.c.correlation_id.in_(further)
        connection.execute(update(workflow_runs).where(of_these).values(takeovers=0))
    questions.note_answers(connection, [row for write in writes for row in _answers(write, now)])


def _answers(write: PutCheckpoint, now: datetime) -> list[Row]:
    event = write.claim.event
    return [
        {
            "thread": write.claim.thread_id,
            "interrupt": answer.interrupt_id,
            "answered_at": now,
            "answered_by": answer.answered_by,
            "answer_id": event.event_id,
            "answer_lineage": lineage_of(event),
            "answer": answer.value,
        }
        for answer in event.answers
        if answer.interrupt_id in write.answers
    ]


def _record(connection: Connection, writes: Sequence[RecordSteps]) -> None:
    # One row a step: a statement may not meet the same row twice.
    rows = {(w.claim.correlation_id, step.step_id): _step(w.claim, step) for w in writes for step in w.steps}
    if rows:
        connection.execute(insert_or_replace(connection, step_executions), list(rows.values()))


def _finish(connection: Connection, writes: Sequence[Finish], terms: Terms) -> None:
    endings = {w.claim.correlation_id: ending(w.result, terms) for w in writes}
    end_runs(connection, endings)
    asked = [w for w in writes if endings[w.claim.correlation_id]["status"] == RunStatus.INTERRUPTED.value]
    questions.ask(connection, [row for w in asked for row in _questions(w, terms.now)], terms.now)
    done = {w.claim.thread_id for w in writes if endings[w.claim.correlation_id]["status"] == RunStatus.COMPLETED.value}
    questions.forget(connection, done, terms.now)
    errors = [_error(w.claim, w.failure, terms.now) for w in writes if w.failure is not None]
    if errors:
        connection.execute(insert(workflow_errors), errors)
    usage = [row for w in writes for row in _usage(w.claim, w.result)]
    if usage:
        connection.execute(insert_or_replace(connection, model_usage), usage)


def _questions(write: Finish, now: datetime) -> list[Row]:
    claim = write.claim
    return [
        {
            "thread_id": claim.thread_id,
            "interrupt_id": interrupt.id,
            "correlation_id": claim.correlation_id,
            "lineage": claim.lineage,
            "generation": claim.generation,
            "logical_run": claim.logical_run,
            "asked_at": now,
        }
        for interrupt in {interrupt.id: interrupt for interrupt in write.result.interrupts}.values()
    ]


def _release(connection: Connection, writes: Sequence[Release], now: datetime) -> None:
    for write in writes:
        not_before = now + write.delay if write.delay else None
        waits = {"status": RunStatus.PENDING.value, "waiting_since": now, "not_before": not_before}
        mine = workflow_runs.c.correlation_id == write.claim.correlation_id
        connection.execute(update(workflow_runs).where(mine).values(waits))


def _error(claim: Claim, failure: Failure, now: datetime) -> Row:
    return {
        "correlation_id": claim.correlation_id,
        "attempt": claim.attempts,
        "error_type": clean(failure.error_type),
        "message": clean(failure.message),
        "traceback": clean(failure.traceback),
        "node": clean(failure.node) if failure.node else None,
        "worker_id": claim.worker_id,
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
