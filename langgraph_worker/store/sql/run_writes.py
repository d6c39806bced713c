"""What running runs write: many of them in one transaction, each only if its lease is good.

The transaction that writes also locks the threads and checks the leases: a stale owner's steps, results and
checkpoints are never written, whatever the clocks say.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from operator import itemgetter
from typing import TypeGuard, TypeVar
from uuid import UUID

from sqlalchemy import Connection, bindparam, insert, select, update

from langgraph_worker.domain.faults import INTERRUPT_NOT_PENDING
from langgraph_worker.domain.models import Claim, Failure, RunStatus, Step
from langgraph_worker.domain.reply_encoding import clean
from langgraph_worker.domain.results import MAX_MODEL_CHARACTERS, storable_usage
from langgraph_worker.domain.retry_policy import Retried
from langgraph_worker.domain.spending import Spending
from langgraph_worker.domain.turns import turn_of
from langgraph_worker.errors import NoRoomError
from langgraph_worker.store.engines.database import Statement
from langgraph_worker.store.migrations.schema import (
    lineages,
    model_usage,
    step_executions,
    workflow_errors,
    workflow_runs,
)
from langgraph_worker.store.sql import leases, memory_writes, model_turns, questions, spending, start_over, trimming
from langgraph_worker.store.sql.endings import EndingContext, end_runs, ending
from langgraph_worker.store.sql.memory_writes import PutMemory
from langgraph_worker.store.sql.remembered_nodes import stored_names
from langgraph_worker.store.sql.rows import LockedThread, Parameters, QuestionRow
from langgraph_worker.store.sql.statements import insert_or_replace
from langgraph_worker.store.sql.store_replies import left_behind
from workflow_events.identity import lineage_of
from workflow_events.results import ResultStatus, WorkflowResultEvent


@dataclass(frozen=True, slots=True)
class RememberNodes:
    """See :meth:`~langgraph_worker.store.port.RunStore.remember_nodes`."""

    claim: Claim
    nodes: Collection[str]


@dataclass(frozen=True, slots=True)
class PutCheckpoint:
    """Statements of LangGraph's saver for the claim's thread.

    :param progress: it is a new checkpoint: the run has come further than its lost owners, whose count starts anew.
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
    spent: Spending | None = None


@dataclass(frozen=True, slots=True)
class Finish:
    """See :meth:`~langgraph_worker.store.port.RunStore.finish`."""

    claim: Claim
    result: WorkflowResultEvent
    failure: Failure | None
    keep_thread: bool = False


@dataclass(frozen=True, slots=True)
class Release:
    """See :meth:`~langgraph_worker.store.port.RunStore.release`."""

    claim: Claim
    delay: timedelta
    keep_thread: bool = False
    retried: Retried | None = None


@dataclass(frozen=True, slots=True)
class BackOff:
    """See :meth:`~langgraph_worker.store.port.RunStore.back_off`."""

    claim: Claim
    retried: Retried
    failure: Failure
    delay: timedelta
    keep_thread: bool = False


class StartOver(Release):
    """See :meth:`~langgraph_worker.store.port.RunStore.start_over`."""


Write = RememberNodes | PutCheckpoint | PutMemory | RecordSteps | Finish | Release | BackOff
_W = TypeVar("_W", RememberNodes, PutCheckpoint, PutMemory, RecordSteps, Finish, Release, BackOff, StartOver)
_Last = Finish | Release | BackOff
"""With one of them a start of a run ends."""

Outcome = bool | NoRoomError
Execute = Callable[[Connection, Sequence[Statement]], None]


def apply(connection: Connection, batch: Sequence[Write], execute: Execute, context: EndingContext) -> list[Outcome]:
    """Write a batch in the connection's transaction.

    :param execute: runs a saver's statements.
    :returns: for each write whether it was written: not under a void lease; or why it was refused.
    """
    locked = leases.lock(connection, {write.claim.thread_id for write in batch})
    written = _judge(batch, locked)
    good = _ask_nothing_if_left(connection, [write for write, is_good in zip(batch, written, strict=True) if is_good])
    # By kind, so that a kind is one statement however many runs write. A run's own order is kept: it ends last.
    _change_lineages(connection, _only(good, RememberNodes), _only(good, StartOver))
    _put_checkpoints(connection, _only(good, PutCheckpoint), execute, context.now)
    _record(connection, _only(good, RecordSteps), context.now)
    _finish(connection, _only(good, Finish), context)
    _trim(connection, _only(good, Finish), context)
    _release(connection, [*_only(good, Release), *_only(good, BackOff)], context.now)
    _keep_errors(connection, [*_only(good, Finish), *_only(good, BackOff)], context.now)
    _let_go(connection, batch, good)
    over = [write.claim for write in _only(good, StartOver)]
    start_over.move_runs(connection, over, context.now)
    spending.carry_over(connection, over, context.now)
    # The last: its locks come after all others.
    refusals = iter(memory_writes.put(connection, _only(good, PutMemory), execute))
    return [
        (next(refusals) or True) if is_good and isinstance(write, PutMemory) else is_good
        for write, is_good in zip(batch, written, strict=True)
    ]


