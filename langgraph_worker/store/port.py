"""What the worker asks of its run store. Every backend passes the same contract suite (``tests/contract``).

The store is the memory of a fleet: a request is *accepted* into it before its offset is committed, is *claimed* under a
lease, and ends with a result that is stored in the same transaction as its terminal status, and published from there
until the broker has acknowledged it. Every method is one transaction: when it returns, what it says is durable.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from pydantic import JsonValue

from workflow_events.models import Attempt, WorkflowEvent
from workflow_events.results import WorkflowResultEvent


class RunStatus(StrEnum):
    """PENDING → RUNNING → one of the terminal four. A released or taken-over run is PENDING or RUNNING again."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"  # failure, error, timeout
    CANCELLED = "CANCELLED"
    INTERRUPTED = "INTERRUPTED"


class Decision(StrEnum):
    """What an accepted request is to what the store has seen."""

    FRESH = "fresh"
    """A first request, a clear, a re-created DAG run, or a retry that must start afresh."""
    RESUMED = "resumed"
    """A retry (or a resuming clear) that continues its lineage's logical run."""
    ANSWERED = "answered"
    """A retry of what has succeeded, or waits for a person: answered from the stored result, runs nothing."""
    ANSWER = "answer"
    """Answers pending questions of an interrupted logical run, or repeats such an answer; goes on with it."""
    LATE = "late"
    """An attempt older than one already seen: answered ``cancelled``, error_type ``superseded``; runs nothing."""
    DUPLICATE = "duplicate"
    """Delivered before. If it has ended, its stored bytes are published again."""
    CANCELLED = "cancelled"
    """A cancel came before it: answered ``cancelled``, runs nothing."""
    REFUSED = "refused"
    """Cannot run: stored with its ``error`` result, so that its waiter does not hang and a redelivery answers alike."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where in Kafka a request came from."""

    cluster: str
    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Request:
    """A valid request.

    :param graph: the name it runs, resolved (the event may name none). Need not be known to this worker yet.
    :param reply_topic: where its result goes.
    """

    event: WorkflowEvent
    graph: str
    reply_topic: str
    origin: Origin


@dataclass(frozen=True, slots=True)
class Refusal:
    """A record that cannot run but names a correlation id, with the ready answer to its waiter."""

    result: WorkflowResultEvent
    reply_topic: str
    origin: Origin


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of one request.

    :param detail: for the log: why it is what it is; may be empty.
    """

    correlation_id: UUID
    decision: Decision
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write to one thread. Void once the store holds a higher token, or the thread was let go.

    When its time has run out, the thread may be taken, and only then the lease is void: until somebody takes it,
    nobody else writes.
    """

    thread_id: str
    token: int


@dataclass(frozen=True, slots=True)
class Claim:
    """A run that this worker now owns.

    :param lineage: of the logical run: an answer's is that of whoever was asked.
    :param logical_run: LangGraph's ``metadata.run_id``: the same over retries and takeovers.
    :param resumes: an earlier request of the same logical run, or an earlier start of this one, may have left
        checkpoints to continue from.
    :param is_new: nothing can have been written to its thread: it is the logical run's own, and this its first start.
    :param attempts: how often this request was started, this time included.
    :param nodes: the graph's node names when the logical run first started, None if it never did.
    :param accepted_at: when the request was accepted, UTC.
    :param worker_id: whoever claimed it.
    :param takeovers: how often its owner vanished since the last new checkpoint.
    :param answers: by interrupt id: what the request answers and no checkpoint holds yet.
    :param answered: ids of the thread's questions whose answers a checkpoint holds. LangGraph may still list them.
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

    @property
    def correlation_id(self) -> UUID:
        """The request's id."""
        return self.event.event_id


class StepStatus(StrEnum):
    """How one node execution stands."""

    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    INTERRUPTED = "INTERRUPTED"


