"""Decides what a new request is: first, retry, clear, answer or late. Pure: it reads no store and no clock.

Duplicates are found earlier, in ``store/sql/batch_decision.py``.

The newest attempt is found per *task*, over all its agents. Whether a request resumes is decided per *lineage*, which
is one agent of one task. Airflow promises little here: the id of an attempt is a uuid7 from the clock of any of its
hosts, a try number grows on retries and on clears, and both start again in a re-created DAG run.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal, Self
from uuid import UUID

from langgraph_worker.domain.models import Decision, RunStatus
from workflow_events.models import Attempt, WorkflowEvent


@dataclass(frozen=True, slots=True)
class AttemptKey:
    """The fields by which two attempts of a task are compared.

    :param id: Airflow's ``ti.id``, a uuid7.
    :param run_start: ``dag_run.start_date``; None if the sender did not give it.
    :param replay: how often the attempt's dead letter was replayed, this time included; 0 for Airflow's own request.
    """

    id: UUID
    try_number: int
    max_tries: int
    run_start: datetime | None
    replay: int = 0

    @classmethod
    def from_attempt(cls, attempt: Attempt) -> Self:
        """The key of an event's attempt."""
        return cls(attempt.id, attempt.try_number, attempt.max_tries, attempt.run_start, attempt.replay)

    @classmethod
    def from_event(cls, event: WorkflowEvent) -> Self | None:
        """The key of an event's attempt; None for a plain request that is no replay."""
        if event.attempt is not None:
            return cls.from_attempt(event.attempt)
        return cls.of_plain(event.replay.number) if event.replay is not None else None

    @classmethod
    def of_plain(cls, replay: int) -> Self:
        """The key of a plain request and its replays, which are alone in their lineage: one attempt."""
        return cls(_PLAIN, 0, 0, None, replay)


_PLAIN = UUID(int=0)

MOST_AHEAD_SECONDS = 300
"""How far the clock of an Airflow host may be ahead of a worker's."""


def drawn_too_late(attempt: Attempt, now: datetime) -> str | None:
    """Why an attempt's id cannot be of this time; None if it can. A uuid7 begins with the time it was drawn at."""
    ahead = (attempt.id.int >> 80) / 1000 - now.timestamp()
    if ahead <= MOST_AHEAD_SECONDS:
        return None
    return (
        f"field 'attempt.id': its time lies {ahead:,.0f} s in the future, at most {MOST_AHEAD_SECONDS} are allowed. "
        "Take Airflow's ti.id; if it is, correct the clocks of Airflow's hosts and of the workers"
    )


@dataclass(frozen=True, slots=True)
class WorkKey:
    """What a request asks to be done. Only the same work can be continued, or answered from a stored result.

    :param shared_thread: the author's name for the thread; None if the thread belongs to one logical run.
    :param input_hash: :func:`workflow_events.identity.input_hash` of the event's input, or of its answers.
    """

    graph: str
    shared_thread: str | None
    input_hash: str


@dataclass(frozen=True, slots=True)
class IncomingRequest:
    """A request to classify. Without ``attempt`` it is a plain request that replays none, and only ``work`` and
    ``is_answer`` count.

    :param returned: a task state store says that an earlier attempt of the task had returned: this one is a clear.
    :param is_answer: it answers a graph's questions. Whether these are still pending is decided elsewhere.
    """

    work: WorkKey
    attempt: AttemptKey | None = None
    returned: bool = False
    on_retry: Literal["resume", "restart"] = "resume"
    on_clear: Literal["restart", "resume"] = "restart"
    is_answer: bool = False


@dataclass(frozen=True, slots=True)
class Lineage:
    """What the store knows of a request's lineage.

    :param generation: how often the lineage was started afresh.
    :param attempt: the attempt of its newest request.
    :param status: the status of its newest request.
    :param is_asking: this generation has a question that is not answered.
    """

    generation: int
    work: WorkKey
    attempt: AttemptKey
    status: RunStatus
    is_asking: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """The class of a request.

    :param generation: the lineage's generation once the request is accepted; 0 for a late attempt, which has none.
    :param reason: for the log.
    :param is_newest: the attempt is newer than all others of the task: their unfinished runs end.
    :param is_replay: it replays what its lineage asked before in the same attempt, or as a plain request: that one's
        unfinished runs end, and no other agent's.
    :param repeats: it gives its lineage's last answers once more: to the questions that those were given to, even if a
        graph has asked by the same ids again.
    """

    decision: Decision
    generation: int
    reason: str
    is_newest: bool = False
    is_replay: bool = False
    repeats: bool = False


class Relation(StrEnum):
    """An attempt is the same try as an earlier one of its task, a retry of it, or a clear."""

    SAME = "the same attempt"
    RETRY = "a retry"
    CLEAR = "a clear"


