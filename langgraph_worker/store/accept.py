"""Accepting a batch: read what it meets, decide it in memory (:mod:`~langgraph_worker.store.book`), write."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, Select, and_, bindparam, delete, insert, select, update

from langgraph_worker.store import control, leases, questions
from langgraph_worker.store.book import Book, correlation_of, lineage_of
from langgraph_worker.store.endings import Terms, end_runs
from langgraph_worker.store.port import Accepted, Refusal, Request, RunStatus
from langgraph_worker.store.schema import interrupts, lineages, tasks, threads, tombstones, workflow_runs
from langgraph_worker.store.statements import Row, insert_missing, insert_or_replace, some_at_once
from langgraph_worker.store.tasks import lock_tasks

_LARGE = ("event", "reply_key", "reply_value", "reply_headers")
_KNOWN = [column for column in workflow_runs.c if column.name not in _LARGE]
_ANSWERING = (RunStatus.COMPLETED.value, RunStatus.INTERRUPTED.value)


def accept(connection: Connection, batch: Sequence[Request | Refusal], terms: Terms) -> list[Accepted]:
    """Decide and store a batch in the connection's transaction; one :class:`Accepted` per item, in order."""
    if not batch:
        return []
    requests = [item for item in batch if isinstance(item, Request)]
    control.let_accept(connection)
    first = {item.event.attempt.task: item.event.attempt for item in reversed(requests) if item.event.attempt}
    known_tasks, made = lock_tasks(connection, first, terms.now)
    book = _open(connection, batch, known_tasks, terms)
    accepted = [book.take(item) for item in batch]
    _write(connection, book, terms)
    unused = made - book.changed_tasks.keys()  # all that came of them had been seen: nothing changes
    if unused:
        connection.execute(delete(tasks).where(tasks.c.task.in_(unused)))
    return accepted


def _open(
    connection: Connection, batch: Sequence[Request | Refusal], known_tasks: Collection[Row], terms: Terms
) -> Book:
    requests = [item for item in batch if isinstance(item, Request)]
    keys = {item.event.attempt.task for item in requests if item.event.attempt}
    answered = {answer.interrupt_id for item in requests for answer in item.event.answers}
    _lock_threads(connection, keys, answered)
    of_batch = lineages.c.lineage.in_({lineage_of(item.event) for item in requests})
    known_lineages = _rows(connection, select(lineages).where(of_batch)) if requests else []
    asking = questions.asking(connection, {row["lineage"] for row in known_lineages})
    told = {row["newest"] for row in known_lineages} | {asked.correlation_id for asked in asking.values()}
    named = select(*_KNOWN).where(workflow_runs.c.correlation_id.in_({correlation_of(item) for item in batch} | told))
    runs = {row["correlation_id"]: row for row in _rows(connection, named)}
    if keys:
        open_runs = select(*_KNOWN).where(workflow_runs.c.task.in_(keys), workflow_runs.c.finished_at.is_(None))
        runs |= {row["correlation_id"]: row for row in _rows(connection, open_runs)}
    answers = {of for of in told if runs[of]["status"] in _ANSWERING}
    if answers:
        replies = select(workflow_runs.c.correlation_id, workflow_runs.c.reply_value)
        for row in _rows(connection, replies.where(workflow_runs.c.correlation_id.in_(answers))):
            runs[row["correlation_id"]] |= row
    ids = {correlation_of(item) for item in batch}
    buried = select(tombstones.c.correlation_id).where(tombstones.c.correlation_id.in_(ids))
    pruned = set(connection.execute(buried).scalars())
    found = questions.find(connection, answered)
    cancels = control.cancels_of(connection, ids)
    return Book(runs.values(), known_tasks, known_lineages, found, asking, pruned, cancels, terms)


def _lock_threads(connection: Connection, task_keys: Collection[str], interrupt_ids: Collection[str]) -> None:
    """Lock the threads of the tasks' unfinished runs, and of the questions that are answered: no run ends or begins,
    and no question is asked or answered, while the batch is decided.
    """
    names: set[str] = set()
    if task_keys:
        unfinished = and_(workflow_runs.c.task.in_(task_keys), workflow_runs.c.finished_at.is_(None))
        names |= set(connection.execute(select(workflow_runs.c.thread_id).where(unfinished)).scalars())
    for some in some_at_once(interrupt_ids):
        asked = select(interrupts.c.thread_id).where(interrupts.c.interrupt_id.in_(some))
        names |= set(connection.execute(asked).scalars())
    leases.lock(connection, names)


def _write(connection: Connection, book: Book, terms: Terms) -> None:
    if book.changed_tasks:
        connection.execute(insert_or_replace(connection, tasks), list(book.changed_tasks.values()))
    if book.changed_lineages:
        connection.execute(insert_or_replace(connection, lineages), list(book.changed_lineages.values()))
    names = {row["thread_id"] for row in book.new_runs.values()} - {None}
    if names:
        connection.execute(
            insert_missing(connection, threads), [{"thread_id": name, "token": 0} for name in sorted(names)]
        )
    if book.new_runs:
        connection.execute(insert(workflow_runs), list(book.new_runs.values()))
    end_runs(connection, book.ended)
    leases.void(connection, book.ended)
    questions.retire(connection, book.fresh, terms.now)
    for lineage, generation in book.withdrawn.items():
        questions.withdraw(connection, lineage, generation, terms.now, terms.now)
    _publish_again(connection, book, terms)


def _publish_again(connection: Connection, book: Book, terms: Terms) -> None:
    if book.asked_again:
        again = update(workflow_runs).where(workflow_runs.c.correlation_id == bindparam("of"))
        connection.execute(again.values(terms.once_more()), [{"of": of} for of in book.asked_again])


def _rows(connection: Connection, statement: Select[Any]) -> list[Row]:
    return [dict(row) for row in (connection.execute(statement)).mappings()]
