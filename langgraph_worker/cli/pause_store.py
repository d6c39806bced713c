"""What the commands of pauses read of the run store. They write nothing there, and pause a fleet without it too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from langgraph_worker.domain.pauses import PauseChange
from langgraph_worker.errors import StoreError
from langgraph_worker.runtime.make_store import make_store
from langgraph_worker.settings.model import WorkerSettings
from langgraph_worker.settings.store_url import shown_url
from langgraph_worker.store.sql.pauses import known_workflows, last_change
from langgraph_worker.store.sql.run_store import SqlRunStore
from workflow_events.control import PauseScope

_OPEN_SECONDS = 5.0
_KNOWN_WITHIN_SECONDS = 86_400.0  # as long as the store keeps the graphs that a worker has announced


@dataclass(frozen=True, slots=True)
class PauseStore:
    """An open store."""

    store: SqlRunStore

    async def pauses(self) -> list[PauseChange]:
        """What is paused now."""
        return await self.store.pauses()

    async def last_change(self, scope: PauseScope, name: str) -> PauseChange | None:
        """The newest change of a scope, be it a pause or the end of one."""
        return await self.store.read(lambda connection: last_change(connection, scope, name))

    async def known(self, scope: PauseScope) -> set[str]:
        """The names that can be meant: announced graphs and those that requests wait for; workflows that have asked;
        and what is paused.
        """
        known = {one.name for one in await self.store.pauses() if one.scope is scope}
        if scope is PauseScope.WORKFLOW:
            return known | set(await self.store.read(known_workflows))
        announced = await self.store.workers(_KNOWN_WITHIN_SECONDS)
        waiting = {graph for graph, _ in await self.store.backlog()}
        return known.union(waiting, *(worker.graphs for worker in announced))


@asynccontextmanager
async def open_pause_store(settings: WorkerSettings) -> AsyncIterator[PauseStore | str]:
    """The store of the settings, or why it cannot be read from here: a fleet can be paused nevertheless."""
    store = make_store(settings)
    try:
        async with asyncio.timeout(_OPEN_SECONDS):
            await store.open(alone=False)
    except StoreError as error:
        yield str(error)
        return
    except TimeoutError:
        yield f"the run store {shown_url(settings.store_url)} does not answer within {_OPEN_SECONDS:g} s"
        return
    try:
        yield PauseStore(store)
    finally:
        await store.close()
