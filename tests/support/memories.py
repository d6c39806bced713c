"""What tests of the long-term memory need: runs with their memories, on each database."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import create_engine, select, text, update

from langgraph_worker.checkpoints.memories import Memories, RunMemory
from langgraph_worker.domain.memory import MemoryLimits
from langgraph_worker.domain.models import Claim, Request
from langgraph_worker.graphs.memory_config import MemoryConfig
from langgraph_worker.store.migrations.schema import memories as memories_table
from langgraph_worker.store.sql.memory_rows import items
from langgraph_worker.store.sql.run_store import SqlRunStore
from tests.support.run_store import LEASE, Backend, attempt, driver_url, event, origin


@dataclass
class Desk:
    """A run store with its memories."""

    backend: Backend
    store: SqlRunStore
    memories: Memories
    tasks: list[str] = field(default_factory=list)

    async def claim(self, graph: str = "desk", deployment: str = "here", worker: str = "w1") -> Claim:
        """A new run on a thread of its own."""
        self.tasks.append(f"{len(self.tasks):064}")
        tried = attempt(deployment=deployment, task=self.tasks[-1], at=len(self.tasks)) if deployment else None
        asked = event(tried)
        await self.store.accept([Request(asked, graph, "workflow-results", origin())])
        [claim] = await self.store.claim(worker, 1, [graph])
        assert claim.deployment == deployment
        return claim

    async def memory(self, graph: str = "desk", deployment: str = "here") -> RunMemory:
        """The memory of a new run."""
        return self.memories.memory_for(await self.claim(graph, deployment))

    async def take_over(self, graph: str = "desk") -> Claim:
        """The only run again, when its lease has run out."""
        self.backend.clock.advance(LEASE)
        [claim] = await self.store.claim("w2", 1, [graph])
        return claim

    async def other(self, **changes: Any) -> Desk:
        """The same database with other limits or another ``store`` in the manifest."""
        config = changes.get("config", self.memories.config)
        made = Memories(self.store, config, changes.get("limits", self.memories.limits))
        await made.setup()
        return replace(self, memories=made)

    def held(self) -> tuple[int, int]:
        """Items and bytes as they are counted."""
        rows = self.backend.rows(memories_table)
        return sum(row["items"] for row in rows), sum(row["bytes"] for row in rows)

    def counted(self) -> tuple[int, int]:
        """Items and bytes as they are."""
        length = "octet_length(value::text)" if self.backend.shared else "length(cast(value as blob))"
        return self._execute(
            text(f"SELECT count(*), coalesce(sum({length} + length(prefix) + length(key)), 0) FROM store")
        )[0]

    def expire(self, key: str) -> None:
        """Let an item have expired before the store's clock began."""
        self._execute(update(items).where(items.c.key == key).values(expires_at=self.backend.clock.now))

    def keys(self) -> list[str]:
        """The keys of all items that are in the database."""
        return sorted(row[0] for row in self._execute(select(items.c.key)))

    def select(self, query: str) -> list[Any]:
        """The rows of a query."""
        return self._execute(text(query))

    def execute(self, statement: str) -> None:
        """Change the database, as an administrator would."""
        self._execute(text(statement))

    def _execute(self, statement: Any) -> list[Any]:
        engine = create_engine(driver_url(self.backend.url))
        try:
            with engine.begin() as connection:
                done = connection.execute(statement)
                return [tuple(row) for row in done] if done.returns_rows else []
        finally:
            engine.dispose()


async def open_desk(backend: Backend, config: MemoryConfig | None = None, limits: MemoryLimits | None = None) -> Desk:
    """Open the store of an empty backend."""
    store = await backend.open()
    assert isinstance(store, SqlRunStore)
    made = Memories(store, config, limits)
    await made.setup()
    return Desk(backend, store, made)


async def in_thread(work: Any, *arguments: Any, **named: Any) -> Any:
    """As a synchronous node calls."""
    return await asyncio.to_thread(work, *arguments, **named)
