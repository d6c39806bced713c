"""What is an arriving request to what has been seen? The one place that decides it, and pure.

Which attempt is the newest is decided per *task*, over all its agents; whether a request resumes, per *lineage*: one
agent of one task. Airflow promises little here: the id of an attempt is a uuid7 from the clock of any of its hosts,
a try number grows on retries and on clears, and both start again in a re-created DAG run.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal
from uuid import UUID

from langgraph_worker.store.port import Decision, RunStatus


@dataclass(frozen=True, slots=True)
class Seen:
    """An attempt of a task: what is compared of it.

    :param id: Airflow's ``ti.id``, a uuid7.
    :param run_start: ``dag_run.start_date``; None where the peer named none.
    :param replay: how often its dead letter was replayed, this time included; 0 for Airflow's own request.
    """

    id: UUID
    try_number: int
    max_tries: int
    run_start: datetime | None
    replay: int = 0


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be done. Only the same work can be continued, or answered from what it left.

    :param input_hash: :func:`workflow_events.identity.input_hash` of the event's input, or of its answers.
    :param thread: the thread's name if the author shares one, else None.
    """

    graph: str
    thread: str | None
    input_hash: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What arrives. None of ``attempt`` is a plain request, and its other fields but ``work`` mean nothing.

    :param answers: it answers questions of a graph. Whether they are still pending is judged elsewhere.
    """

    work: Work
    attempt: Seen | None = None
    returned: bool = False
    on_retry: Literal["resume", "restart"] = "resume"
    on_clear: Literal["restart", "resume"] = "restart"
    answers: bool = False


@dataclass(frozen=True, slots=True)
class Lineage:
    """What the store knows of the lineage.

    :param generation: how often it was started afresh.
    :param attempt: that of its newest request.
    :param status: how its newest request stands.
    :param asks: its generation has a question that nobody has answered.
    """

    generation: int
    work: Work
    attempt: Seen
    status: RunStatus
    asks: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the request is.

    :param generation: of the lineage, once this is accepted; 0 for a late attempt, which belongs to none.
    :param reason: for the log.
    :param newest: the attempt is newer than all the task's others: their unfinished runs end.
    """

    decision: Decision
    generation: int
    reason: str
    newest: bool = False


class Relation(StrEnum):
    """What an attempt is to an earlier one of its task."""

    SAME = "the same attempt"
    RETRY = "a retry"
    CLEAR = "a clear"


def is_newer(one: Seen, other: Seen) -> bool:
    """Whether ``one`` came into being after ``other``.

    A replay is newer than what it replays. Of two attempts, within one DAG run the try numbers tell, and tell better
    than clocks; else the ids' times. Of two that are not the same exactly one is newer.
    """
    if one.id == other.id and one.replay != other.replay:
        return one.replay > other.replay
    if one.run_start == other.run_start and one.try_number != other.try_number:
        return one.try_number > other.try_number
    return one.id.int > other.id.int


def _is_same(one: Seen, other: Seen) -> bool:
    return one.id == other.id and one.replay == other.replay


def relation(asked: Asked, attempt: Seen, earlier: Seen) -> Relation:
    """What ``attempt`` is to ``earlier``, which is not newer."""
    if attempt.id == earlier.id:
        return Relation.SAME if attempt.replay == earlier.replay else Relation.RETRY
    unmoved = attempt.run_start == earlier.run_start and attempt.max_tries == earlier.max_tries
    if unmoved and attempt.try_number > earlier.try_number and not asked.returned:
        return Relation.RETRY
    return Relation.CLEAR


def decide(asked: Asked, newest: Seen | None, lineage: Lineage | None) -> Verdict:
    """The verdict on a request whose correlation id has not been seen.

    :param newest: the task's newest attempt, over all its agents; None if none was seen.
    :param lineage: None if no request of the lineage was accepted.
    """
    attempt = asked.attempt
    if attempt is None:
        if asked.answers:
            return Verdict(Decision.ANSWER, 1, "plain answer")
        return Verdict(Decision.FRESH, 1, "plain request")
    if newest is not None and not _is_same(newest, attempt) and not is_newer(attempt, newest):
        reason = f"try {attempt.try_number} is older than try {newest.try_number}, which was accepted before it"
        return Verdict(Decision.LATE, 0, reason)
    decision, generation, reason = _continues(asked, attempt, lineage)
    if asked.answers and decision is not Decision.ANSWERED:
        decision = Decision.ANSWER
    return Verdict(decision, generation, reason, newest=newest is None or not _is_same(newest, attempt))


def _continues(asked: Asked, attempt: Seen, lineage: Lineage | None) -> tuple[Decision, int, str]:
    if lineage is None:
        return Decision.FRESH, 1, "first request of its lineage"
    kind = relation(asked, attempt, lineage.attempt)
    if asked.answers and kind is Relation.SAME:
        return Decision.ANSWER, lineage.generation, "an answer of the same attempt"
    afresh = _starts_afresh(asked, kind, lineage)
    if afresh:
        return Decision.FRESH, lineage.generation + 1, f"{kind.value}, {afresh}"
    if lineage.status is RunStatus.COMPLETED or (lineage.status is RunStatus.INTERRUPTED and lineage.asks):
        reason = f"{kind.value} of what is {lineage.status.value}"
        return Decision.ANSWERED, lineage.generation, reason
    return Decision.RESUMED, lineage.generation, f"{kind.value} of what is {lineage.status.value}"


def _starts_afresh(asked: Asked, kind: Relation, lineage: Lineage) -> str:
    """Why nothing of before may be used; empty if it may."""
    # Before all else: an answer to other work would be a wrong answer, whatever the author chose for unfinished work.
    other = _difference(asked.work, lineage.work)
    if other:
        return other
    succeeded = lineage.status is RunStatus.COMPLETED
    if kind is Relation.RETRY and asked.on_retry == "restart" and not succeeded:
        return "on_retry is 'restart'"
    if kind is Relation.CLEAR and asked.on_clear == "restart":
        return "on_clear is 'restart'"
    if kind is Relation.CLEAR and succeeded:
        return "and what it clears had succeeded"
    return ""


def _difference(one: Work, other: Work) -> str:
    if one.graph != other.graph:
        return f"of another graph than before ({other.graph!r})"
    if one.thread != other.thread:
        return "on another thread than before"
    return "" if one.input_hash == other.input_hash else "with other input than before"
