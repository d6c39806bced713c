"""The types that the parts of a worker, and the run store, exchange: requests, claims, leases, steps, results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from pydantic import JsonValue

from langgraph_worker.domain.retry_policy import ErrorClass, Retried
from langgraph_worker.domain.spending import Spending
from workflow_events.models import WorkflowEvent
from workflow_events.results import WorkflowResultEvent
from workflow_events.unknown_fields import UnknownField

NODE_SEPARATOR = "|"
"""Between the names on the way to a node, as in LangGraph's namespaces. LangGraph refuses it in a name."""


class RunStatus(StrEnum):
    """PENDING → RUNNING → one of the terminal four. A released or taken-over run is PENDING or RUNNING again."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"  # failure, error, timeout
    CANCELLED = "CANCELLED"
    INTERRUPTED = "INTERRUPTED"


class Decision(StrEnum):
    """The class of an accepted request, compared with what the store has seen."""

    FRESH = "fresh"
    """A first request, a clear, a re-created DAG run, or a retry that must start afresh."""
    RESUMED = "resumed"
    """A retry (or a resuming clear) that continues its lineage's logical run."""
    ANSWERED = "answered"
    """A retry of work that has succeeded or waits for a person: answered from the stored result, runs nothing."""
    ANSWER = "answer"
    """Answers pending questions of an interrupted logical run, or repeats such an answer; continues that run."""
    LATE = "late"
    """Older than an attempt that the store knows: answered ``cancelled``, error_type ``superseded``; runs nothing."""
    DUPLICATE = "duplicate"
    """Delivered before. If it has ended, its stored bytes are published again."""
    CANCELLED = "cancelled"
    """A cancel came before it: answered ``cancelled``, runs nothing."""
    REFUSED = "refused"
    """Cannot run: stored with its ``error`` result, so that its waiter gets an answer, and a redelivery the same."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The place in Kafka that a request came from."""

    cluster: str
    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Request:
    """A valid request.

    :param graph: the name of the graph that it runs (the event may name none). This worker need not know it yet.
    :param reply_topic: the topic for its result.
    :param unknown: fields of the message that have no effect.
    :param traceparent: the trace context of what asks, in W3C's form; None: its message had none that is valid.
    """

    event: WorkflowEvent
    graph: str
    reply_topic: str
    origin: Origin
    unknown: tuple[UnknownField, ...] = ()
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A record that cannot run but has a correlation id, with the answer to its waiter."""

    result: WorkflowResultEvent
    reply_topic: str
    origin: Origin


@dataclass(frozen=True, slots=True)
class Accepted:
    """The decision on one request.

    :param detail: the reason, for the log; may be empty.
    :param graph: of its run; an answer names none itself. Empty: not known.
    """

    correlation_id: UUID
    decision: Decision
    detail: str = ""
    graph: str = ""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write to one thread. It is void once the store holds a higher token, or the thread was released.

    When its time has run out, another worker may take the thread, and only that voids the lease: until then no other
    worker writes.
    """

    thread_id: str
    token: int


@dataclass(frozen=True, slots=True)
class Claim:
    """A run that this worker now owns.

    :param lineage: the logical run's; for an answer, that of the run which asked.
    :param logical_run: the same over retries and takeovers: ``run_id`` in the metadata of its checkpoints, and
        ``logical_run`` in the metadata of a node's config.
    :param resumes: an earlier request of the same logical run, or an earlier start of this one, may have left
        checkpoints to continue from.
    :param is_new: nothing was written to its thread: the thread is the logical run's own, and this its first start.
    :param attempts: how often this request was started, this time included.
    :param nodes: the graph's node names when the logical run first started; None if it never did.
    :param accepted_at: when the request was accepted, UTC.
    :param worker_id: the worker that claimed it.
    :param takeovers: how often its owner vanished since the last new checkpoint.
    :param answers: the request's answers that no checkpoint holds yet, by interrupt id.
    :param deployment: the one whose run it is; an answer's is that of the run which asked, a plain request's is ``""``.
    :param thread_name: the author's name of the thread, if it has one.
    :param release: which release of the project this worker has.
    :param begun_by: the release that began the logical run; None: it is only beginning, or it is not known.
    :param spent: what its logical run has spent so far; None if nothing is counted.
    :param retried: what the worker has repeated of it, because its graph's exceptions allow that.
    :param traceparent: the trace context of the request; None: it came with none.
    :param first_traceparent: that of the request which began the logical run.
    :param start_traceparent: that of this start; None: its worker traces nothing.
    :param answered: ids of its logical run's questions whose answers a checkpoint holds; LangGraph may still list them.
    """

    event: WorkflowEvent
    graph: str
    thread_id: str
    logical_run: UUID
    lineage: str
    generation: int
    resumes: bool
    attempts: int
    nodes: frozenset[str] | None
    lease: Lease
    accepted_at: datetime
    worker_id: str
    takeovers: int = 0
    answers: Mapping[str, JsonValue] = field(default_factory=dict)
    answered: frozenset[str] = frozenset()
    is_new: bool = False
    deployment: str = ""
    thread_name: str | None = None
    release: str | None = None
    begun_by: str | None = None
    spent: Spending | None = None
    retried: Retried = field(default_factory=Retried)
    traceparent: str | None = None
    first_traceparent: str | None = None
    start_traceparent: str | None = None

    @property
    def correlation_id(self) -> UUID:
        """The request's id."""
        return self.event.event_id

    @property
    def reply_traceparent(self) -> str | None:
        """The trace context of what the worker sends about it: of this start, else of what asked."""
        return self.start_traceparent or self.traceparent


