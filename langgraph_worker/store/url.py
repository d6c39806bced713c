"""The store's URL: which database it names."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from langgraph_worker.errors import SettingsError
from langgraph_worker.store.database import Database
from langgraph_worker.store.postgres import PostgresDatabase
from langgraph_worker.store.sqlite import SETTING, SqliteDatabase
from workflow_events.models import utcnow

_FILES = "sqlite:///relative.db or sqlite:////absolute/path.db"
_SERVERS = "postgresql://user:password@host:5432/database"
_FORMS = f"{_SERVERS}, or for a single worker {_FILES}"


def check_url(url: str) -> URL:
    """The URL, if a store can be behind it.

    :raises SettingsError: what is wrong with it; the URL itself is not repeated, it may hold a password.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise SettingsError(f"{SETTING}: not a URL; use {_FORMS}") from None
    if parsed.drivername in ("postgresql", "postgresql+psycopg"):
        if not parsed.database:
            raise SettingsError(f"{SETTING}: must name a database: {_SERVERS}")
        return parsed
    if parsed.drivername != "sqlite":
        raise SettingsError(f"{SETTING}: {parsed.drivername!r} is not supported; use {_FORMS}")
    if parsed.host or parsed.query or parsed.database in (None, "", ":memory:"):
        raise SettingsError(f"{SETTING}: must name a file and nothing else: {_FILES}")
    return parsed


def make_database(url: str, *, lease_seconds: float, now: Callable[[], datetime] | None = None) -> Database:
    """The database of a store URL, not opened yet.

    :param now: the store's clock; None is the database's own where it has one, else this host's.
    :raises SettingsError: see :func:`check_url`.
    """
    parsed = check_url(url)
    if parsed.get_backend_name() == "postgresql":
        return PostgresDatabase(url, lease_seconds=lease_seconds, now=now)
    return SqliteDatabase(Path(parsed.database or "").absolute(), now=now or utcnow)
