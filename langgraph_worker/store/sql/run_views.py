"""The read side of the run store on SQL."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar
from uuid import UUID

from sqlalchemy import Connection

from langgraph_worker.domain.run_views import (
    EVERY_RUN,
    MOST_SHOWN,
    PageKey,
    RunDetail,
    RunFilter,
    RunPage,
    RunScope,
    StepKey,
    StepPage,
)
from langgraph_worker.store.sql import run_detail, run_lists, run_steps
from langgraph_worker.store.sql.run_store import SqlRunStore
from langgraph_worker.store.views import RunViews

_T = TypeVar("_T")


class SqlRunViews(RunViews):
    """The port on an open store, which may be open beside a worker (``open(alone=False)``)."""

    def __init__(self, store: SqlRunStore) -> None:
        self._store = store

    async def find(self, wanted: RunFilter, limit: int, after: PageKey | None = None) -> RunPage:
        return await self._read(lambda connection: run_lists.find(connection, wanted, limit, after))

    async def ids_beginning_with(self, prefix: str, limit: int) -> list[UUID]:
        return await self._read(lambda connection: run_lists.ids_beginning_with(connection, prefix, limit))

    async def detail(
        self, correlation_id: UUID, most_steps: int = MOST_SHOWN, scope: RunScope = EVERY_RUN
    ) -> RunDetail | None:
        return await self._read(lambda connection: run_detail.detail(connection, correlation_id, most_steps, scope))

    async def steps(self, correlation_id: UUID, limit: int, after: StepKey | None = None) -> StepPage:
        return await self._read(lambda connection: run_steps.page(connection, correlation_id, limit, after))

    async def _read(self, work: Callable[[Connection], _T]) -> _T:
        return await self._store.read(work)
