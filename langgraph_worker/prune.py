"""``langgraph-worker prune``: forget what ended long ago. Meant for a schedule; workers may be running meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta

from sqlalchemy import make_url

from langgraph_worker.patience import persist
from langgraph_worker.settings import WorkerSettings, load_settings
from langgraph_worker.store.port import Pruned
from langgraph_worker.store.sql import SqlRunStore

_AT_ONCE = 500  # runs: a bound for how long one transaction holds its locks


def prune(flags: Mapping[str, str]) -> int:
    """Prune until nothing is left to prune, print how much it was; 0.

    :raises WorkerError: the settings are wrong, or the store cannot be used.
    """
    settings = load_settings(flags)
    removed = asyncio.run(_prune(settings))
    shown = make_url(settings.store_url).render_as_string(hide_password=True)
    print(
        f"{shown}: removed {removed.runs:,} runs that ended more than {settings.retention_days:g} days ago, and "
        f"{removed.threads:,} threads with their checkpoints"
    )
    return 0


async def _prune(settings: WorkerSettings) -> Pruned:
    older_than, tombstones = timedelta(days=settings.retention_days), timedelta(days=settings.tombstone_days)
    store = SqlRunStore(settings.store_url, lease_seconds=settings.lease_seconds)
    await store.open(alone=False)
    runs = threads = 0
    try:
        while True:
            found = await persist(lambda: store.prune(older_than, tombstones, _AT_ONCE), "prune the store")
            if found.runs == 0:
                return Pruned(runs, threads)
            runs, threads = runs + found.runs, threads + found.threads
    finally:
        await store.close()
