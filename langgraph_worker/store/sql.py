"""The run store on SQL, PostgreSQL or SQLite: each method of the port as one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID, uuid4

from sqlalchemy import Connection

from langgraph_worker.store import accept, backlog, claims, control, expiry, fleet, outbox, writes
from langgraph_worker.store import leases as leasing
from langgraph_worker.store import prune as pruning
from langgraph_worker.store.claims import Claimant
from langgraph_worker.store.database import Lane, Lanes
from langgraph_worker.store.endings import Terms
from langgraph_worker.store.group import GroupWriter
from langgraph_worker.store.port import (
    Accepted,
    Backlog,
    Cancel,
    Cancelled,
    Claim,
    Failure,
    Lease,
    Outbound,
    Pruned,
    Refusal,
    Request,
    RunStatus,
    RunStore,
    Step,
    WorkerInfo,
)
from langgraph_worker.store.prune import Retention
from langgraph_worker.store.sqlite import SqliteDatabase
from langgraph_worker.store.url import make_database
from workflow_events.codec import DEFAULT_MAX_BYTES
from workflow_events.models import Attempt
from workflow_events.results import WorkflowResultEvent

_T = TypeVar("_T")


class SqlRunStore(RunStore):
    """The port on one database, for one event loop. Closing twice is harmless.

    What running runs write is committed in groups: everything that waits while one transaction is written is the next.

    :param url: see :func:`langgraph_worker.store.url.check_url`.
    :param lease_seconds: how long a claim holds without renewal.
    :param max_result_bytes: limit of an encoded result: key, value and headers.
    :param now: the store's clock; None is the database's own where it has one, else this host's.
    :raises SettingsError: the URL names no database that a store can be in.
    """

    def __init__(
        self,
        url: str,
        *,
        lease_seconds: float = 30.0,
        max_result_bytes: int = DEFAULT_MAX_BYTES,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        self.database = make_database(url, lease_seconds=lease_seconds, now=now)
        self._lease = timedelta(seconds=lease_seconds)
        self._max_bytes = max_result_bytes
        self._publisher = uuid4().hex
        self._outbox = outbox.Outbox()
        self._lanes = Lanes(self.database.place)
        self._group = GroupWriter(self._commit)

    async def open(self, alone: bool = True) -> None:
        """See the port.

        :param alone: False: to look and to prune, beside a worker process that may have an SQLite store.
        """
        await asyncio.to_thread(self._open, alone)

    def _open(self, alone: bool) -> None:
        self.database.open(alone)
        if alone and isinstance(self.database, SqliteDatabase):
            try:
                # The lock proves that whoever had the store before is dead.
                self.database.write(self._inherit)
            except BaseException:
                self.database.close()
                raise

    def _inherit(self, connection: Connection, now: datetime) -> None:
        leasing.void_all(connection, now)
        outbox.adopt_all(connection, self._publisher)

    async def close(self) -> None:
        self._lanes.close()
        await asyncio.to_thread(self.database.close)

    async def accept(self, batch: Sequence[Request | Refusal]) -> list[Accepted]:
        return await self._write(lambda connection, now: accept.accept(connection, batch, self._terms(now)))

    async def cancel(self, cancels: Sequence[Cancel], keep: timedelta) -> dict[UUID, Cancelled]:
        return await self._write(
            lambda connection, now: control.cancel(connection, cancels, now + keep, self._terms(now))
        )

    async def supersede(self, attempts: Sequence[Attempt]) -> int:
        return await self._write(lambda connection, now: control.supersede(connection, attempts, self._terms(now)))

    async def publish_again(self, query_id: UUID, correlation_ids: Collection[UUID]) -> int:
        return await self._write(
            lambda connection, now: control.publish_again(connection, query_id, correlation_ids, self._terms(now))
        )

    async def claim(self, worker_id: str, limit: int, graphs: Collection[str]) -> list[Claim]:
        def work(connection: Connection, now: datetime) -> list[Claim]:
            who = Claimant(worker_id, graphs, now + self._lease)
            return claims.claim(connection, who, limit, self._terms(now))

        return await self._write(work)

    def renew(self, worker_id: str, leases: Collection[Lease]) -> set[Lease]:
        return self.database.write(
            lambda connection, now: leasing.renew(connection, worker_id, leases, until=now + self._lease)
        )

    async def remember_nodes(self, claim: Claim, nodes: Collection[str]) -> None:
        await self._group.write(writes.RememberNodes(claim, nodes))

    async def record(self, claim: Claim, steps: Sequence[Step]) -> None:
        if steps:
            await self._group.write(writes.RecordSteps(claim, steps))

    async def finish(self, claim: Claim, result: WorkflowResultEvent, failure: Failure | None = None) -> bool:
        return await self._group.write(writes.Finish(claim, result, failure))

    async def release(self, claim: Claim, delay: float = 0.0) -> None:
        await self._group.write(writes.Release(claim, timedelta(seconds=delay)))

    async def expire(self, known_graphs: Collection[str], graph_grace: float) -> int:
        def work(connection: Connection, now: datetime) -> int:
            known = {*known_graphs, *fleet.known_graphs(connection, now)}
            return expiry.expire(connection, known, graph_grace, self._terms(now))

        return await self._write(work)

    async def announce(self, worker: WorkerInfo) -> None:
        await self._write(lambda connection, now: fleet.announce(connection, worker, now))

    async def workers(self, within: float) -> list[WorkerInfo]:
        def work(connection: Connection) -> list[WorkerInfo]:
            return fleet.seen_within(connection, timedelta(seconds=within), self.database.time(connection))

        return await self.read(work)

    async def put_checkpoint(self, write: writes.PutCheckpoint) -> bool:
        """Write a checkpoint; durable when this returns.

        :returns: False if the claim's lease is void: nothing is written.
        :raises UnstorableError: the database cannot keep a value of it.
        """
        return await self._group.write(write)

    async def unpublished(self, limit: int, skip: Collection[UUID] = frozenset()) -> list[Outbound]:
        def work(connection: Connection) -> list[Outbound]:
            now = self.database.time(connection)
            return self._outbox.unpublished(connection, limit, skip, self._publisher, now)

        return await self.read(work)

    async def published(self, correlation_ids: Collection[UUID]) -> None:
        await self._write(lambda connection, now: self._outbox.published(connection, correlation_ids, now))
        self._outbox.forget(correlation_ids)

    async def prune(self, older_than: timedelta, tombstones: timedelta, limit: int) -> Pruned:
        retention = Retention(older_than, tombstones)
        return await self._write(lambda connection, now: pruning.prune(connection, retention, limit, now))

    async def backlog(self) -> Mapping[str, Backlog]:
        return await self.read(backlog.of_graphs)

    async def counts(self) -> Mapping[RunStatus, int]:
        return await self.read(outbox.counts)

    async def read(self, work: Callable[[Connection], _T]) -> _T:
        """Look at the database."""
        return await self._lanes.run(Lane.READS, lambda: self.database.read(work))

    def _terms(self, now: datetime) -> Terms:
        return Terms(self._max_bytes, self._publisher, now)

    async def _write(self, work: Callable[[Connection, datetime], _T]) -> _T:
        return await self._lanes.run(Lane.REQUESTS, lambda: self.database.write(work))

    async def _commit(self, batch: Sequence[writes.Write]) -> list[bool]:
        def work(connection: Connection, now: datetime) -> list[bool]:
            return writes.apply(connection, batch, self.database.execute, self._terms(now))

        return await self._lanes.run(Lane.RUNS, lambda: self.database.write(work))
