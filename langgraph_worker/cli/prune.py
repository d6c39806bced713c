"""``langgraph-worker prune``: remove what ended long ago. Meant for a schedule; workers may run meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from langgraph_worker.domain.models import Pruned
from langgraph_worker.settings.load import load_settings
from langgraph_worker.settings.model import WorkerSettings
from langgraph_worker.settings.store_url import shown_url
from langgraph_worker.store.retrying import retry_store
from langgraph_worker.store.sql.memory_store import SWEPT_AT_ONCE
from langgraph_worker.store.sql.run_store import SqlRunStore
from langgraph_worker.store.sql.trimming import Trimmed

_RUNS_AT_ONCE = 500  # bounds how long one transaction holds its locks
_THREADS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class _Removed:
    """What one call of the command removed.

    :param checkpoints: those of threads that stay.
    :param items: those of the long-term memory that had expired.
    :param audited: old entries of the API's audit.
    """

    runs: int
    threads: int
    checkpoints: int
    items: int
    audited: int


def prune(flags: Mapping[str, str]) -> int:
    """Prune until nothing is left to prune, and print how much it was; 0.

    :raises WorkerError: the settings are wrong, or the store cannot be used.
    """
    settings = load_settings(flags)
    removed = asyncio.run(_prune(settings))
    shown = shown_url(settings.store_url)
    print(
        f"{shown}: removed {removed.runs:,} runs that ended more than {settings.retention_days:g} days ago, "
        f"{removed.threads:,} threads with their checkpoints, {removed.checkpoints:,} checkpoints that the other "
        f"threads no longer need, and {removed.items:,} items of long-term memory that had expired"
    )
    if removed.audited:
        print(f"{shown}: removed {removed.audited:,} audit entries older than {settings.api_audit_days:g} days")
    return 0


async def _prune(settings: WorkerSettings) -> _Removed:
    store = SqlRunStore(
        settings.store_url, keep_checkpoints=settings.keep_checkpoints, lease_seconds=settings.lease_seconds
    )
    await store.open(alone=False)
    try:
        pruned = await _prune_runs(store, settings)
        checkpoints, items = await _trim_threads(store), await _sweep_memory(store)
        audit_days = timedelta(days=settings.api_audit_days)
        audited = await retry_store(lambda: store.audit.remove(audit_days), "remove old audit entries")
        await retry_store(lambda: store.request_keys.remove(audit_days), "remove old idempotency keys")
        return _Removed(pruned.runs, pruned.threads, checkpoints, items, audited)
    finally:
        await store.close()


async def _prune_runs(store: SqlRunStore, settings: WorkerSettings) -> Pruned:
    older_than, tombstones = timedelta(days=settings.retention_days), timedelta(days=settings.tombstone_days)
    runs = threads = 0
    while True:
        found = await retry_store(lambda: store.prune(older_than, tombstones, _RUNS_AT_ONCE), "prune the store")
        if found.runs == 0:
            return Pruned(runs, threads)
        runs, threads = runs + found.runs, threads + found.threads


async def _trim_threads(store: SqlRunStore) -> int:
    found = Trimmed(0, "")
    checkpoints = 0
    while found.done is not None:
        trim = partial(store.trim_checkpoints, found.done, _THREADS_AT_ONCE)
        found = await retry_store(trim, "remove checkpoints")
        checkpoints += found.checkpoints
    return checkpoints


async def _sweep_memory(store: SqlRunStore) -> int:
    items = 0
    while True:
        found = await retry_store(lambda: store.memory.sweep(SWEPT_AT_ONCE), "remove expired items of memory")
        items += found
        if found < SWEPT_AT_ONCE:
            return items
