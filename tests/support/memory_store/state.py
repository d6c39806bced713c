"""What the in-memory store remembers: frozen records in dicts. A change puts a new record in the old one's place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from pydantic import JsonValue

from langgraph_worker.attempts import Seen, Work
from langgraph_worker.store.port import Cancel, Decision, Failure, Origin, RunStatus, Step, WorkerInfo
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


@dataclass(frozen=True, slots=True)
class End:
    """How a run ended: the result that was really sent, and the bytes that every publication sends."""

    at: datetime
    result: WorkflowResultEvent
    reply: Encoded


@dataclass(frozen=True, slots=True)
class Publication:
    """How a stored result gets out.

    :param asked: how often it was asked for: an acknowledgement of an earlier publication is not one of this.
    :param publisher: the store that ended the run, or was asked again.
    :param adoptable_at: from then on anybody may publish it.
    :param first_at: the broker has acknowledged it at least once.
    :param last_query: the last question for it that was answered.
    """

    asked: int
    publisher: str
    adoptable_at: datetime
    published_at: datetime | None = None
    first_at: datetime | None = None
    last_query: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A request, how it goes, and how it ended.

    :param seq: the order of acceptance.
    :param event, graph: None of a refusal.
    :param place: None of what was refused or came late: it never runs.
    :param running: claimed, and neither released nor ended; its owner may be gone.
    :param waiting_since: accepted, or given back.
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
    not_before: datetime | None = None
    started_at: datetime | None = None
    attempts: int = 0
    takeovers: int = 0
    worker_id: str | None = None
    steps: Mapping[str, tuple[int, Step]] = field(default_factory=dict)  # by id; the attempt that wrote it
    errors: tuple[tuple[Failure, int, datetime], ...] = ()
    usage: Mapping[str, ModelUsage] = field(default_factory=dict)
    end: End | None = None
    publication: Publication | None = None

    @property
    def status(self) -> RunStatus:
        """As the port names it."""
        if self.end is not None:
            return STATUS[self.end.result.status]
        return RunStatus.RUNNING if self.running else RunStatus.PENDING

    @property
    def attempt(self) -> Seen | None:
        """Whose request it is; None of a plain one and of a refusal."""
        return seen_of(self.event) if self.event else None

    @property
    def task(self) -> str | None:
        """The task that asks."""
        return self.event.attempt.task if self.event and self.event.attempt else None

    @property
    def deadline(self) -> datetime | None:
        """When it is over."""
        return self.event.deadline if self.event else None

    @property
    def answers(self) -> bool:
        """It answers questions."""
        return self.event is not None and bool(self.event.answers)


def seen_of(event: WorkflowEvent) -> Seen | None:
    """What is compared of an event's attempt."""
    a = event.attempt
    return Seen(a.id, a.try_number, a.max_tries, a.run_start, a.replay) if a else None


@dataclass(frozen=True, slots=True)
class LineageRecord:
    """A lineage: its generation, what that works on, its newest request, and the nodes its graph first had."""

    generation: int
    work: Work
    newest: UUID
    nodes: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """Somebody owns a thread, or did until the token was raised or the time ran out."""

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
        """Whoever owns it under this token; None if such a lease is void."""
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
    """What a run asked when it ended.

    :param retired: asked again since, or left behind by a fresh start.
    """

    id: str
    asked_by: UUID
    place: Place
    asked_at: datetime
    given: Given | None = None
    retired: bool = False

    @property
    def is_pending(self) -> bool:
        """It can be answered."""
        return self.given is None and not self.retired


@dataclass(slots=True)
class State:
    """The whole database."""

    runs: dict[UUID, Run] = field(default_factory=dict)
    tasks: dict[str, Seen] = field(default_factory=dict)  # the newest attempt of each
    tasks_since: dict[str, datetime] = field(default_factory=dict)  # when it became known
    lineages: dict[str, LineageRecord] = field(default_factory=dict)
    threads: dict[str, Thread] = field(default_factory=dict)
    questions: list[Question] = field(default_factory=list)
    tombstones: dict[UUID, datetime] = field(default_factory=dict)  # when each may go
    cancels: dict[UUID, tuple[Cancel, datetime]] = field(default_factory=dict)  # before their requests; the same
    workers: dict[str, tuple[WorkerInfo, datetime]] = field(default_factory=dict)
    accepted: int = 0

    def copy(self) -> State:
        """Another that can change without this one."""
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
            self.accepted,
        )


@dataclass(frozen=True, slots=True)
class Transaction:
    """A draft of the state, and who writes it when.

    :param publisher: the store that writes.
    :param max_bytes: limit of an encoded result.
    """

    state: State
    now: datetime
    publisher: str
    max_bytes: int
    lease: timedelta

    def put(self, run: Run, **changes: Any) -> Run:
        """Keep a run, changed."""
        kept = self.state.runs[run.correlation_id] = replace(run, **changes)
        return kept

    def unfinished(self) -> Iterator[Run]:
        """The runs that have not ended, oldest first."""
        waiting = [run for run in self.state.runs.values() if run.end is None]
        return iter(sorted(waiting, key=lambda run: run.seq))

    def held_by(self, run: Run) -> str | None:
        """The thread that a run holds, by right or not."""
        for name, thread in self.state.threads.items():
            if thread.hold is not None and thread.hold.run == run.correlation_id:
                return name
        return None