@dataclass(frozen=True, slots=True)
class Step:
    """One execution of one node.

    :param step_id: LangGraph's task id: identifies the execution; a second write of the same id replaces the first.
    :param namespace: the path of subgraphs, empty at the top.
    :param agent: the agent's name where LangChain gives one.
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
    """The full context of an error, for ``workflow_errors``; the result carries only a line of it."""

    error_type: str
    message: str
    traceback: str
    node: str | None = None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A request that was accepted, could not be run, and is worth a person's look."""

    event: WorkflowEvent
    origin: Origin
    error_type: str
    reason: str


@dataclass(frozen=True, slots=True)
class Outbound:
    """A stored result that the broker has not acknowledged yet: the same bytes every time.

    :param dead_letter: to be written to the dead-letter topic before the result counts as published.
    """

    correlation_id: UUID
    topic: str
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]
    dead_letter: DeadLetter | None = None


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """A worker as it announces itself.

    :param graphs: what it can run: the description by name.
    """

    worker_id: str
    version: str
    events_topic: str
    consumer_group: str
    graphs: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Backlog:
    """What is unfinished of one graph: waits, or runs.

    :param bytes: of the events, as they are stored.
    """

    requests: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Pruned:
    """What one call of :meth:`RunStore.prune` removed."""

    runs: int
    threads: int


@dataclass(frozen=True, slots=True)
class Cancel:
    """Somebody wants a request to end, and its waiter to be told so.

    :param reason: for the person who reads the result; may be empty.
    """

    correlation_id: UUID
    reason: str = ""
    requested_by: str | None = None


class Cancelled(StrEnum):
    """What became of a cancel."""

    ENDED = "ended"
    """The request waited or ran, and has ended ``cancelled``."""
    WITHDRAWN = "withdrawn"
    """It had ended with a question, which is not asked any more."""
    NOTED = "noted"
    """It has not come yet, and will be answered when it does."""
    TOO_LATE = "too late"
    """It had ended: nothing changed."""


