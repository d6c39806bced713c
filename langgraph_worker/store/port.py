"""What the worker needs from its run store. Every backend passes the same contract suite (``tests/contract/store``).

The store is the memory of a fleet: a request is *accepted* into it before its offset is committed, is *claimed* under a
lease, and ends with a result that is stored in the same transaction as its terminal status, and published from there
until the broker has acknowledged it. Every method is one transaction: when it returns, what it says is durable.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future
from datetime import timedelta
from typing import Protocol
from uuid import UUID

from langgraph_worker.domain.accounts import Account, StoredCounts
from langgraph_worker.domain.model_turns import GivenTurn, TurnRequest
from langgraph_worker.domain.models import (
    Accepted,
    Backlog,
    Cancel,
    Cancelled,
    Claim,
    Failure,
    FleetFigures,
    Lease,
    Outbound,
    Pruned,
    Refusal,
    Request,
    RunStatus,
    Step,
    WorkerInfo,
)
from langgraph_worker.domain.pauses import PauseChange
from langgraph_worker.domain.retry_policy import BackOff, Retried
from langgraph_worker.domain.spending import Spending
from workflow_events.models import Attempt
from workflow_events.results import WorkflowResultEvent


class RunStore(Protocol):
    """The port. Times are UTC; the store's own clock decides about leases.

    Every method may raise :exc:`~langgraph_worker.errors.StoreError`: then it has done nothing, and if the error is
    ``retriable``, the same call may be made again.
    """

    async def open(self) -> None:
        """Bring the schema up to date and take the store for use.

        :raises StoreLockedError: another process owns it (SQLite).
        :raises StoreError: it cannot be reached, or its schema is newer than this worker.
        """

    async def close(self) -> None:
        """Close the connections and release the lock. Leases stay until they run out or :meth:`release`; where a lock
        proves that the process that held them is gone (SQLite), they are void at the next :meth:`open`.
        """

    async def accept(self, batch: Sequence[Request | Refusal]) -> list[Accepted]:
        """Decide and store a batch, in order; afterwards its offsets may be committed.

        Idempotent: a known correlation id changes nothing, but its stored result is published again. All or nothing: an
        exception stores nothing of the batch. A newer attempt ends every older unfinished run of its task
        with ``cancelled`` / ``superseded`` and raises the token of that run's thread.
        """

    async def claim(self, worker_id: str, limit: int, graphs: Collection[str]) -> list[Claim]:
        """Take up to ``limit`` runs of the named graphs whose thread is free, one per thread: those with the earliest
        turns (:mod:`~langgraph_worker.domain.turns`), the deployments that wait in turn, and of each its workflows. On
        a thread the oldest comes first, whatever its turn.

        Of a graph to which this client gives a limit, no more are taken than that many runs at once allow, over all
        workers, also where several claim at the same moment. A run counts until its thread is let go, or its lease
        ends.

        A run that is paused is not claimed; those behind it on its thread wait with it.

        Free means: no valid lease. PENDING runs start; RUNNING ones whose lease ran out are taken over. A run past its
        deadline is never claimed (:meth:`expire` ends it). A run whose owner vanished for the fourth time without a new
        checkpoint is not claimed, but ended: ``failure`` / ``worker_lost``. A release does not count.

        While a thread has a pending question, only runs of its own lineage and answers are claimed, answers first. An
        answer whose question is no longer pending ends as :meth:`accept` would have ended it.
        """

    async def cancel(self, cancels: Sequence[Cancel], keep: timedelta) -> dict[UUID, Cancelled]:
        """End these requests, whatever their status; afterwards no worker can start or finish one of them.

        If a request runs, the token of its thread is raised: its owner learns of it at its next write or renewal. The
        cancel of a request that has not come yet is kept for ``keep``, or for that of a repeat if it is longer.
        Repeats change nothing else. Of more than :data:`~langgraph_worker.domain.models.MOST_EARLY_CANCELS` that are
        kept, those that end first are forgotten; the result has these too, as ``FORGOTTEN``.

        Serialised with :meth:`accept`: when both run at the same moment, one of them sees what the other wrote.
        """

    async def supersede(self, attempts: Sequence[Attempt]) -> int:
        """Newer attempts of tasks exist, whose requests are still to come: end every older unfinished run of the tasks,
        as accepting them would, and from now on decide LATE on older attempts. Returns how many runs ended.
        """

    async def publish_again(self, query_id: UUID, correlation_ids: Collection[UUID]) -> int:
        """Publish the stored results of these requests once more, unless this query has already caused that.

        :returns: how many will be published. A run that has not ended is published when it does; a pruned one, never.
        """

    async def pause(self, changes: Collection[PauseChange]) -> list[PauseChange]:
        """Keep these changes where they are newer than what is kept of their scopes; return those that are.

        When this returns, :meth:`claim` takes no run that a pause holds back, until a newer change ends the pause. What
        runs goes on: its owners learn of the pause from :meth:`pauses`. Neither a pause nor its end is forgotten.
        """

    async def pauses(self) -> list[PauseChange]:
        """What is paused now, by scope and name."""

    def renew(self, worker_id: str, leases: Collection[Lease]) -> set[Lease]:
        """Prolong the leases; return those that are lost (ended from outside, or taken over): stop their runs at once.

        Blocks, and may be called from any thread, so that leases are kept however busy the event loop is. A lease that
        has run out is prolonged too, unless another worker has taken the thread.
        """

    def spare(self, worker_id: str, leases: Collection[Lease]) -> None:
        """Give the runs of these leases back, because the process that holds them ends for another run's fault:
        PENDING, so that this end counts as no takeover of theirs.

        Their leases are void at once, and their threads stay held until the leases end: nodes may be at work until the
        process is gone. A lease that is void changes nothing. Blocks, and may be called from any thread, as
        :meth:`renew`.
        """

    async def remember_nodes(self, claim: Claim, nodes: Collection[str]) -> None:
        """Keep the graph's node names with the claim's logical run, at its first start."""

    async def record(self, claim: Claim, steps: Sequence[Step], spent: Spending | None = None) -> None:
        """Write node executions, inserting or replacing by ``step_id``. A void lease writes nothing.

        :param spent: what the claim's logical run has spent in all, which replaces what is kept of it. The claims of
            its later attempts and answers have it, and so has the generation in which it starts over. What is new of
            it is added to the run's accounts.
        """

    def stored_counts(self, claim: Claim, accounts: Collection[Account]) -> Future[StoredCounts]:
        """What these accounts have spent, and what is stored of the claim's logical run, at one moment.

        What :meth:`record` is given of a run is added to the accounts that it spends for, in the same transaction. May
        be called from any thread, also to wait there.
        """

    def take_turns(self, asked: TurnRequest) -> Future[list[GivenTurn]]:
        """Count what is reported of a model's calls, and give turns for those that wait, in the order in which workers
        ask: those of ``held`` first, then as many as are wanted.

        So many turns as the limit allows lie in a window, whoever has them, and none while the model is cooling. Where
        workers of a fleet have different limits, each keeps to its own over the turns of all. May be called from any
        thread, also to wait there.
        """

    def cool(self, model: str, seconds: float) -> Future[None]:
        """The model's provider takes no calls for so long, at most
        :data:`~langgraph_worker.domain.model_turns.LONGEST_COOLING_SECONDS`. A shorter time than what is left changes
        nothing. May be called from any thread.
        """

    def cooling(self) -> Future[Mapping[str, float]]:
        """The models whose providers take no calls for now, and for how many seconds. May be called from any thread."""

    async def finish(
        self, claim: Claim, result: WorkflowResultEvent, failure: Failure | None = None, *, keep_thread: bool = False
    ) -> bool:
        """End the run: terminal status, encoded result, error context and the lease's end, in one transaction.

        A run that its lineage has left with a fresh start asks nothing: instead of its questions its waiter gets
        ``error`` / ``interrupt_not_pending``. A run that ends so retires what its logical run still asks.

        :param keep_thread: the token is raised, but the thread stays held until :meth:`release`, at most until the
            lease ends: a node of the run is still at work, and no other run may start beside it.
        :returns: False if the lease is void or the run has ended already: nothing of the run changed (rule 1), but its
            thread is freed.
        """

    async def release(
        self, claim: Claim, delay: float = 0.0, *, keep_thread: bool = False, retried: Retried | None = None
    ) -> bool:
        """Give an unfinished run back: PENDING, claimable by any worker, at once or after ``delay`` seconds.

        :param keep_thread: see :meth:`finish`.
        :param retried: what was repeated by then, with the turns that the run keeps; None: as it was.

        :returns: False if the lease is void.

        Always safe. With a void lease it only frees the thread, so that the next run need not wait for the lease's end:
        an owner that stops a lost run calls this when nothing of the run writes any more.
        """

    async def back_off(self, claim: Claim, back_off: BackOff, failure: Failure, *, keep_thread: bool = False) -> bool:
        """Give an unfinished run back that an exception of its graph has ended, and that is to be repeated: PENDING,
        claimable by any worker after the wait. What was repeated by then is kept with the run, and the error beside it.
        With a void lease it only frees the thread.

        What was repeated begins anew with the run's next new checkpoint, its model excepted.

        :param keep_thread: see :meth:`finish`.
        :returns: False if the lease is void.
        """

    async def start_over(self, claim: Claim) -> bool:
        """Give an unfinished run back so that it starts from its input, whatever it has done: another release began it.

        As a clear does: its lineage gets the next generation, with a logical run, node names and a thread of its own,
        and what the left generation asks is retired. A conversation keeps its thread; the run begins a new turn on it.
        Its attempts and takeovers count on. With a void lease it only frees the thread. The request may not be an
        answer, which has no input.

        :returns: False if the lease is void.
        """

    async def is_taken_over(self, claim: Claim) -> bool:
        """Why a claim's lease is void: its run was claimed once more. Else the run has ended, or waits, without its
        owner.
        """

    async def expire(self, known_graphs: Collection[str], graph_grace: float) -> int:
        """End the runs that must not wait longer; return how many.

        It looks at runs that are PENDING, or RUNNING without a valid lease. Past its deadline a run ends ``timeout``. A
        run whose graph is unknown for longer than ``graph_grace`` seconds ends ``error`` / ``unknown_graph``, and the
        text names the known ones. Known are ``known_graphs`` and the graphs that any worker has announced in the last
        day: a worker that is away for a deployment, or for a night, comes back. A pause stops no deadline; the text of
        a run that it held back says so.
        """

    async def unpublished(self, limit: int, skip: Collection[UUID] = frozenset()) -> list[Outbound]:
        """Results to publish, those that are published again behind the others, the oldest first: those that this
        client has stored or was asked for again, and those that other clients have not published for ten seconds. Empty
        only if there are none; of large results, fewer than ``limit`` come at a time.

        :param skip: results that are not wanted now.
        """

    async def published(self, correlation_ids: Collection[UUID]) -> None:
        """Store that the broker has acknowledged these results."""

    async def announce(self, worker: WorkerInfo) -> None:
        """Store that a worker lives, and what it can run. Repeat it as a sign of life: after a day it is forgotten."""

    async def first_topic_id(self, cluster: str, topic: str, topic_id: str) -> str:
        """The id of the topic of this name that the store met first: this one, if it has met none.

        The events of that one have the ids of versions that did not look at it, see
        :func:`workflow_events.identity.record_id`.
        """

    async def workers(self, within: float) -> list[WorkerInfo]:
        """The workers that announced themselves in the last ``within`` seconds, by id."""

    async def prune(self, older_than: timedelta, tombstones: timedelta, limit: int) -> Pruned:
        """Remove up to ``limit`` runs that ended longer ago than ``older_than``, the oldest first, with all their rows.

        A run goes only if it is published, its deadline passed more than an hour ago (the grace of retention), and no
        run of its lineage has to stay; the newest request of a lineage goes last. A lineage with a pending question
        stays. A thread without runs goes with its checkpoints. Each removed run leaves a tombstone for ``tombstones``:
        until then a repeat of its request is a DUPLICATE that runs nothing, and is not answered. Tombstones whose time
        is over go too.
        """

    async def can_start(self, correlation_ids: Collection[UUID], graphs: Collection[str]) -> set[UUID]:
        """Those of these requests that :meth:`claim` could take now, each by itself, if it were called for these
        graphs: none of a graph that is full over all workers.
        """

    async def backlog(self) -> Mapping[tuple[str, str], Backlog]:
        """The unfinished requests by graph and deployment, over all workers. Plain ones are of the deployment ``""``,
        and an answer is of the deployment that asked.
        """

    async def fleet_figures(self) -> FleetFigures:
        """What is under way: read from the indexes of unfinished and unpublished runs, however long the history is."""

    async def counts(self) -> Mapping[RunStatus, int]:
        """How many runs are in each status."""