def is_newer(one: AttemptKey, other: AttemptKey) -> bool:
    """Whether ``one`` was made after ``other``.

    Within one DAG run the try numbers decide, because the clocks of Airflow's hosts differ; otherwise the times in the
    ids. Of two different attempts, exactly one is newer. An attempt and its replays are one: a replay is newer than its
    own origin only, which :func:`decide` compares within the lineage.
    """
    if one.run_start == other.run_start and one.try_number != other.try_number:
        return one.try_number > other.try_number
    return one.id.int > other.id.int


def _replays(attempt: AttemptKey, lineage: Lineage | None) -> int:
    """How many replays of one attempt lie between a request and the newest of its lineage; below 0 if it is older."""
    return attempt.replay - lineage.attempt.replay if lineage and lineage.attempt.id == attempt.id else 0


def relation(incoming: IncomingRequest, attempt: AttemptKey, earlier: AttemptKey) -> Relation:
    """What ``attempt`` is to ``earlier``, which is not newer than it."""
    if attempt.id == earlier.id:
        return Relation.SAME if attempt.replay == earlier.replay else Relation.RETRY
    unmoved = attempt.run_start == earlier.run_start and attempt.max_tries == earlier.max_tries
    if unmoved and attempt.try_number > earlier.try_number and not incoming.returned:
        return Relation.RETRY
    return Relation.CLEAR


def decide(incoming: IncomingRequest, newest: AttemptKey | None, lineage: Lineage | None) -> Verdict:
    """Classify a request whose correlation id the store has not seen.

    :param newest: the task's newest attempt, over all its agents; None if the store has seen none.
    :param lineage: None if no request of the lineage was accepted.
    """
    attempt = incoming.attempt
    if attempt is None:
        if incoming.is_answer:
            return Verdict(Decision.ANSWER, 1, "the request names no task")
        return Verdict(Decision.FRESH, 1, "the request names no task")
    is_same = newest is not None and newest.id == attempt.id
    if newest is not None and not is_same and not is_newer(attempt, newest):
        reason = f"try {attempt.try_number} is older than try {newest.try_number}, which was accepted before it"
        return Verdict(Decision.LATE, 0, reason)
    replays = _replays(attempt, lineage)
    if replays < 0:
        return Verdict(Decision.LATE, 0, "a later replay of the same attempt was accepted before it")
    decision, generation, reason = _continues(incoming, attempt, lineage)
    if incoming.is_answer and decision is not Decision.ANSWERED:
        decision = Decision.ANSWER
    repeats = incoming.is_answer and lineage is not None and _repeats(incoming, attempt, lineage)
    return Verdict(decision, generation, reason, not is_same, replays > 0, repeats)


def _repeats(incoming: IncomingRequest, attempt: AttemptKey, lineage: Lineage) -> bool:
    """Whether another attempt does the same work. Another request of the same attempt is a new round of questions."""
    return relation(incoming, attempt, lineage.attempt) is not Relation.SAME and incoming.work == lineage.work


def _continues(incoming: IncomingRequest, attempt: AttemptKey, lineage: Lineage | None) -> tuple[Decision, int, str]:
    if lineage is None:
        return Decision.FRESH, 1, "the first request of its task"
    kind = relation(incoming, attempt, lineage.attempt)
    what = f"replay {attempt.replay}" if _replays(attempt, lineage) > 0 else kind.value
    if incoming.is_answer and kind is Relation.SAME:
        return Decision.ANSWER, lineage.generation, "an answer of the same attempt"
    afresh = _starts_afresh(incoming, kind, lineage)
    if afresh:
        return Decision.FRESH, lineage.generation + 1, f"{what}, {afresh}"
    if lineage.status is RunStatus.COMPLETED or (lineage.status is RunStatus.INTERRUPTED and lineage.is_asking):
        return Decision.ANSWERED, lineage.generation, f"{what}; the run before is {lineage.status.value}"
    return Decision.RESUMED, lineage.generation, f"{what}; the run before is {lineage.status.value}"


def _starts_afresh(incoming: IncomingRequest, kind: Relation, lineage: Lineage) -> str:
    """Why nothing of the earlier requests may be used; empty if it may."""
    # This comes first: a stored result of other work would be a wrong answer, whatever on_retry and on_clear say.
    other = _difference(incoming.work, lineage.work)
    if other:
        return other
    succeeded = lineage.status is RunStatus.COMPLETED
    if kind is Relation.RETRY and incoming.on_retry == "restart" and not succeeded:
        return "on_retry is 'restart'"
    if kind is Relation.CLEAR and incoming.on_clear == "restart":
        return "on_clear is 'restart'"
    if kind is Relation.CLEAR and succeeded:
        return "and what it clears had succeeded"
    return ""


def _difference(one: WorkKey, other: WorkKey) -> str:
    if one.graph != other.graph:
        return f"of another graph than before ({other.graph!r})"
    if one.shared_thread != other.shared_thread:
        return "on another thread than before"
    return "" if one.input_hash == other.input_hash else "with other input than before"
