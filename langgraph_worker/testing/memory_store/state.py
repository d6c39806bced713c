"""The state of the in-memory store: frozen records in dicts. A change replaces a record with a new one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from pydantic import JsonValue

from langgraph_worker.domain.accounts import Account, Count
from langgraph_worker.domain.attempts import AttemptKey, WorkKey
from langgraph_worker.domain.model_turns import SlotCount
from langgraph_worker.domain.models import Cancel, Decision, Failure, Origin, RunStatus, Step, WorkerInfo
from langgraph_worker.domain.pauses import PauseChange
from langgraph_worker.domain.retry_policy import Retried
from langgraph_worker.domain.spending import Spending
from workflow_events.codec import Encoded
from workflow_events.models import WorkflowEvent
from workflow_events.results import ModelUsage, ResultStatus, WorkflowResultEvent

STATUS = {
    ResultStatus.SUCCESS: RunStatus.COMPLETED,
    ResultStatus.FAILURE: RunStatus.FAILED,
    ResultStatus.ERROR: RunStatus.FAILED,
    ResultStatus.TIMEOUT: RunStatus.FAILED,
    ResultStatus.CANCELLED: RunStatus.CANCELLED,
    ResultStatus.INTERRUPTED: RunStatus.INTERRUPTED,
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run belongs. An answer belongs where its question was asked."""

    lineage: str
    generation: int
    logical_run: UUID
    thread_id: str
    deployment: str | None
    thread_name: str | None = None


@dataclass(frozen=True, slots=True)
class End:
    """How a run ended: the result as it was sent, and the bytes that every publication sends."""

    at: datetime
    result: WorkflowResultEvent
    reply: Encoded


@dataclass(frozen=True, slots=True)
class Publication:
    """The publication of a stored result.

    :param asked: how often it was asked for: the acknowledgement of an earlier publication does not count for this one.
    :param publisher: the store that ended the run, or was asked again.
    :param adoptable_at: from then on any store may publish it.
    :param first_at: when the broker first acknowledged it.
    :param last_query: the last query that had it published again.
    """

    asked: int
    publisher: str
    adoptable_at: datetime
    published_at: datetime | None = None
    first_at: datetime | None = None
    last_query: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A request, its progress, and its end.

    :param seq: the order of acceptance.
    :param event, graph: None for a refusal.
    :param place: None for a request that never runs: refused, or late.
    :param running: claimed, and neither released nor ended; its owner may be gone.
    :param waiting_since: when it was accepted, or given back.
    :param turn: the earliest starts first.
    """

    seq: int
    correlation_id: UUID
    workflow_id: str
    workflow_run_id: str
    decision: Decision
    origin: Origin
    reply_topic: str
    accepted_at: datetime
    event: WorkflowEvent | None = None
    graph: str | None = None
    place: Place | None = None
    running: bool = False
    waiting_since: datetime
    turn: datetime
    not_before: datetime | None = None
    started_at: datetime | None = None
    attempts: int = 0
    takeovers: int = 0
    retried: Retried = field(default_factory=Retried)
    worker_id: str | None = None
    release: str | None = None
    traceparent: str | None = None
    askings: Mapping[str, int] = field(default_factory=dict)  # of an answer: those that it was given to, by id
    steps: Mapping[str, tuple[int, Step]] = field(default_factory=dict)  # by id; the attempt that wrote it
    errors: tuple[tuple[Failure, int, datetime], ...] = ()
    usage: Mapping[str, ModelUsage] = field(default_factory=dict)
    end: End | None = None
    publication: Publication | None = None

    @property
    def status(self) -> RunStatus:
        """The status that the port names."""
        if self.end is not None:
            return STATUS[self.end.result.status]
        return RunStatus.RUNNING if self.running else RunStatus.PENDING

    @property
    def attempt(self) -> AttemptKey | None:
        """The attempt whose request it is; None for a plain request and for a refusal."""
        return attempt_key(self.event) if self.event else None

    @property
    def task(self) -> str | None:
        """The task whose request it is."""
        return self.event.attempt.task if self.event and self.event.attempt else None

    @property
    def deadline(self) -> datetime | None:
        """The event's deadline."""
        return self.event.deadline if self.event else None

    @property
    def placed(self) -> Place:
        """Its place. Only a run that has ended may have none."""
        assert self.place is not None
        return self.place

    @property
    def is_answer(self) -> bool:
        """It answers questions."""
        return self.event is not None and bool(self.event.answers)


def attempt_key(event: WorkflowEvent) -> AttemptKey | None:
    """The attempt of an event, as attempts are compared; None for a plain request."""
    return AttemptKey.from_attempt(event.attempt) if event.attempt else None


