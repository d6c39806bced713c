"""Accept a batch: read the rows that it meets, decide it in memory (:mod:`.batch_decision`), write the changes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, and_, bindparam, delete, insert, select, update

from langgraph_worker.domain.models import Accepted, Refusal, Request, RunStatus
from langgraph_worker.errors import ConflictError
from langgraph_worker.store.migrations.schema import interrupts, lineages, tasks, threads, tombstones, workflow_runs
from langgraph_worker.store.sql import control_writes, leases, questions, thread_ids
from langgraph_worker.store.sql.batch_decision import BatchChanges, BatchDecision, KnownRows, correlation_of
from langgraph_worker.store.sql.endings import EndingContext, end_from_outside
from langgraph_worker.store.sql.questions import AskingRun
from langgraph_worker.store.sql.rows import GraphQuestion, LineageRow, TaskRow, columns_of
from langgraph_worker.store.sql.run_rows import RunRow
from langgraph_worker.store.sql.statements import in_chunks, insert_missing, insert_or_replace
from langgraph_worker.store.sql.task_rows import lock_tasks
from workflow_events.identity import lineage_of
from workflow_events.models import WorkflowEvent

_LARGE = ("event", "reply_key", "reply_value", "reply_headers")
_SMALL_COLUMNS = [column for column in columns_of(RunRow, workflow_runs) if column.name not in _LARGE]
_CAN_ANSWER = (RunStatus.COMPLETED.value, RunStatus.INTERRUPTED.value)


def accept(connection: Connection, batch: Sequence[Request | Refusal], context: EndingContext) -> list[Accepted]:
    """Decide and store a batch in the connection's transaction; one :class:`Accepted` per item, in order."""
    if not batch:
        return []
    control_writes.keep_cancels_out(connection)
    attempts = [item.event.attempt for item in batch if isinstance(item, Request) and item.event.attempt]
    first = {attempt.task: attempt for attempt in reversed(attempts)}
    known_tasks, made = lock_tasks(connection, first, context.now)
    decision = BatchDecision(_known_rows(connection, batch, known_tasks, context.now), context)
    accepted = [decision.take(item) for item in batch]
    _write(connection, decision.changes, context)
    unused = made - decision.changes.tasks.keys()  # all their requests had been seen before: nothing changes
    if unused:
        connection.execute(delete(tasks).where(tasks.c.task.in_(unused)))
    return accepted


def _known_rows(
    connection: Connection, batch: Sequence[Request | Refusal], known_tasks: Collection[TaskRow], now: datetime
) -> KnownRows:
    ids = {correlation_of(item) for item in batch}
    events = [item.event for item in batch if isinstance(item, Request)]
    task_keys = {event.attempt.task for event in events if event.attempt}
    answered = {answer.interrupt_id for event in events for answer in event.answers}
    addressed = {event.answers_to for event in events if event.answers_to}
    replayed = {lineage_of(event) for event in events if event.replay is not None and event.attempt is None}
    locked = _lock_threads(connection, task_keys, answered, replayed)
    known_lineages = _lineages(connection, {lineage_of(event) for event in events})
    placed = [
        (item.event, item.graph, _logical_run(known_lineages.get(lineage_of(item.event))))
        for item in batch
        if isinstance(item, Request) and not item.event.answers
    ]
    asking = questions.asking_runs(connection, known_lineages)
    runs = _runs(connection, ids | addressed, task_keys, locked, known_lineages.values(), asking.values())
    _require_locked([runs[row.newest] for row in known_lineages.values() if row.lineage in replayed], locked)
    asked = questions.find(connection, answered)
    buried = select(tombstones.c.correlation_id).where(tombstones.c.correlation_id.in_(ids))
    return KnownRows(
        runs=runs,
        tasks={row.task: row for row in known_tasks},
        lineages=known_lineages,
        questions=asked,
        asking=asking,
        current=questions.current(connection, _lineages_of_answers(events, asked, runs)),
        pruned=set(connection.execute(buried).scalars()),
        cancels=control_writes.early_cancels(connection, ids),
        thread_ids=thread_ids.look(connection, placed, now),
    )


def _lineages_of_answers(
    events: Collection[WorkflowEvent], asked: Collection[GraphQuestion], runs: Mapping[UUID, RunRow]
) -> set[str]:
    """The lineages whose pending questions a refused answer of the batch would be shown."""
    answering = [event for event in events if event.answers]
    addressed = [runs.get(event.answers_to) for event in answering if event.answers_to is not None]
    named = [run.lineage for run in addressed if run is not None]
    own = {lineage_of(event) for event in answering if event.attempt is not None}
    return own | {row.lineage for row in asked} | {lineage for lineage in named if lineage is not None}


def _logical_run(lineage: LineageRow | None) -> UUID | None:
    return lineage.logical_run if lineage is not None else None


