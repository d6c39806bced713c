"""The database that a store's URL names."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from langgraph_worker.settings.store_url import check_url
from langgraph_worker.store.engines.database import Database
from langgraph_worker.store.engines.postgres import PostgresDatabase
from langgraph_worker.store.engines.sqlite import SqliteDatabase
from workflow_events.models import utcnow


def make_database(url: str, *, lease_seconds: float, now: Callable[[], datetime] | None = None) -> Database:
    """The database of a store URL, not opened yet.

    :param now: the store's clock; None is the database's own where it has one, else this host's.
    :raises SettingsError: see :func:`check_url`.
    """
    parsed = check_url(url)
    if parsed.get_backend_name() == "postgresql":
        return PostgresDatabase(url, lease_seconds=lease_seconds, now=now)
    return SqliteDatabase(Path(parsed.database or "").absolute(), now=now or utcnow)