@dataclass(frozen=True, slots=True)
class LineageRecord:
    """A lineage: its generation, what that works on, its newest request, its logical run, and the nodes its graph first
    had.
    """

    generation: int
    work: WorkKey
    newest: UUID
    logical_run: UUID
    nodes: frozenset[str] | None = None
    release: str | None = None
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """A worker owns a thread, or did until the token was raised or the time ran out."""

    run: UUID
    owner: str
    token: int
    until: datetime


@dataclass(frozen=True, slots=True)
class Thread:
    """A thread. Its token only ever grows."""

    token: int = 0
    hold: Hold | None = None

    def is_free(self, now: datetime) -> bool:
        """It may be claimed."""
        return self.hold is None or self.hold.until <= now

    def owner_under(self, token: int) -> Hold | None:
        """The hold under this token; None if such a lease is void."""
        return self.hold if self.hold is not None and self.hold.token == self.token == token else None


@dataclass(frozen=True, slots=True)
class Given:
    """The answer to a question, as a checkpoint holds it."""

    value: JsonValue
    by: str | None
    request: UUID
    lineage: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Question:
    """A question that a run ended with.

    :param asking: how many questions by this id the logical run was answered before.
    :param retired: it was asked again since, or its lineage started afresh.
    """

    id: str
    asked_by: UUID
    place: Place
    asked_at: datetime
    asking: int
    given: Given | None = None
    retired: bool = False

    @property
    def is_pending(self) -> bool:
        """Neither answered nor retired."""
        return self.given is None and not self.retired


@dataclass(frozen=True, slots=True)
class NotedCancel:
    """A cancel that came before its request, and until when it is kept."""

    cancel: Cancel
    received_at: datetime
    until: datetime


class SharedKey(NamedTuple):
    """What a worker has added to an account.

    :param day: of a day's account, as 2027-01-31; else empty.
    """

    account: Account
    day: str
    worker_id: str


@dataclass(frozen=True, slots=True)
class KnownModel:
    """What is counted of a model, by slot; and until when it takes no calls."""

    turns: Mapping[int, SlotCount]
    cool_until: datetime | None
    updated_at: datetime


@dataclass(slots=True)
class State:
    """The whole database."""

    runs: dict[UUID, Run] = field(default_factory=dict)
    tasks: dict[str, AttemptKey] = field(default_factory=dict)  # the newest attempt of each
    tasks_since: dict[str, datetime] = field(default_factory=dict)  # when it became the newest
    lineages: dict[str, LineageRecord] = field(default_factory=dict)
    threads: dict[str, Thread] = field(default_factory=dict)
    questions: list[Question] = field(default_factory=list)
    tombstones: dict[UUID, datetime] = field(default_factory=dict)  # when each may be removed
    cancels: dict[UUID, NotedCancel] = field(default_factory=dict)
    workers: dict[str, tuple[WorkerInfo, datetime]] = field(default_factory=dict)
    first_topics: dict[tuple[str, str], str] = field(default_factory=dict)
    spending: dict[tuple[str, int], Spending] = field(default_factory=dict)  # by lineage and generation
    shared_spending: dict[SharedKey, tuple[Count, datetime]] = field(default_factory=dict)  # when it was added to
    pauses: dict[tuple[str, str], PauseChange] = field(default_factory=dict)  # the newest change of each scope
    models: dict[str, KnownModel] = field(default_factory=dict)
    accepted: int = 0

    def copy(self) -> State:
        """A copy that can change while this one stays."""
        return State(
            dict(self.runs),
            dict(self.tasks),
            dict(self.tasks_since),
            dict(self.lineages),
            dict(self.threads),
            list(self.questions),
            dict(self.tombstones),
            dict(self.cancels),
            dict(self.workers),
            dict(self.first_topics),
            dict(self.spending),
            dict(self.shared_spending),
            dict(self.pauses),
            dict(self.models),
            self.accepted,
        )


@dataclass(frozen=True, slots=True)
class Transaction:
    """A draft of the state, with the store that writes it and the time.

    :param publisher: the store that writes.
    :param max_bytes: limit of an encoded result.
    :param release: of its worker's project.
    :param max_running: most runs at once over all workers, by graph.
    """

    state: State
    now: datetime
    publisher: str
    max_bytes: int
    lease: timedelta
    release: str | None = None
    max_running: Mapping[str, int] = field(default_factory=dict)

    def put(self, run: Run, **changes: Any) -> Run:
        """Keep a run with these changes."""
        kept = self.state.runs[run.correlation_id] = replace(run, **changes)
        return kept

    def unfinished(self) -> Iterator[Run]:
        """The runs that have not ended, oldest first."""
        waiting = [run for run in self.state.runs.values() if run.end is None]
        return iter(sorted(waiting, key=lambda run: run.seq))

    def held_by(self, run: Run) -> str | None:
        """The thread that a run holds, even under a void lease."""
        for name, thread in self.state.threads.items():
            if thread.hold is not None and thread.hold.run == run.correlation_id:
                return name
        return None
