"""A graph's questions to a person: which are pending, who may answer them, which answers are still to be applied."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from pydantic import JsonValue
from sqlalchemy import ColumnElement, Connection, and_, bindparam, func, insert, select, update

from langgraph_worker.domain.question_refusals import LEFT, UNKNOWN, answered, asked_now
from langgraph_worker.store.migrations.schema import interrupts, workflow_runs
from langgraph_worker.store.sql.rows import GraphQuestion, Parameters, QuestionRow
from langgraph_worker.store.sql.statements import in_chunks
from workflow_events.models import Answer

_Question = TypeVar("_Question", bound=QuestionRow)


@dataclass(frozen=True, slots=True)
class AskingRun:
    """The run that asks what is pending in a lineage.

    :param correlation_id: the request that ended with the question: perhaps another task's, which answered an earlier
        question of the lineage.
    """

    generation: int
    correlation_id: UUID


def is_pending() -> ColumnElement[bool]:
    """The condition that a question is neither answered nor retired."""
    return and_(interrupts.c.answered_at.is_(None), interrupts.c.retired_at.is_(None))


def find(connection: Connection, ids: Collection[str]) -> list[GraphQuestion]:
    """Every question with one of these ids, whichever run asked it, with what names its run."""
    run = [
        workflow_runs.c[name]
        for name in ("graph", "deployment", "thread_name", "workflow_id", "workflow_run_id", "event")
    ]
    asked = select(interrupts, *run).join(workflow_runs, workflow_runs.c.correlation_id == interrupts.c.correlation_id)
    rows: list[GraphQuestion] = []
    for some in in_chunks(ids):
        rows += GraphQuestion.read(connection.execute(asked.where(interrupts.c.interrupt_id.in_(some))))
    return rows


def given_to(rows: Iterable[_Question], askings: Mapping[str, int] | None) -> dict[str, _Question]:
    """The questions that answers were given to, by id.

    :param askings: the askings that the answers belong to (:attr:`~.rows.QuestionRow.number`), by id; without one, the
        latest counts.
    """
    bound = askings or {}
    return latest(row for row in rows if bound.get(row.interrupt_id, row.number) == row.number)


def latest(rows: Iterable[_Question]) -> dict[str, _Question]:
    """The questions by id. One that was asked more than once is pending at most once, and then that time counts."""

    def rank(row: _Question) -> tuple[bool, bool, datetime]:
        return row.is_pending, row.answered_at is not None, row.asked_at

    return {row.interrupt_id: row for row in sorted(rows, key=rank)}


def refusal(
    answers: Sequence[Answer],
    known: Mapping[str, QuestionRow],
    lineage: str,
    current: Mapping[str, Sequence[QuestionRow]],
    addressed: str | None = None,
) -> str | None:
    """Why these answers cannot be taken, and what can be answered instead; None if they can.

    :param lineage: the lineage of the request that answers. It may repeat an answer of its own.
    :param current: what is asked now, by lineage.
    :param addressed: the lineage of the run that the answers name, for a question that is not known.
    """
    for place, answer in enumerate(answers):
        row = known.get(answer.interrupt_id)
        problem = _problem(answer, row, lineage)
        if problem:
            asked = current.get(row.lineage if row is not None else addressed or lineage, ())
            now = asked_now([(one.interrupt_id, one.correlation_id) for one in asked])
            return f"field 'answers[{place}]': interrupt {answer.interrupt_id!r} {problem}{now}"
    if len({known[answer.interrupt_id].thread_id for answer in answers}) > 1:
        return "field 'answers': they answer different runs; send an event for each"
    return None


def _problem(answer: Answer, row: QuestionRow | None, lineage: str) -> str:
    if row is None:
        return UNKNOWN
    if row.retired_at is not None:
        return LEFT
    if row.answered_at is None:
        return ""
    if row.answer_lineage == lineage and row.answer == answer.value:
        return ""
    return answered(row.answered_at, row.answered_by, row.answer_id)


def pending_by_lineage(rows: Iterable[_Question]) -> dict[str, list[_Question]]:
    """Those of the questions that are pending, by lineage, in the order in which they were asked."""
    found: dict[str, list[_Question]] = {}
    for row in sorted(rows, key=lambda row: (row.asked_at, row.interrupt_id)):
        if row.is_pending:
            found.setdefault(row.lineage, []).append(row)
    return found


def to_apply(answers: Sequence[Answer], known: Mapping[str, QuestionRow]) -> dict[str, JsonValue]:
    """The answers that no checkpoint holds yet."""
    return {answer.interrupt_id: answer.value for answer in answers if known[answer.interrupt_id].is_pending}


_answer = (
    update(interrupts)
    .where(
        interrupts.c.thread_id == bindparam("thread"),
        interrupts.c.interrupt_id == bindparam("interrupt"),
        is_pending(),
    )
    .values({name: bindparam(name) for name in ("answered_at", "answered_by", "answer_id", "answer_lineage", "answer")})
)


def note_answers(connection: Connection, rows: Sequence[Parameters]) -> None:
    """Note that the checkpoint which this transaction writes holds these answers."""
    if rows:
        connection.execute(_answer, rows)


def ask(connection: Connection, rows: Sequence[QuestionRow], now: datetime) -> None:
    """Insert new questions. The pending ones that their threads asked before are retired: the new ones replace them."""
    if rows:
        retire_pending(connection, {row.thread_id for row in rows}, now)
        before = _askings(connection, {row.logical_run for row in rows})
        connection.execute(
            insert(interrupts),
            [row.parameters() | {"asking": before.get((row.logical_run, row.interrupt_id), 0)} for row in rows],
        )


def _askings(connection: Connection, logical_runs: Collection[UUID]) -> dict[tuple[UUID, str], int]:
    """How many questions these logical runs were answered, by run and id."""
    answered = and_(interrupts.c.logical_run.in_(logical_runs), interrupts.c.answered_at.is_not(None))
    key = (interrupts.c.logical_run, interrupts.c.interrupt_id)
    found = connection.execute(select(*key, func.count()).where(answered).group_by(*key))
    return {(logical_run, name): count for logical_run, name, count in found}


def retire_pending(connection: Connection, thread_ids: Collection[str], now: datetime) -> None:
    """Retire the pending questions of these threads: their run has ended, and did not ask them again."""
    if thread_ids:
        on_threads = interrupts.c.thread_id.in_(thread_ids)
        connection.execute(update(interrupts).where(on_threads, is_pending()).values(retired_at=now))


def retire_unreachable(connection: Connection, runs: Collection[tuple[str, UUID]], now: datetime) -> None:
    """Retire the pending questions that these logical runs asked on these threads, as no answer can reach them: each
    thread's checkpoints go on with another run.
    """
    for thread_id, logical_run in runs:
        asked = and_(interrupts.c.thread_id == thread_id, interrupts.c.logical_run == logical_run, is_pending())
        connection.execute(update(interrupts).where(asked).values(retired_at=now))


def withdraw(connection: Connection, lineage: str, generation: int, until: datetime, now: datetime) -> bool:
    """Retire the pending questions that this generation asked up to ``until``.

    :returns: whether there were any.
    """
    of_generation = and_(interrupts.c.lineage == lineage, interrupts.c.generation == generation)
    asked = and_(of_generation, interrupts.c.asked_at <= until, is_pending())
    return connection.execute(update(interrupts).where(asked).values(retired_at=now)).rowcount > 0


def retire_before(connection: Connection, generations: Mapping[str, int], now: datetime) -> None:
    """Retire what the generations before these asked, by lineage. Not even its own answer may be repeated then."""
    for lineage, generation in generations.items():
        old = and_(interrupts.c.lineage == lineage, interrupts.c.generation < generation)
        connection.execute(update(interrupts).where(old, interrupts.c.retired_at.is_(None)).values(retired_at=now))


def asking_runs(connection: Connection, lineages: Collection[str]) -> dict[str, AskingRun]:
    """The runs that ask a pending question, by lineage."""
    if not lineages:
        return {}
    found = connection.execute(
        select(interrupts.c.lineage, interrupts.c.generation, interrupts.c.correlation_id)
        .where(interrupts.c.lineage.in_(lineages), is_pending())
        .order_by(interrupts.c.generation)
    )
    return {row.lineage: AskingRun(row.generation, row.correlation_id) for row in found}


def current(connection: Connection, lineages: Collection[str]) -> dict[str, list[QuestionRow]]:
    """The pending questions of these lineages, by lineage."""
    rows: list[QuestionRow] = []
    for some in in_chunks(lineages):
        pending = select(interrupts).where(interrupts.c.lineage.in_(some), is_pending())
        rows += QuestionRow.read(connection.execute(pending))
    return pending_by_lineage(rows)


def on_threads(connection: Connection, thread_ids: Collection[str]) -> dict[str, list[QuestionRow]]:
    """Every question of these threads, by thread."""
    found: dict[str, list[QuestionRow]] = {}
    if thread_ids:
        asked = connection.execute(select(interrupts).where(interrupts.c.thread_id.in_(thread_ids)))
        for row in QuestionRow.read(asked):
            found.setdefault(row.thread_id, []).append(row)
    return found
