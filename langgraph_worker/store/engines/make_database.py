"""The database that a store's URL names."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from langgraph_worker.settings.store_url import check_url
from langgraph_worker.store.engines.database import Database
from workflow_events.models import utcnow


def make_database(url: str, *, lease_seconds: float, now: Callable[[], datetime] | None = None) -> Database:
    """The database of a store URL, not opened yet. Only its own modules are imported.

    :param now: the store's clock; None is the database's own where it has one, else this host's.
    :raises SettingsError: see :func:`check_url`.
    """
    parsed = check_url(url)
    if parsed.get_backend_name() == "postgresql":
        from langgraph_worker.store.engines.postgres import PostgresDatabase

        return PostgresDatabase(url, lease_seconds=lease_seconds, now=now)
    from langgraph_worker.store.engines.sqlite import SqliteDatabase

    return SqliteDatabase(Path(parsed.database or "").absolute(), now=now or utcnow)
