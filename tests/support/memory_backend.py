"""The in-memory store as a backend of the contract suite."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Table

from langgraph_worker.testing.memory_store.rows import rows
from langgraph_worker.testing.memory_store.store import MemoryDatabase, MemoryRunStore
from tests.support.run_store import LEASE, Backend, Clock


class MemoryBackend(Backend):
    """One empty database in memory, shared by every store that is opened here."""

    def __init__(self, clock: Clock) -> None:
        super().__init__("memory:", clock, shared=True)
        self.database = MemoryDatabase()

    async def open(self, **settings: Any) -> MemoryRunStore:
        store = MemoryRunStore(self.database, self.clock, lease_seconds=LEASE, **settings)
        await store.open()
        self.opened.append(store)
        return store

    def rows(self, table: Table, **where: Any) -> list[dict[str, Any]]:
        found = rows(self.database.state, table.name)
        return [row for row in found if all(row[column] == value for column, value in where.items())]
