"""Accepting a batch: read what it meets, decide it in memory (:mod:`~langgraph_worker.store.book`), write."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Select, bindparam, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from langgraph_worker.store.book import Book, correlation_of, lineage_of
from langgraph_worker.store.endings import end_runs
from langgraph_worker.store.port import Accepted, Refusal, Request, RunStatus
from langgraph_worker.store.schema import lineages, tasks, threads, workflow_runs
from langgraph_worker.store.statements import Row, insert_missing, insert_or_replace

_LARGE = ("event", "reply_key", "reply_value", "reply_headers")
_KNOWN = [column for column in workflow_runs.c if column.name not in _LARGE]
_ANSWERING = (RunStatus.COMPLETED.value, RunStatus.INTERRUPTED.value)


async def accept(
    connection: AsyncConnection, batch: Sequence[Request | Refusal], *, max_bytes: int, now: datetime
) -> list[Accepted]:
    """Decide and store a batch in the connection's transaction; one :class:`Accepted` per item, in order."""
    if not batch:
        return []
    book = await _open(connection, batch, max_bytes, now)
    accepted = [book.take(item) for item in batch]
    await _write(connection, book)
    return accepted


async def _open(connection: AsyncConnection, batch: Sequence[Request | Refusal], max_bytes: int, now: datetime) -> Book:
    requests = [item for item in batch if isinstance(item, Request)]
    keys = {item.event.attempt.task for item in requests if item.event.attempt}
    # Sorted, here and wherever tasks are locked: two workers with common tasks wait for each other, never both.
    lock_tasks = select(tasks).where(tasks.c.task.in_(sorted(keys))).order_by(tasks.c.task).with_for_update()
    known_tasks = await _rows(connection, lock_tasks) if keys else []
    of_batch = lineages.c.lineage.in_({lineage_of(item.event) for item in requests})
    known_lineages = await _rows(connection, select(lineages).where(of_batch)) if requests else []
    newest = {row["newest"] for row in known_lineages}
    named = select(*_KNOWN).where(workflow_runs.c.correlation_id.in_({correlation_of(item) for item in batch} | newest))
    runs = {row["correlation_id"]: row for row in await _rows(connection, named)}
    if keys:
        open_runs = select(*_KNOWN).where(workflow_runs.c.task.in_(keys), workflow_runs.c.finished_at.is_(None))
        runs |= {row["correlation_id"]: row for row in await _rows(connection, open_runs)}
    answers = {of for of in newest if runs[of]["status"] in _ANSWERING}
    if answers:
        replies = select(workflow_runs.c.correlation_id, workflow_runs.c.reply_value)
        for row in await _rows(connection, replies.where(workflow_runs.c.correlation_id.in_(answers))):
            runs[row["correlation_id"]] |= row
    return Book(runs.values(), known_tasks, known_lineages, max_bytes=max_bytes, now=now)


async def _write(connection: AsyncConnection, book: Book) -> None:
    if book.changed_tasks:
        await connection.execute(insert_or_replace(tasks), list(book.changed_tasks.values()))
    if book.changed_lineages:
        await connection.execute(insert_or_replace(lineages), list(book.changed_lineages.values()))
    names = {row["thread_id"] for row in book.new_runs.values()} - {None}
    if names:
        await connection.execute(insert_missing(threads), [{"thread_id": name, "token": 0} for name in sorted(names)])
    if book.new_runs:
        await connection.execute(insert(workflow_runs), list(book.new_runs.values()))
    await end_runs(connection, book.ended)
    await _void(connection, book.ended)
    await _publish_again(connection, book)


async def _void(connection: AsyncConnection, ended: Collection[object]) -> None:
    """Raise the token of every thread that one of these runs holds; it stays held until its owner lets go (rule 3)."""
    if ended:
        held = threads.c.correlation_id.in_(ended)
        await connection.execute(update(threads).where(held).values(token=threads.c.token + 1))


async def _publish_again(connection: AsyncConnection, book: Book) -> None:
    if book.asked_again:
        again = update(workflow_runs).where(workflow_runs.c.correlation_id == bindparam("of"))
        change = {"published_at": None, "publish_asked": workflow_runs.c.publish_asked + 1}
        await connection.execute(again.values(change), [{"of": of} for of in book.asked_again])


async def _rows(connection: AsyncConnection, statement: Select[Any]) -> list[Row]:
    return [dict(row) for row in (await connection.execute(statement)).mappings()]
