"""What people see of runs: a line of a list, and one run with all that is kept of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Self
from uuid import UUID

from pydantic import JsonValue

from langgraph_worker.domain.models import Decision, Failure, Step
from langgraph_worker.domain.pauses import PauseChange
from workflow_events.models import EventType, WorkflowEvent
from workflow_events.results import ModelUsage, WorkflowResultEvent

MOST_SHOWN = 500
"""How many steps, errors, questions and requests of one run a :class:`RunDetail` holds: the newest ones."""


class ViewStatus(StrEnum):
    """Where a run stands, in one word: while it is unfinished what it does, and after that its result's status."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCESS = "success"
    FAILURE = "failure"
    ERROR = "error"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"

    @property
    def is_finished(self) -> bool:
        """Whether a run of this status has its result."""
        return self not in UNFINISHED


UNFINISHED = frozenset({ViewStatus.PENDING, ViewStatus.RUNNING})


_INSTANT = "%Y%m%dT%H%M%S.%f"


def _written(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):{_INSTANT}}"


def _read(text: str) -> datetime:
    return datetime.strptime(text, _INSTANT).replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, order=True)
class PageKey:
    """The place of a run in the order of lists: when it was accepted, and the order of acceptance."""

    accepted_at: datetime
    seq: int

    def __str__(self) -> str:
        """As a command line, or a URL, names it."""
        return f"{_written(self.accepted_at)}-{self.seq}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The key of this text.

        :raises ValueError: it is none.
        """
        at, _, seq = text.partition("-")
        number = int(seq)
        if not 0 <= number < 2**63:
            raise ValueError(text)
        return cls(_read(at), number)


def asker_of_unplaced(event: WorkflowEvent) -> str | None:
    """The Airflow installation that asks for what never runs; ``""`` for a plain request.

    None: it is not known. A person's answer belongs to who asked the question, and none was found.
    """
    if event.attempt is None and event.event_type is EventType.WORKFLOW_RESUMED:
        return None
    return event.deployment or ""


@dataclass(frozen=True, slots=True)
class RunScope:
    """The runs that a reader may see at all.

    :param graphs: those of these graphs; None: of all, also of requests whose graph is not known.
    :param deployments: those that these Airflow installations asked for, ``""`` for requests of none; None: of all,
        also of requests of which it is not known.
    """

    graphs: frozenset[str] | None = None
    deployments: frozenset[str] | None = None

    @property
    def is_all(self) -> bool:
        """Whether it has every run."""
        return self.graphs is None and self.deployments is None

    def includes_graph(self, graph: str | None) -> bool:
        """Whether it has runs of this graph."""
        return self.graphs is None or graph in self.graphs

    def includes(self, graph: str | None, deployment: str | None) -> bool:
        """Whether it has a run of this graph that this installation asked for.

        :param deployment: None: it is not known.
        """
        return self.includes_graph(graph) and (self.deployments is None or deployment in self.deployments)


EVERY_RUN = RunScope()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """Which runs are wanted: those that fit all that is set.

    :param statuses: any of them; empty: all.
    :param thread: LangGraph's id of the thread, or the author's name of it.
    :param since, before: when the request was accepted, UTC: from this instant on, and until right before that one.
    :param scope: the runs that may be seen at all.
    """

    statuses: frozenset[ViewStatus] = frozenset()
    graph: str | None = None
    workflow_id: str | None = None
    workflow_run_id: str | None = None
    thread: str | None = None
    error_type: str | None = None
    since: datetime | None = None
    before: datetime | None = None
    scope: RunScope = EVERY_RUN

    @property
    def takes_all(self) -> bool:
        """Whether every run fits."""
        return self == RunFilter()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """One run, as a line of a list. Times are UTC.

    :param graph: None for a request that was refused before its graph was known.
    :param thread_id: None for a request that never runs.
    :param try_number: of the Airflow task; None for a plain request.
    :param attempts: how often it was started.
    :param error_type: of its result.
    :param deployment: the Airflow installation that asked; ``""`` for a plain request; None: it is not known.
    """

    key: PageKey
    correlation_id: UUID
    status: ViewStatus
    decision: Decision
    graph: str | None
    workflow_id: str
    workflow_run_id: str
    try_number: int | None
    replay: int | None
    round: int
    thread_id: str | None
    thread_name: str | None
    accepted_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    attempts: int
    worker_id: str | None
    error_type: str | None
    deployment: str | None


@dataclass(frozen=True, slots=True)
class RunPage:
    """Some runs, the newest first.

    :param next: where the next page begins; None: there is none.
    """

    runs: tuple[RunSummary, ...]
    next: PageKey | None


@dataclass(frozen=True, slots=True)
class StepView:
    """A step, and the start of the run that it belongs to."""

    attempt: int
    step: Step

    @property
    def key(self) -> StepKey:
        """Its place among the steps of its run."""
        return StepKey(self.step.started_at, self.step.step_id)


@dataclass(frozen=True, slots=True, order=True)
class StepKey:
    """The place of a step in its run: when it began, and its id."""

    started_at: datetime
    step_id: str

    def __str__(self) -> str:
        """As a URL names it."""
        return f"{_written(self.started_at)}-{self.step_id}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The key of this text.

        :raises ValueError: it is none.
        """
        at, sign, step_id = text.partition("-")
        if not (sign and step_id) or "\0" in step_id:
            raise ValueError(text)
        return cls(_read(at), step_id)