class RunStore(Protocol):
    """The port. Times are UTC; leases are judged by the store's own clock.

    Every method may raise :exc:`~langgraph_worker.errors.StoreError`: then nothing it promises is done, and if the
    error is ``retriable``, the same call may be made again.
    """

    async def open(self) -> None:
        """Bring the schema up to date and take the store for use.

        :raises StoreLockedError: another process owns it (SQLite).
        :raises StoreError: it cannot be reached, or its schema is newer than this worker.
        """

    async def close(self) -> None:
        """Let go of connections and of the lock. Leases stay until they run out or :meth:`release`; where a lock proves
        that the process that held them is gone (SQLite), they are void at the next :meth:`open`.
        """

    async def accept(self, batch: Sequence[Request | Refusal]) -> list[Accepted]:
        """Decide and store a batch, in order; afterwards its offsets may be committed.

        Idempotent: a correlation id that is known changes nothing, but that a stored result is published again. All or
        nothing: an exception stores nothing of the batch. A newer attempt ends every older unfinished run of its task
        with ``cancelled`` / ``superseded`` and raises the token of that run's thread.
        """

    async def claim(self, worker_id: str, limit: int, graphs: Collection[str]) -> list[Claim]:
        """Take up to ``limit`` runs of the named graphs whose thread is free, one per thread: oldest first, and of
        several workflows that wait each in turn.

        Free means: no valid lease. PENDING runs start; RUNNING ones whose lease ran out are taken over. A run past its
        deadline is never claimed (:meth:`expire` ends it). A run whose owner vanished for the fourth time without a new
        checkpoint is not claimed, but ended: ``failure`` / ``worker_lost``. A release does not count.

        While a thread has a pending question, only its own lineage and answers get it, and answers go first. An answer
        whose question is not pending any more ends as :meth:`accept` would have ended it.
        """

    async def cancel(self, cancels: Sequence[Cancel], keep: timedelta) -> dict[UUID, Cancelled]:
        """End these requests, whatever they are doing; afterwards nobody starts or finishes one of them.

        Of a request that runs, the token of its thread is raised; its owner learns of it at its next write or renewal.
        One that has not come yet is remembered for ``keep``. Repeats change nothing. Serialised with :meth:`accept`:
        none of two that run at the same moment misses the other.
        """

    async def supersede(self, attempts: Sequence[Attempt]) -> int:
        """Newer attempts of tasks exist, whose requests are still to come: end every older unfinished run of the tasks,
        as accepting them would have, and let older attempts that come from now on be LATE. Returns how many ended.
        """

    async def publish_again(self, query_id: UUID, correlation_ids: Collection[UUID]) -> int:
        """Publish the stored results of these requests once more, if this query has not caused that already.

        :returns: how many will be. One that has not ended is published when it does; one that was pruned, never.
        """

    def renew(self, worker_id: str, leases: Collection[Lease]) -> set[Lease]:
        """Prolong the leases; return those that are lost (ended from outside, or taken over): stop their runs at once.

        Blocks, and may be called from any thread: leases are kept however busy the event loop is. A lease that has run
        out is prolonged too while nobody has taken the thread: its owner stood still.
        """

    async def remember_nodes(self, claim: Claim, nodes: Collection[str]) -> None:
        """Keep the graph's node names with the claim's logical run, at its first start."""

    async def record(self, claim: Claim, steps: Sequence[Step]) -> None:
        """Write node executions, inserting or replacing by ``step_id``. A void lease writes nothing."""

    async def finish(self, claim: Claim, result: WorkflowResultEvent, failure: Failure | None = None) -> bool:
        """End the run: terminal status, encoded result, error context and the lease's end, in one transaction.

        :returns: False if the lease is void or the run has ended already: nothing of the run changed (rule 1), but its
            thread is let go.
        """

    async def release(self, claim: Claim, delay: float = 0.0) -> None:
        """Give an unfinished run back: PENDING, claimable by anyone, at once or after ``delay`` seconds.

        Always safe. With a void lease it only lets the thread go, so that its next run need not wait for the lease's
        end: an owner that stops a lost run calls this when nothing of it writes any more.
        """

    async def expire(self, known_graphs: Collection[str], graph_grace: float) -> int:
        """End what must not wait longer; return how many.

        That is of runs that are PENDING, or RUNNING without a valid lease. Past the deadline: ``timeout``. Waiting for
        longer than ``graph_grace`` seconds with a graph that is not known: ``error`` / ``unknown_graph``, naming the
        known ones. Known are ``known_graphs`` and what any worker has announced in the last day: one that is away for
        a deployment, or for a night, comes back.
        """

    async def unpublished(self, limit: int, skip: Collection[UUID] = frozenset()) -> list[Outbound]:
        """Results to publish, oldest first: what this client has stored, or was asked for again; and what others have
        not published for ten seconds. None only if there are none: large ones come fewer at a time than ``limit``.

        :param skip: what is not wanted now.
        """

    async def published(self, correlation_ids: Collection[UUID]) -> None:
        """Note that the broker has acknowledged these results."""

    async def announce(self, worker: WorkerInfo) -> None:
        """Note that a worker lives, and what it can run. Repeated as a sign of life; forgotten after a day without."""

    async def workers(self, within: float) -> list[WorkerInfo]:
        """The workers that announced themselves in the last ``within`` seconds, by id."""

    async def prune(self, older_than: timedelta, tombstones: timedelta, limit: int) -> Pruned:
        """Remove what ended longer ago than ``older_than``, oldest first, at most ``limit`` runs with all of theirs.

        Only what is published and past its deadline, of lineages with no run that has to stay: the newest request of a
        lineage goes last. What has a pending question stays. A thread that is left without runs goes with its
        checkpoints. Each removed run leaves a tombstone for ``tombstones``: until then a repeat of its request is a
        DUPLICATE that runs nothing, and is not answered. Tombstones whose time is over go too.
        """

    async def backlog(self) -> Mapping[str, Backlog]:
        """What is unfinished, by graph, over all workers."""

    async def counts(self) -> Mapping[RunStatus, int]:
        """How many runs are in each status."""