class StepStatus(StrEnum):
    """The status of one node execution."""

    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    INTERRUPTED = "INTERRUPTED"


@dataclass(frozen=True, slots=True)
class Step:
    """One execution of one node.

    :param step_id: LangGraph's task id. A second write with the same id replaces the first.
    :param namespace: the path of subgraphs, empty in the graph itself.
    :param agent: the agent's name, if LangChain gives one.
    :param input, output: JSON, already capped in size.
    """

    step_id: str
    namespace: str
    node: str
    agent: str | None
    status: StepStatus
    started_at: datetime
    finished_at: datetime | None = None
    input: JsonValue = None
    output: JsonValue = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """The full context of an error, for ``workflow_errors``; the result carries only a line of it.

    :param error_class: what the exception says about a next try; None: the worker names the error itself.
    :param model: whose call raised it; None: none did, or it is not known.
    :param wait_seconds: after which the worker repeats the run; None: the error has ended it.
    """

    error_type: str
    message: str
    traceback: str
    node: str | None = None
    error_class: ErrorClass | None = None
    model: str | None = None
    wait_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A request that was accepted and could not be run, kept for a person.

    :param attempts: how often it was started.
    """

    event: WorkflowEvent
    origin: Origin
    error_type: str
    reason: str
    attempts: int


@dataclass(frozen=True, slots=True)
class Outbound:
    """A stored result that the broker has not acknowledged yet: the same bytes every time.

    :param dead_letter: to be written to the dead-letter topic before the result counts as published.
    :param is_repeat: it was asked for again: its request was repeated, or a waiter has sent a query.
    """

    correlation_id: UUID
    topic: str
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]
    dead_letter: DeadLetter | None = None
    is_repeat: bool = field(default=False, compare=False)  # no part of what is sent


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """A worker as it announces itself.

    :param graphs: the graphs that it can run: their descriptions by name.
    """

    worker_id: str
    version: str
    events_topic: str
    consumer_group: str
    graphs: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Backlog:
    """The unfinished requests of one graph by one deployment, whether they wait or run.

    :param requests: without the answers to questions.
    :param bytes: the size of their events, as they are stored.
    :param answers: how many answers to questions.
    :param answer_bytes: the size of these.
    """

    requests: int
    bytes: int
    answers: int
    answer_bytes: int


@dataclass(frozen=True, slots=True)
class FleetFigures:
    """What the store holds that is under way, over all workers.

    :param waiting: requests that wait to start or to go on, by graph.
    :param running: requests that a worker runs, or ran until it vanished, by graph.
    :param unpublished: results that the broker has not acknowledged.
    :param paused: scopes that are paused: the fleet, graphs, workflows.
    """

    waiting: Mapping[str, int] = field(default_factory=dict)
    running: Mapping[str, int] = field(default_factory=dict)
    unpublished: int = 0
    paused: int = 0


@dataclass(frozen=True, slots=True)
class Pruned:
    """What one call of :meth:`RunStore.prune` removed."""

    runs: int
    threads: int


@dataclass(frozen=True, slots=True)
class Cancel:
    """The wish to end a request, and to answer its waiter ``cancelled``.

    :param reason: for the person who reads the result; may be empty.
    """

    correlation_id: UUID
    reason: str = ""
    requested_by: str | None = None


MOST_EARLY_CANCELS = 100_000
"""How many cancels may wait for their requests. The ones that came first, which waited longest in vain, go then."""


class Cancelled(StrEnum):
    """The outcome of a cancel."""

    ENDED = "ended"
    """The request waited or ran, and has ended ``cancelled``."""
    WITHDRAWN = "withdrawn"
    """The request had ended with a question, which is no longer asked."""
    NOTED = "noted"
    """The request has not come yet. It is answered ``cancelled`` when it does."""
    TOO_LATE = "too late"
    """The request had ended: nothing changed."""
    FORGOTTEN = "forgotten"
    """It waited for its request, and too many newer cancels wait too. If the request still comes, it runs."""