@dataclass(frozen=True, slots=True)
class StepPage:
    """Some steps of a run, in the order of their starts.

    :param next: where the next page begins; None: there is none by now.
    """

    steps: tuple[StepView, ...]
    next: StepKey | None


@dataclass(frozen=True, slots=True)
class ErrorView:
    """An error, the start of the run that it belongs to, and where and when it came."""

    attempt: int
    failure: Failure
    worker_id: str | None
    occurred_at: datetime


class QuestionState(StrEnum):
    """Where a question stands."""

    PENDING = "pending"
    ANSWERED = "answered"
    RETIRED = "no longer asked"


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionView:
    """A question that the run's logical run asked.

    :param asked_by: the request whose result asks it; an answer names it in ``answers_to``.
    :param value: what the graph asks.
    """

    interrupt_id: str
    asked_by: UUID
    asked_at: datetime
    state: QuestionState
    value: JsonValue = None
    answered_at: datetime | None = None
    answered_by: str | None = None
    answer_id: UUID | None = None
    answer: JsonValue = None


@dataclass(frozen=True, slots=True)
class WaitsFor:
    """What may keep a pending run from starting.

    :param models: limited ones, of which its calls have turns.
    :param pause: the widest that holds it back.
    :param thread_holder: another request that runs on its thread.
    :param running: how many runs of its graph run, on all workers: as many as ``max_running`` in their
        ``langgraph.json``, and the graph is full.
    """

    models: tuple[str, ...] = ()
    pause: PauseChange | None = None
    thread_holder: UUID | None = None
    running: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDetail:
    """All that is kept of one run. Of its lists the newest :data:`MOST_SHOWN`, oldest first.

    :param event: the request as it was accepted, as JSON; None for one that was refused.
    :param result: None while it is unfinished.
    :param not_before: it backs off until then.
    :param waits_for: of a run that is pending, what the store knows to keep it from starting; None of any other.
    :param logical_run: what it shares with the requests that continue each other; None if it never runs.
    :param deployment: the Airflow installation that asked; None for a plain request, or where it is not known.
    :param run_start: when its DAG run began, as the event says.
    :param usage: by model, what the logical run has spent: until the result, or by now.
    :param requests: all of its lineage, itself included.
    """

    run: RunSummary
    event: Mapping[str, JsonValue] | None
    result: WorkflowResultEvent | None
    deadline: datetime | None
    not_before: datetime | None
    lineage: str | None
    generation: int | None
    logical_run: UUID | None
    release: str | None
    takeovers: int
    published_at: datetime | None
    waits_for: WaitsFor | None = None
    deployment: str | None = None
    run_start: datetime | None = None
    steps: tuple[StepView, ...] = ()
    errors: tuple[ErrorView, ...] = ()
    questions: tuple[QuestionView, ...] = ()
    usage: Mapping[str, ModelUsage] = field(default_factory=dict)
    requests: tuple[RunSummary, ...] = ()

    @property
    def pending_questions(self) -> tuple[QuestionView, ...]:
        """What the run asks now."""
        return tuple(question for question in self.questions if question.state is QuestionState.PENDING)
