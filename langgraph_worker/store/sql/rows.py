"""The rows that Python code decides about: a frozen dataclass each, with the table's columns by name.

Those of ``workflow_runs`` are in :mod:`.run_rows`. The other rows (steps, errors, usage, tombstones, workers) are only
written, or only counted: their statements take plain :data:`Parameters`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from datetime import datetime
from functools import cache
from operator import attrgetter
from typing import Any, Self
from uuid import UUID

from pydantic import JsonValue
from sqlalchemy import Column, CursorResult, Table

from langgraph_worker.domain.attempts import AttemptKey, WorkKey
from langgraph_worker.store.sql.remembered_nodes import StoredNames
from workflow_events.models import Attempt, WorkflowEvent

Parameters = dict[str, Any]
"""The values of one execution of a statement, by the name of a column or of a bind parameter."""


class Row:
    """What the dataclasses below have in common: the way from a selected row, and the way back into a statement."""

    __slots__ = ()

    @classmethod
    def read(cls, result: CursorResult[Any]) -> list[Self]:
        """The rows of a SELECT, which may leave out columns that have a default here."""
        names = tuple(result.keys())
        return [cls(**dict(zip(names, values, strict=True))) for values in result]

    def parameters(self, **more: Any) -> Parameters:
        """Every column with its value, for an INSERT or an UPDATE.

        :param more: further parameters of the statement.
        """
        names, values = _names_and_values(type(self))  # type: ignore[arg-type]  # mypy finds no type hashable
        return dict(zip(names, values(self), strict=True), **more)


@cache
def _names_and_values(kind: type[Any]) -> tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]]:
    names = column_names(kind)
    return names, attrgetter(*names)


def column_names(kind: type[Any]) -> tuple[str, ...]:
    """The names of the columns that a row class has."""
    return tuple(field.name for field in fields(kind))


def columns_of(kind: type[Any], table: Table) -> list[Column[Any]]:
    """The columns of a table that a row class has."""
    return [table.c[name] for name in column_names(kind) if name in table.c]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRow(Row):
    """A task, and the newest of its attempts that the store has seen."""

    task: str
    attempt_id: UUID
    try_number: int
    max_tries: int
    run_start: datetime | None
    replay: int
    updated_at: datetime

    @classmethod
    def from_attempt(cls, attempt: Attempt, now: datetime) -> Self:
        """The row of a task whose newest attempt this is."""
        return cls(task=attempt.task, **attempt_parameters(attempt), updated_at=now)

    @property
    def newest(self) -> AttemptKey:
        """The attempt, as attempts are compared."""
        return AttemptKey(self.attempt_id, self.try_number, self.max_tries, self.run_start, self.replay)


def attempt_parameters(attempt: Attempt) -> Parameters:
    """The columns that ``tasks`` and ``workflow_runs`` keep of an attempt."""
    return {
        "attempt_id": attempt.id,
        "try_number": attempt.try_number,
        "max_tries": attempt.max_tries,
        "run_start": attempt.run_start,
        "replay": attempt.replay,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class LineageRow(Row):
    """A lineage in its present generation."""

    lineage: str
    task: str | None
    agent: str | None
    generation: int
    logical_run: UUID
    graph: str
    shared_thread: str | None
    input_hash: str
    nodes: StoredNames | None
    release: str | None = None
    traceparent: str | None = None
    newest: UUID
    updated_at: datetime

    @property
    def work(self) -> WorkKey:
        """What the present generation works on."""
        return WorkKey(self.graph, self.shared_thread, self.input_hash)


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedThread(Row):
    """A thread that this transaction has locked, and its holder. How long the lease holds does not matter then.

    :param correlation_id: the run that holds it.
    :param held: the token that its holder was given.
    """

    thread_id: str
    token: int
    owner: str | None
    correlation_id: UUID | None
    held: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionRow(Row):
    """A graph's question to a person, as one run asked it (table ``interrupts``).

    :param correlation_id: the request that ended with the question.
    :param asking: how many questions by this id the logical run was answered before. It stays the same when the
        question is only repeated. None, from an earlier version, counts as 0.
    :param answer_id: the request that answered it.
    """

    thread_id: str
    interrupt_id: str
    correlation_id: UUID
    lineage: str
    generation: int
    logical_run: UUID
    asked_at: datetime
    asking: int | None = None
    retired_at: datetime | None = None
    answered_at: datetime | None = None
    answered_by: str | None = None
    answer_id: UUID | None = None
    answer_lineage: str | None = None
    answer: JsonValue = None

    @property
    def is_pending(self) -> bool:
        """Neither answered nor retired."""
        return self.answered_at is None and self.retired_at is None

    @property
    def number(self) -> int:
        """Its asking."""
        return self.asking or 0

    def retired(self, now: datetime) -> Self:
        """The question, retired now if it was not yet."""
        return self if self.retired_at is not None else replace(self, retired_at=now)


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphQuestion(QuestionRow):
    """A question, and the run that asked it.

    :param workflow_id, workflow_run_id: of the request that ended with the question.
    :param deployment: of the run that asked; None for a plain request's.
    :param event: the request that asked, as JSON.
    :param thread_name: the author's name of the thread, if it has one.
    """

    graph: str
    workflow_id: str
    workflow_run_id: str
    deployment: str | None = None
    event: str | None = None
    thread_name: str | None = None

    def is_open_to(self, event: WorkflowEvent) -> bool:
        """Whether an event may answer it: a person's, who needs no attempt, or one of the deployment that asked."""
        return event.attempt is None or self.deployment in (None, event.attempt.deployment)

    def is_of_dag_run(self, event: WorkflowEvent) -> bool:
        """Whether the request that asked it was of the event's DAG run."""
        return (self.workflow_id, self.workflow_run_id) == (event.workflow_id, event.workflow_run_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRow(Row):
    """A cancel whose request had not come when it arrived (table ``cancellations``)."""

    correlation_id: UUID
    reason: str
    requested_by: str | None
    received_at: datetime
    expires_at: datetime
