"""A graph's questions to a person: which are pending, who may answer them, what is left to apply."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import JsonValue
from sqlalchemy import ColumnElement, Connection, and_, bindparam, insert, select, update

from langgraph_worker.store.schema import interrupts, workflow_runs
from langgraph_worker.store.statements import Row, some_at_once
from workflow_events.models import Answer


@dataclass(frozen=True, slots=True)
class Asking:
    """Whoever asks what is pending in a lineage.

    :param correlation_id: the request that ended with it, which may be another task's answer to an earlier question.
    """

    generation: int
    correlation_id: UUID


def is_pending() -> ColumnElement[bool]:
    """Of a question: neither answered nor retired."""
    return and_(interrupts.c.answered_at.is_(None), interrupts.c.retired_at.is_(None))


def find(connection: Connection, ids: Collection[str]) -> dict[str, Row]:
    """The questions of these ids as they stand, each with its run's ``graph``."""
    asked = select(interrupts, workflow_runs.c.graph).join(
        workflow_runs, workflow_runs.c.correlation_id == interrupts.c.correlation_id
    )
    rows: list[Row] = []
    for some in some_at_once(ids):
        rows += map(dict, connection.execute(asked.where(interrupts.c.interrupt_id.in_(some))).mappings())
    return latest(rows)


def latest(rows: Iterable[Row]) -> dict[str, Row]:
    """By id: a question may have been asked more than once, and is pending at most once."""

    def rank(row: Row) -> tuple[bool, bool, datetime]:
        return _pending(row), row["answered_at"] is not None, row["asked_at"]

    return {row["interrupt_id"]: row for row in sorted(rows, key=rank)}


def refusal(answers: Sequence[Answer], found: Mapping[str, Row], lineage: str) -> str | None:
    """Why these answers cannot be taken; None if they can.

    :param lineage: of the request that answers. Its own answer it may repeat.
    """
    for place, answer in enumerate(answers):
        row = found.get(answer.interrupt_id)
        problem = _problem(answer, row, lineage)
        if problem:
            return f"field 'answers[{place}]': interrupt {answer.interrupt_id!r} {problem}"
    if len({found[answer.interrupt_id]["thread_id"] for answer in answers}) > 1:
        return "field 'answers': they answer different runs; send an event for each"
    return None


def _problem(answer: Answer, row: Row | None, lineage: str) -> str:
    if row is None:
        return "is not known: nothing asked it, or its run was pruned"
    if row["retired_at"] is not None:
        return "is not asked any more: its task was started afresh"
    if row["answered_at"] is None:
        return ""
    if row["answer_lineage"] == lineage and row["answer"] == answer.value:
        return ""
    by = f" by {row['answered_by']}" if row["answered_by"] else ""
    return f"was answered{by} at {row['answered_at'].isoformat(timespec='seconds')}"


def to_apply(answers: Sequence[Answer], found: Mapping[str, Row]) -> dict[str, JsonValue]:
    """The answers that no checkpoint holds yet."""
    return {answer.interrupt_id: answer.value for answer in answers if _pending(found[answer.interrupt_id])}


def _pending(row: Row) -> bool:
    return row["answered_at"] is None and row["retired_at"] is None


_answer = (
    update(interrupts)
    .where(
        interrupts.c.thread_id == bindparam("thread"),
        interrupts.c.interrupt_id == bindparam("interrupt"),
        is_pending(),
    )
    .values({name: bindparam(name) for name in ("answered_at", "answered_by", "answer_id", "answer_lineage", "answer")})
)


def note_answers(connection: Connection, rows: Sequence[Row]) -> None:
    """They are in the checkpoint that this transaction writes."""
    if rows:
        connection.execute(_answer, rows)


def ask(connection: Connection, rows: Sequence[Row], now: datetime) -> None:
    """New questions; what their threads asked before and nobody answered is asked by these, or not at all."""
    if rows:
        of_threads = interrupts.c.thread_id.in_({row["thread_id"] for row in rows})
        connection.execute(update(interrupts).where(of_threads, is_pending()).values(retired_at=now))
        connection.execute(insert(interrupts), rows)


def forget(connection: Connection, thread_ids: Collection[str], now: datetime) -> None:
    """Retire what these threads ask: their runs have come to an end without an answer."""
    if thread_ids:
        of_threads = interrupts.c.thread_id.in_(thread_ids)
        connection.execute(update(interrupts).where(of_threads, is_pending()).values(retired_at=now))


def withdraw(connection: Connection, lineage: str, generation: int, told_at: datetime, now: datetime) -> bool:
    """Retire what this generation asked until then, if it is pending; whether anything was."""
    of_it = and_(interrupts.c.lineage == lineage, interrupts.c.generation == generation)
    asked = and_(of_it, interrupts.c.asked_at <= told_at, is_pending())
    return connection.execute(update(interrupts).where(asked).values(retired_at=now)).rowcount > 0


def retire(connection: Connection, generations: Mapping[str, int], now: datetime) -> None:
    """Retire what older generations of these lineages asked. An answer to it is not to be repeated either."""
    for lineage, generation in generations.items():
        old = and_(interrupts.c.lineage == lineage, interrupts.c.generation < generation)
        connection.execute(update(interrupts).where(old, interrupts.c.retired_at.is_(None)).values(retired_at=now))


def asking(connection: Connection, lineages: Collection[str]) -> dict[str, Asking]:
    """The lineages with a pending question, and who asks it."""
    if not lineages:
        return {}
    found = connection.execute(
        select(interrupts.c.lineage, interrupts.c.generation, interrupts.c.correlation_id)
        .where(interrupts.c.lineage.in_(lineages), is_pending())
        .order_by(interrupts.c.generation)
    )
    return {row.lineage: Asking(row.generation, row.correlation_id) for row in found}


def of_threads(connection: Connection, names: Collection[str]) -> dict[str, list[dict[str, Any]]]:
    """Every question of these threads."""
    found: dict[str, list[dict[str, Any]]] = {}
    if names:
        for row in connection.execute(select(interrupts).where(interrupts.c.thread_id.in_(names))).mappings():
            found.setdefault(row["thread_id"], []).append(dict(row))
    return found
