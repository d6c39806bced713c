"""The run store on SQL: each method of the port as one transaction. PostgreSQL is to join SQLite here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

from langgraph_worker.store import accept, claims, expiry, outbox, work
from langgraph_worker.store import leases as leasing
from langgraph_worker.store.port import (
    Accepted,
    Claim,
    Failure,
    Lease,
    Outbound,
    Refusal,
    Request,
    RunStatus,
    RunStore,
    Step,
)
from langgraph_worker.store.sqlite import SqliteDatabase, path_of
from workflow_events.codec import DEFAULT_MAX_BYTES
from workflow_events.models import utcnow
from workflow_events.results import WorkflowResultEvent


class SqlRunStore(RunStore):
    """The port in one SQLite file, for one process and one event loop. Closing twice is harmless.

    :param url: ``sqlite:///relative.db`` or ``sqlite:////absolute/path.db``.
    :param lease_seconds: how long a claim holds without renewal.
    :param max_result_bytes: limit of an encoded result: key, value and headers.
    :param now: the store's clock.
    :raises SettingsError: the URL names no SQLite file.
    """

    def __init__(
        self,
        url: str,
        *,
        lease_seconds: float = 30.0,
        max_result_bytes: int = DEFAULT_MAX_BYTES,
        now: Callable[[], datetime] = utcnow,
    ) -> None:
        self._database = SqliteDatabase(path_of(url))
        self._lease = timedelta(seconds=lease_seconds)
        self._max_bytes = max_result_bytes
        self._now = now
        self._outbox = outbox.Outbox()

    @property
    def path(self) -> Path:
        """The database file, absolute. LangGraph's saver keeps its checkpoints in it, over a connection of its own."""
        return self._database.path

    async def open(self) -> None:
        await self._database.open()
        try:
            # The lock proves that whoever had the store before is dead.
            async with self._database.write() as connection:
                await leasing.void_all(connection, self._now())
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        await self._database.close()

    async def accept(self, batch: Sequence[Request | Refusal]) -> list[Accepted]:
        async with self._database.write() as connection:
            return await accept.accept(connection, batch, max_bytes=self._max_bytes, now=self._now())

    async def claim(self, worker_id: str, limit: int, graphs: Collection[str]) -> list[Claim]:
        async with self._database.write() as connection:
            now = self._now()
            return await claims.claim(
                connection, worker_id, limit, graphs, until=now + self._lease, max_bytes=self._max_bytes, now=now
            )

    async def renew(self, worker_id: str, leases: Collection[Lease]) -> set[Lease]:
        async with self._database.write() as connection:
            return await leasing.renew(connection, worker_id, leases, until=self._now() + self._lease)

    async def remember_nodes(self, lease: Lease, nodes: Collection[str]) -> None:
        async with self._database.write() as connection:
            await work.remember_nodes(connection, lease, nodes, self._now())

    async def record(self, claim: Claim, steps: Sequence[Step]) -> None:
        async with self._database.write() as connection:
            await work.record(connection, claim, steps, self._now())

    async def finish(self, claim: Claim, result: WorkflowResultEvent, failure: Failure | None = None) -> bool:
        async with self._database.write() as connection:
            return await work.finish(connection, claim, result, failure, max_bytes=self._max_bytes, now=self._now())

    async def release(self, claim: Claim) -> None:
        async with self._database.write() as connection:
            await leasing.release(connection, claim, self._now())

    async def expire(self, known_graphs: Collection[str], graph_grace: float) -> int:
        async with self._database.write() as connection:
            return await expiry.expire(
                connection, known_graphs, graph_grace, max_bytes=self._max_bytes, now=self._now()
            )

    async def unpublished(self, limit: int) -> list[Outbound]:
        async with self._database.read() as connection:
            return await self._outbox.unpublished(connection, limit)

    async def published(self, correlation_ids: Collection[UUID]) -> None:
        async with self._database.write() as connection:
            await self._outbox.published(connection, correlation_ids, self._now())
        self._outbox.forget(correlation_ids)

    async def counts(self) -> Mapping[RunStatus, int]:
        async with self._database.read() as connection:
            return await outbox.counts(connection)