def _lock_threads(
    connection: Connection, task_keys: Collection[str], interrupt_ids: Collection[str], replayed: Collection[str]
) -> set[str]:
    """Lock the threads of the tasks' unfinished runs, of the questions that are answered, and of the plain requests
    that are replayed: no run ends or begins, and no question is asked or answered, while the batch is decided.

    :param replayed: lineages of plain requests. No row of a task keeps two replays of one apart; their thread does.
    """
    names: set[str] = set()
    if task_keys:
        unfinished = and_(workflow_runs.c.task.in_(task_keys), workflow_runs.c.finished_at.is_(None))
        names |= set(connection.execute(select(workflow_runs.c.thread_id).where(unfinished)).scalars())
    for some in in_chunks(interrupt_ids):
        asked = select(interrupts.c.thread_id).where(interrupts.c.interrupt_id.in_(some))
        names |= set(connection.execute(asked).scalars())
    if replayed:
        newest = select(workflow_runs.c.thread_id).join(lineages, lineages.c.newest == workflow_runs.c.correlation_id)
        found = connection.execute(newest.where(lineages.c.lineage.in_(replayed))).scalars()
        names |= {name for name in found if name is not None}
    leases.lock(connection, names)
    return names


def _lineages(connection: Connection, keys: Collection[str]) -> dict[str, LineageRow]:
    if not keys:
        return {}
    found = connection.execute(select(lineages).where(lineages.c.lineage.in_(keys)))
    return {row.lineage: row for row in LineageRow.read(found)}


def _runs(
    connection: Connection,
    ids: Collection[UUID],
    task_keys: Collection[str],
    locked: Collection[str],
    known_lineages: Collection[LineageRow],
    asking: Collection[AskingRun],
) -> dict[UUID, RunRow]:
    """The runs that the batch meets, see :class:`KnownRows`."""
    of_lineages = {row.newest for row in known_lineages} | {run.correlation_id for run in asking}
    named = select(*_SMALL_COLUMNS).where(workflow_runs.c.correlation_id.in_({*ids, *of_lineages}))
    found = RunRow.read(connection.execute(named))
    if task_keys:
        unfinished = and_(workflow_runs.c.task.in_(task_keys), workflow_runs.c.finished_at.is_(None))
        waiting = RunRow.read(connection.execute(select(*_SMALL_COLUMNS).where(unfinished)))
        _require_locked(waiting, locked)
        found += waiting
    runs = {row.correlation_id: row for row in found}
    if not of_lineages <= runs.keys():
        raise ConflictError("the newest run of a lineage is gone")
    can_answer = [name for name in of_lineages if runs[name].status in _CAN_ANSWER]
    if can_answer:
        replies = select(workflow_runs.c.correlation_id, workflow_runs.c.reply_value)
        for name, reply in connection.execute(replies.where(workflow_runs.c.correlation_id.in_(can_answer))):
            runs[name] = replace(runs[name], reply_value=reply)
    return runs


def _require_locked(runs: Collection[RunRow], locked: Collection[str]) -> None:
    """Check that the batch holds the threads of the runs that it may end: one may have been moved meanwhile."""
    if any(run.finished_at is None and run.thread_id not in locked for run in runs):
        raise ConflictError("a run has started over on another thread")


def _write(connection: Connection, changes: BatchChanges, context: EndingContext) -> None:
    if changes.tasks:
        connection.execute(insert_or_replace(connection, tasks), [row.parameters() for row in changes.tasks.values()])
    if changes.lineages:
        changed = [changes.lineages[key].parameters() for key in sorted(changes.lineages)]
        connection.execute(insert_or_replace(connection, lineages), changed)
    names = {row.thread_id for row in changes.new_runs.values() if row.thread_id is not None}
    if names:
        new_threads = [{"thread_id": name, "token": 0} for name in sorted(names)]
        connection.execute(insert_missing(connection, threads), new_threads)
    if changes.new_runs:
        connection.execute(insert(workflow_runs), [row.parameters() for row in changes.new_runs.values()])
    end_from_outside(connection, changes.ended, context.now)
    leases.void(connection, changes.ended)
    # Behind the lineages' rows, which a run that ends with questions locks first: see _ask_nothing_if_left there.
    questions.retire_before(connection, changes.fresh, context.now)
    for lineage, generation in changes.withdrawn.items():
        questions.withdraw(connection, lineage, generation, context.now, context.now)
    _publish_again(connection, changes, context)


def _publish_again(connection: Connection, changes: BatchChanges, context: EndingContext) -> None:
    if changes.published_again:
        again = update(workflow_runs).where(workflow_runs.c.correlation_id == bindparam("run"))
        connection.execute(again.values(context.publish_again()), [{"run": run} for run in changes.published_again])
