"""The store as commands read it, beside the workers that use it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from pydantic import ValidationError

from langgraph_worker.domain.run_views import RunDetail
from langgraph_worker.errors import SettingsError, WorkerError
from langgraph_worker.settings.model import WorkerSettings
from langgraph_worker.settings.store_url import shown_url
from langgraph_worker.store.sql.run_store import SqlRunStore
from langgraph_worker.store.sql.run_views import SqlRunViews
from langgraph_worker.store.views import RunViews
from workflow_events.models import WorkflowEvent

_MOST_NAMED = 5


class NotFoundError(WorkerError):
    """The store has no such run, or several whose ids begin so."""


@asynccontextmanager
async def opened_store(settings: WorkerSettings) -> AsyncIterator[SqlRunStore]:
    """The store of the settings, open beside the workers that use it.

    :raises StoreError: it cannot be used.
    """
    store = SqlRunStore(settings.store_url, lease_seconds=settings.lease_seconds)
    await store.open(alone=False)
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def opened_views(settings: WorkerSettings) -> AsyncIterator[RunViews]:
    """The read side of the store of the settings, see :func:`opened_store`."""
    async with opened_store(settings) as store:
        yield SqlRunViews(store)


async def find_one(views: RunViews, given: str, settings: WorkerSettings) -> RunDetail:
    """The one run whose id begins so.

    :raises SettingsError: no id begins so.
    :raises NotFoundError: there is none, or there are several.
    """
    try:
        ids = await views.ids_beginning_with(given, _MOST_NAMED + 1)
    except ValueError as error:
        raise SettingsError(str(error)) from None
    if len(ids) > 1:
        raise NotFoundError(f"{given!r}: several runs begin so: {_named(ids)}. Give more of the id")
    detail = await views.detail(ids[0]) if ids else None
    if detail is None:
        raise NotFoundError(
            f"{shown_url(settings.store_url)} has no run {given!r}: it was pruned or forgotten, its event was not "
            "taken in yet, or it is in another store (LANGGRAPH_WORKER_STORE_URL)"
        )
    return detail


def event_of(detail: RunDetail, refusal: type[WorkerError]) -> WorkflowEvent | None:
    """The event of a run; None for a request that was refused.

    :param refusal: what is raised if this version cannot read it.
    """
    try:
        return WorkflowEvent.model_validate(detail.event) if detail.event is not None else None
    except ValidationError:
        raise refusal(
            f"the event of request {detail.run.correlation_id} is of another version than this command: use the "
            "langgraph-worker of the workers"
        ) from None


def _named(ids: list[UUID]) -> str:
    return ", ".join(map(str, ids[:_MOST_NAMED])) + (", ..." if len(ids) > _MOST_NAMED else "")