def _trim(connection: Connection, writes: Sequence[Finish], context: EndingContext) -> None:
    by_number: defaultdict[int, set[str]] = defaultdict(set)
    for claim in (write.claim for write in writes):
        by_number[context.kept(claim.graph, claim.event.config.keep_checkpoints)].add(claim.thread_id)
    for keep, names in by_number.items():
        trimming.trim(connection, names, keep)


def _judge(batch: Sequence[Write], locked: Mapping[str, LockedThread]) -> list[bool]:
    over: set[UUID] = set()
    judged = []
    for write in batch:
        run = write.claim.correlation_id
        is_good = run not in over and leases.run_with_valid_lease(write.claim.lease, locked) == run
        judged.append(is_good)
        if is_good and isinstance(write, _Last):  # that of a stale owner does not end the run
            over.add(run)
    return judged


def _ask_nothing_if_left(connection: Connection, writes: Sequence[Write]) -> Sequence[Write]:
    """Refuse the questions of runs whose generation was left: nobody may answer them, and they would hold their thread.

    Their lineages stay locked. A fresh start that is being accepted is seen here, or sees these questions and retires
    them.
    """
    asking = {write.claim.lineage for write in writes if _asks(write)}
    if not asking:
        return writes
    changed: list[Write] = [*_only(writes, RememberNodes), *_only(writes, StartOver)]
    keys = asking | {write.claim.lineage for write in changed}  # all that are locked, in order
    found = select(lineages.c.lineage, lineages.c.generation).where(lineages.c.lineage.in_(keys))
    rows = connection.execute(found.order_by(lineages.c.lineage).with_for_update(key_share=True))
    present = {row.lineage: row.generation for row in rows}

    def is_left(claim: Claim) -> bool:
        return bool(present.get(claim.lineage, claim.generation) > claim.generation)

    return [
        replace(write, result=left_behind(write.result)) if _asks(write) and is_left(write.claim) else write
        for write in writes
    ]


def _asks(write: Write) -> TypeGuard[Finish]:
    return isinstance(write, Finish) and write.result.status is ResultStatus.INTERRUPTED


def _only(writes: Sequence[Write], kind: type[_W]) -> list[_W]:
    return [write for write in writes if isinstance(write, kind)]


def _change_lineages(connection: Connection, known: Sequence[RememberNodes], over: Sequence[StartOver]) -> None:
    if over:  # two kinds of statement; each locks the rows of its own, and these are locked in one order
        keys = {write.claim.lineage for write in known} | {write.claim.lineage for write in over}
        found = select(lineages.c.lineage).where(lineages.c.lineage.in_(keys)).order_by(lineages.c.lineage)
        connection.execute(found.with_for_update(key_share=True)).all()
    if known:
        rows = [_nodes_row(write) for write in known]
        connection.execute(_remember_nodes, sorted(rows, key=itemgetter("of_lineage")))
    for write in over:
        start_over.next_generation(connection, write.claim)


_remember_nodes = (
    update(lineages)
    .where(
        lineages.c.lineage == bindparam("of_lineage"),
        lineages.c.generation == bindparam("of_generation"),
        lineages.c.nodes.is_(None),
    )
    .values(nodes=bindparam("names"), release=bindparam("begun_by"))
)


def _nodes_row(write: RememberNodes) -> Parameters:
    claim = write.claim
    return {
        "of_lineage": claim.lineage,
        "of_generation": claim.generation,
        "names": stored_names(write.nodes),
        "begun_by": claim.release,
    }


def _put_checkpoints(connection: Connection, writes: Sequence[PutCheckpoint], execute: Execute, now: datetime) -> None:
    statements = [statement for write in writes for statement in write.statements]
    if statements:
        execute(connection, statements)
    further = {write.claim.correlation_id for write in writes if write.progress}
    if further:
        of_these = workflow_runs.c.correlation_id.in_(further)
        connection.execute(update(workflow_runs).where(of_these).values(takeovers=0))
    retried = {write.claim.correlation_id: write.claim.retried for write in writes if write.progress}
    again = [{"run": run, "kept": before.after_progress.as_json()} for run, before in retried.items() if before]
    if again:
        connection.execute(_forget_retries, again)
    questions.note_answers(connection, [row for write in writes for row in _answers(write, now)])


