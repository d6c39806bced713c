"""The transactions of the long-term memory. LangGraph's own statements come from ``checkpoints/``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Connection

from langgraph_worker.domain.memory import MemoryName
from langgraph_worker.store.sql import memory_writes
from langgraph_worker.store.sql.memory_rows import ItemKey
from langgraph_worker.store.sql.memory_writes import PutMemory

_T = TypeVar("_T")

SWEPT_AT_ONCE = 1_000
"""Most expired items that one transaction removes: a bound for how long it holds its locks."""

Transact = Callable[[Callable[[Connection, datetime], Any]], Awaitable[Any]]


class MemoryStore:
    """One method for each transaction. Each raises :exc:`StoreError` if the database fails.

    :param put: writes under the run's lease, together with the writes of other runs.
    :param write: one transaction of its own.
    :param read: one that only reads.
    """

    def __init__(self, put: Callable[[PutMemory], Awaitable[bool]], write: Transact, read: Transact) -> None:
        self._put = put
        self._write = write
        self._read = read

    async def put(self, write: PutMemory) -> bool:
        """Write or remove items; durable when this returns.

        :returns: False if the claim's lease is void: nothing is written.
        :raises NoRoomError: the memories would hold more than they may.
        :raises RowError: the database cannot keep a value of it.
        """
        return await self._put(write)

    async def read(self, work: Callable[[Connection], _T]) -> _T | None:
        """Read in one transaction; None if items have expired that are still there: sweep, and read again."""

        def look(connection: Connection, now: datetime) -> _T | None:
            return None if memory_writes.has_expired(connection, now) else work(connection)

        found: _T | None = await self._read(look)
        return found

    async def refresh(self, keys: Collection[ItemKey]) -> None:
        """Let these items live as long as if they were put now."""
        await self._write(lambda connection, now: memory_writes.refresh(connection, keys, now))

    async def sweep(self, limit: int) -> int:
        """Remove expired items, at most so many; how many it were."""
        removed: int = await self._write(lambda connection, now: memory_writes.sweep(connection, limit, now))
        return removed

    async def forget(self, name: MemoryName, limit: int, labels: Sequence[str] = ()) -> int:
        """Remove items of one graph's memory for one deployment, at most so many; fewer than that is all.

        :param labels: those in this namespace and the ones below it; empty: all.
        """
        removed: int = await self._write(lambda connection, _: memory_writes.forget(connection, name, limit, labels))
        return removed

    async def memories_of(self, graph: str) -> dict[str, int]:
        """How many items each deployment has in the memory of a graph; plain requests have the deployment ``""``."""
        found: dict[str, int] = await self._read(lambda connection, _: memory_writes.memories_of(connection, graph))
        return found

    async def count(self, name: MemoryName, labels: Sequence[str] = ()) -> int:
        """How many items :meth:`forget` would remove, without a limit."""
        found: int = await self._read(lambda connection, _: memory_writes.count(connection, name, labels))
        return found
