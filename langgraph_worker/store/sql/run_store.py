"""The run store on SQL (PostgreSQL or SQLite): each method of the port is one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID, uuid4

from sqlalchemy import Connection

from langgraph_worker.domain.accounts import Account, StoredCounts
from langgraph_worker.domain.known_graphs import KnownGraphs
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
from langgraph_worker.errors import RowError
from langgraph_worker.store.engines.database import DatabaseThread, DatabaseThreads
from langgraph_worker.store.engines.make_database import make_database
from langgraph_worker.store.engines.sqlite import SqliteDatabase
from langgraph_worker.store.port import RunStore
from langgraph_worker.store.sql import (
    accept,
    backlog,
    claims,
    control_writes,
    erasure,
    expiry,
    first_topics,
    model_turns,
    pauses,
    retention,
    run_writes,
    shared_spending,
    trimming,
    unpublished,
    workers,
)
from langgraph_worker.store.sql import leases as leasing
from langgraph_worker.store.sql.audit_trail import SqlAuditTrail
from langgraph_worker.store.sql.claims import Claimant
from langgraph_worker.store.sql.endings import EndingContext
from langgraph_worker.store.sql.group_writer import GroupWriter
from langgraph_worker.store.sql.memory_store import MemoryStore
from langgraph_worker.store.sql.request_keys import SqlRequestKeys
from langgraph_worker.store.sql.retention import Retention
from langgraph_worker.store.sql.row_by_row import Among, RowWork, SetAside
from workflow_events.codec import DEFAULT_MAX_BYTES
from workflow_events.models import Attempt
from workflow_events.results import WorkflowResultEvent

_T = TypeVar("_T")


class SqlRunStore(RunStore):
    """The port on one database, for one event loop. Closing twice is harmless.

    What running runs write is committed in groups: the writes that come while one transaction is written go into the
    next one.

    :param url: see :func:`langgraph_worker.settings.store_url.check_url`.
    :param lease_seconds: how long a claim holds without renewal.
    :param max_result_bytes: limit of an encoded result: key, value and headers.
    :param keep_checkpoints: how many checkpoints a thread keeps for looking back, see
        :func:`~langgraph_worker.store.sql.trimming.trim`. Not 0 only if the savers' tables are there.
    :param keep_of_graphs: lower numbers for single graphs; like those of events they hold when a run ends.
    :param release: which release of the project the worker has; its claims and their results name it.
    :param max_running: of graphs with a limit, how many of their runs this client's claims let run at once, over all
        workers.
    :param now: the store's clock; None is the database's own where it has one, else this host's.
    :raises SettingsError: the URL names no database that a store can be in.
    """

    def __init__(
        self,
        url: str,
        *,
        lease_seconds: float = 30.0,
        max_result_bytes: int = DEFAULT_MAX_BYTES,
        keep_checkpoints: int = 0,
        keep_of_graphs: Mapping[str, int] | None = None,
        release: str | None = None,
        max_running: Mapping[str, int] | None = None,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        self.database = make_database(url, lease_seconds=lease_seconds, now=now)
        self._lease = timedelta(seconds=lease_seconds)
        self._max_bytes = max_result_bytes
        self._keep_checkpoints = keep_checkpoints
        self._keep_of_graphs = dict(keep_of_graphs or {})
        self._release = release
        self._max_running = dict(max_running or {})
        self._publisher = uuid4().hex
        self._outbox = unpublished.ResultsToPublish()
        self._threads = DatabaseThreads(self.database.place)
        self._group = GroupWriter(self._commit)
        self.audit = SqlAuditTrail(self._write, self.read)
        self.request_keys = SqlRequestKeys(self._write, self.read)
        self.memory = MemoryStore(self._group.write, self._write, self._read_at)
        self._unclaimable = SetAside[str]()
        self._unexpirable, self._unreadable, self._unprunable = SetAside[UUID](), SetAside[UUID](), SetAside[UUID]()

    async def open(self, alone: bool = True) -> None:
        """See the port.

        :param alone: False for reading and pruning beside a worker process, which may have the SQLite store open.
        """
        await asyncio.to_thread(self._open, alone)

    def _open(self, alone: bool) -> None:
        self.database.open(alone)
        if alone and isinstance(self.database, SqliteDatabase):
            try:
                # The lock proves that the process that had the store before is gone.
                self.database.write(self._inherit)
            except BaseException:
                self.database.close()
                raise

    def _inherit(self, connection: Connection, now: datetime) -> None:
        leasing.void_all(connection, now)
        unpublished.adopt_all(connection, self._publisher)

    async def close(self) -> None:
        self._threads.close()
        await asyncio.to_thread(self.database.close)

    async def accept(self, batch: Sequence[Request | Refusal]) -> list[Accepted]:
        return await self._write(lambda connection, now: accept.accept(connection, batch, self._context(now)))

    async def cancel(self, cancels: Sequence[Cancel], keep: timedelta) -> dict[UUID, Cancelled]:
        return await self._write(
            lambda connection, now: control_writes.cancel(connection, cancels, now + keep, self._context(now))
        )

    async def supersede(self, attempts: Sequence[Attempt]) -> int:
        return await self._write(
            lambda connection, now: control_writes.supersede(connection, attempts, self._context(now))
        )

    async def publish_again(self, query_id: UUID, correlation_ids: Collection[UUID]) -> int:
        return await self._write(
            lambda connection, now: control_writes.publish_again(
                connection, query_id, correlation_ids, self._context(now)
            )
        )

    async def pause(self, changes: Collection[PauseChange]) -> list[PauseChange]:
        return await self._write(lambda connection, now: pauses.pause(connection, changes))

    async def pauses(self) -> list[PauseChange]:
        return await self.read(pauses.pauses_on)

    async def claim(self, worker_id: str, limit: int, graphs: Collection[str]) -> list[Claim]:
        def claimant(now: datetime) -> Claimant:
            return Claimant(worker_id, graphs, now + self._lease, self._release, self._max_running)

        work = RowWork(
            "claim thread",
            self._write,
            lambda tx, now, among: claims.claim(tx, claimant(now), limit, self._context(now), among),
            lambda tx, now, among: claims.lock_startable(tx, claimant(now), limit, now, among),
            lambda tx, now, name: claims.end_unstartable(tx, claimant(now), name, self._context(now)),
        )
        return [claim for some in await work.do(self._unclaimable) for claim in some]

    def renew(self, worker_id: str, leases: Collection[Lease]) -> set[Lease]:
        try:
            return self.database.write(
                lambda connection, now: leasing.renew(connection, worker_id, leases, until=now + self._lease)
            )
        except RowError:
            if len(leases) == 1:
                return set(leases)
            return {lost for lease in leases for lost in self.renew(worker_id, [lease])}

    def spare(self, worker_id: str, leases: Collection[Lease]) -> None:
        try:
            self.database.write(lambda connection, now: leasing.spare(connection, worker_id, leases, now))
        except RowError:
            if len(leases) > 1:
                for lease in leases:
                    self.spare(worker_id, [lease])

    async def remember_nodes(self, claim: Claim, nodes: Collection[str]) -> None:
        await self._group.write(run_writes.RememberNodes(claim, nodes))

    async def record(self, claim: Claim, steps: Sequence[Step], spent: Spending | None = None) -> None:
        if steps or spent is not None:
            await self._group.write(run_writes.RecordSteps(claim, steps, spent))

    def stored_counts(self, claim: Claim, accounts: Collection[Account]) -> Future[StoredCounts]:
        def work(connection: Connection) -> StoredCounts:
            return shared_spending.stored_counts(connection, claim, accounts, self.database.time(connection))

        return self._threads.submit(DatabaseThread.COUNTS, lambda: self.database.read(work))

    async def finish(
        self, claim: Claim, result: WorkflowResultEvent, failure: Failure | None = None, *, keep_thread: bool = False
    ) -> bool:
        return await self._group.write(run_writes.Finish(claim, result, failure, keep_thread))

    def take_turns(self, asked: TurnRequest) -> Future[list[GivenTurn]]:
        return self._counted(lambda connection, now: model_turns.take(connection, asked, now))

    def cool(self, model: str, seconds: float) -> Future[None]:
        return self._counted(lambda connection, now: model_turns.cool(connection, model, seconds, now))

    def cooling(self) -> Future[Mapping[str, float]]:
        def work(connection: Connection) -> Mapping[str, float]:
            return model_turns.cooling(connection, self.database.time(connection))

        return self._threads.submit(DatabaseThread.COUNTS, lambda: self.database.read(work))

    async def release(
        self, claim: Claim, delay: float = 0.0, *, keep_thread: bool = False, retried: Retried | None = None
    ) -> bool:
        return await self._group.write(run_writes.Release(claim, timedelta(seconds=delay), keep_thread, retried))

    async def back_off(self, claim: Claim, back_off: BackOff, failure: Failure, *, keep_thread: bool = False) -> bool:
        delay = timedelta(seconds=back_off.wait_seconds)
        return await self._group.write(run_writes.BackOff(claim, back_off.retried, failure, delay, keep_thread))

    async def start_over(self, claim: Claim) -> bool:
        return await self._group.write(run_writes.StartOver(claim, timedelta(0)))

    async def is_taken_over(self, claim: Claim) -> bool:
        return await self.read(lambda connection: claims.is_taken_over(connection, claim))

    async def expire(self, known_graphs: Collection[str], graph_grace: float) -> int:
        def known(connection: Connection, now: datetime) -> KnownGraphs:
            return workers.known_graphs(connection, now, known_graphs)

        work = RowWork(
            "end the waiting run",
            self._write,
            lambda tx, now, among: expiry.expire(tx, known(tx, now), graph_grace, self._context(now), among),
            lambda tx, now, among: expiry.find_overdue(tx, known(tx, now).names, graph_grace, now, among),
        )
        return sum(await work.do(self._unexpirable))

    async def announce(self, worker: WorkerInfo) -> None:
        await self._write(lambda connection, now: workers.announce(connection, worker, now))

    async def first_topic_id(self, cluster: str, topic: str, topic_id: str) -> str:
        return await self._write(lambda tx, now: first_topics.first_topic_id(tx, cluster, topic, topic_id))

    async def workers(self, within: float) -> list[WorkerInfo]:
        def work(connection: Connection) -> list[WorkerInfo]:
            return workers.seen_within(connection, timedelta(seconds=within), self.database.time(connection))

        return await self.read(work)

    async def put_checkpoint(self, write: run_writes.PutCheckpoint) -> bool:
        """Write a checkpoint; durable when this returns.

        :returns: False if the claim's lease is void: nothing is written.
        :raises RowError: the database cannot keep a value of it.
        """
        return await self._group.write(write)

    async def unpublished(self, limit: int, skip: Collection[UUID] = frozenset()) -> list[Outbound]:
        def find(connection: Connection, now: datetime, among: Among[UUID]) -> list[UUID]:
            if among.only is not None:
                return [among.only]
            return self._outbox.find(connection, limit, {*skip, *among.but}, self._publisher, now)

        work = RowWork(
            "read the result of",
            self._read_at,
            lambda tx, now, among: self._outbox.hand_out(tx, find(tx, now, among)),
            find,
        )
        return [outbound for some in await work.do(self._unreadable) for outbound in some]

    async def published(self, correlation_ids: Collection[UUID]) -> None:
        await self._write(lambda connection, now: self._outbox.published(connection, correlation_ids, now))
        self._outbox.forget(correlation_ids)

    async def prune(self, older_than: timedelta, tombstones: timedelta, limit: int) -> Pruned:
        kept = Retention(older_than, tombstones)
        work = RowWork(
            "remove the run",
            self._write,
            lambda tx, now, among: retention.prune(tx, kept, limit, now, among),
            lambda tx, now, among: retention.find_prunable(tx, kept, limit, now, among),
        )
        done = await work.do(self._unprunable)
        return Pruned(sum(one.runs for one in done), sum(one.threads for one in done))

    async def erase(self, chosen: Collection[UUID], tombstones: timedelta, *, is_trial: bool = False) -> erasure.Erased:
        """Remove all that is kept of these runs, whatever their age, see :func:`erasure.erase`."""
        return await self._write(
            lambda connection, now: erasure.erase(connection, chosen, tombstones, now, is_trial=is_trial)
        )

    async def trim_checkpoints(self, after: str, limit: int) -> trimming.Trimmed:
        """Remove old checkpoints of threads that no worker holds, see :func:`trimming.trim_unheld`."""
        return await self._write(
            lambda connection, _: trimming.trim_unheld(connection, self._keep_checkpoints, after, limit)
        )

    async def can_start(self, correlation_ids: Collection[UUID], graphs: Collection[str]) -> set[UUID]:
        def work(connection: Connection) -> set[UUID]:
            now = self.database.time(connection)
            asking = Claimant("", graphs, now, max_running=self._max_running)
            return claims.can_start(connection, correlation_ids, asking, now)

        return await self.read(work)

    async def backlog(self) -> Mapping[tuple[str, str], Backlog]:
        return await self.read(backlog.unfinished)

    async def fleet_figures(self) -> FleetFigures:
        return await self.read(backlog.fleet_figures)

    async def counts(self) -> Mapping[RunStatus, int]:
        return await self.read(backlog.counts)

    async def read(self, work: Callable[[Connection], _T]) -> _T:
        """Read the database in one transaction."""
        return await self._threads.run(DatabaseThread.READS, lambda: self.database.read(work))

    async def _read_at(self, work: Callable[[Connection, datetime], _T]) -> _T:
        return await self.read(lambda connection: work(connection, self.database.time(connection)))

    def _context(self, now: datetime) -> EndingContext:
        return EndingContext(self._max_bytes, self._publisher, now, self._keep_checkpoints, self._keep_of_graphs)

    async def _write(self, work: Callable[[Connection, datetime], _T]) -> _T:
        return await self._threads.run(DatabaseThread.REQUESTS, lambda: self.database.write(work))

    def _counted(self, work: Callable[[Connection, datetime], _T]) -> Future[_T]:
        return self._threads.submit(DatabaseThread.COUNTS, lambda: self.database.write(work))

    async def _commit(self, batch: Sequence[run_writes.Write]) -> list[run_writes.Outcome]:
        def work(connection: Connection, now: datetime) -> list[run_writes.Outcome]:
            return run_writes.apply(connection, batch, self.database.execute, self._context(now))

        return await self._threads.run(DatabaseThread.RUNS, lambda: self.database.write(work))