def _answers(write: PutCheckpoint, now: datetime) -> list[Parameters]:
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


def _record(connection: Connection, writes: Sequence[RecordSteps], now: datetime) -> None:
    # One row a step: a statement may not meet the same row twice.
    rows = {(w.claim.correlation_id, step.step_id): _step(w.claim, step) for w in writes for step in w.steps}
    if rows:
        connection.execute(insert_or_replace(connection, step_executions), list(rows.values()))
    spending.write(connection, [(write.claim, write.spent) for write in writes if write.spent is not None], now)


def _finish(connection: Connection, writes: Sequence[Finish], context: EndingContext) -> None:
    endings = {w.claim.correlation_id: ending(w.result, context, w.claim.reply_traceparent) for w in writes}
    end_runs(connection, endings)
    asked = [w for w in writes if endings[w.claim.correlation_id].status == RunStatus.INTERRUPTED.value]
    questions.ask(connection, [row for w in asked for row in _questions(w, context.now)], context.now)
    done = {w.claim.thread_id for w in writes if endings[w.claim.correlation_id].status == RunStatus.COMPLETED.value}
    questions.retire_pending(connection, done, context.now)
    refused = [w.claim for w in writes if endings[w.claim.correlation_id].error_type == INTERRUPT_NOT_PENDING.name]
    questions.retire_unreachable(connection, [(one.thread_id, one.logical_run) for one in refused], context.now)
    usage = [row for w in writes for row in _usage(w.claim, w.result)]
    if usage:
        connection.execute(insert_or_replace(connection, model_usage), usage)


def _questions(write: Finish, now: datetime) -> list[QuestionRow]:
    claim = write.claim
    return [
        QuestionRow(
            thread_id=claim.thread_id,
            interrupt_id=name,
            correlation_id=claim.correlation_id,
            lineage=claim.lineage,
            generation=claim.generation,
            logical_run=claim.logical_run,
            asked_at=now,
        )
        for name in dict.fromkeys(interrupt.id for interrupt in write.result.interrupts)
    ]


_forget_retries = (
    update(workflow_runs).where(workflow_runs.c.correlation_id == bindparam("run")).values(retried=bindparam("kept"))
)


def _release(connection: Connection, writes: Sequence[Release | BackOff], now: datetime) -> None:
    for write in writes:
        not_before = now + write.delay if write.delay else None
        waits: Parameters = {"status": RunStatus.PENDING.value, "waiting_since": now, "not_before": not_before}
        waits["turn"] = turn_of(write.claim.accepted_at, write.claim.event.priority)
        if write.retried is not None:
            waits["retried"] = write.retried.as_json()
        mine = workflow_runs.c.correlation_id == write.claim.correlation_id
        connection.execute(update(workflow_runs).where(mine).values(waits))
    dropped = [write.claim.retried.turns for write in writes if isinstance(write, BackOff)]
    model_turns.give_back(connection, dropped, now)


def _let_go(connection: Connection, batch: Sequence[Write], good: Sequence[Write]) -> None:
    """Free the threads of the runs that ended or were given back; void the leases of those that keep their threads."""
    over = [write for write in batch if isinstance(write, _Last)]
    leases.let_go(connection, [(w.claim.correlation_id, w.claim.lease) for w in over if not w.keep_thread])
    kept = [write for write in good if isinstance(write, _Last) and write.keep_thread]
    leases.void(connection, {write.claim.correlation_id for write in kept})


def _keep_errors(connection: Connection, writes: Sequence[Finish | BackOff], now: datetime) -> None:
    errors = [_error(write.claim, write.failure, now) for write in writes if write.failure is not None]
    if errors:
        connection.execute(insert(workflow_errors), errors)


def _error(claim: Claim, failure: Failure, now: datetime) -> Parameters:
    return {
        "correlation_id": claim.correlation_id,
        "attempt": claim.attempts,
        "error_type": clean(failure.error_type),
        "message": clean(failure.message),
        "traceback": clean(failure.traceback),
        "node": clean(failure.node) if failure.node else None,
        "error_class": failure.error_class and failure.error_class.value,
        "model": clean(failure.model)[:MAX_MODEL_CHARACTERS] if failure.model else None,
        "wait_seconds": failure.wait_seconds,
        "worker_id": claim.worker_id,
        "occurred_at": now,
    }


def _usage(claim: Claim, result: WorkflowResultEvent) -> list[Parameters]:
    return [
        {"correlation_id": claim.correlation_id, "model": model, **used.model_dump()}
        for model, used in storable_usage(result.usage).items()
    ]


def _step(claim: Claim, step: Step) -> Parameters:
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
