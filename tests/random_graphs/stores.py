"""Empty stores, one for each world."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, MetaData, create_engine, select

from langgraph_worker.store.migrations.migrate import upgrade
from tests.random_graphs.circumstances import TAKEN_BY_NONE
from tests.support.row_refusals import refuse_rows
from tests.support.run_store import driver_url, empty

_PUBLISHED = {"publish_asked", "published_at", "publisher", "adoptable_at"}
Stores = Callable[[Path], str]
"""Gives the URL of a world's store, from the world's folder."""


@contextmanager
def sqlite_stores(folder: Path) -> Iterator[Stores]:
    """Files, copied from one that has the schema."""
    template = folder / "template.db"
    _prepare(f"sqlite:///{template}")
    yield lambda world: f"sqlite:///{shutil.copy(template, world / 'store.db')}"


@contextmanager
def postgres_stores(url: str) -> Iterator[Stores]:
    """One database, emptied for each world."""
    _prepare(url)

    def store(world: Path) -> str:
        empty(url)
        return url

    yield store


def _prepare(url: str) -> None:
    with _connected(url) as connection:
        upgrade(connection)
    refuse_rows(url, TAKEN_BY_NONE)


def rows(url: str) -> list[str]:
    """All that is in a store, as text; but not how often the same result was published."""
    with _connected(url) as connection:
        found = MetaData()
        found.reflect(connection)
        return sorted(
            f"{table.name}: { {name: value for name, value in row.items() if name not in _PUBLISHED} }"
            for table in found.tables.values()
            for row in connection.execute(select(table)).mappings()
        )


def end_transactions_of_a_frozen_worker(url: str) -> None:
    """End the transactions in which a worker stands still: the server's own time limit does it, but later.

    What it had sent is still executed, so a session may be at work now and idle within its transaction afterwards.
    """
    ends = time.monotonic() + _SERVER_SECONDS
    while found := _end_idle_transactions(url):
        assert time.monotonic() < ends, f"no time limit of the server ends these sessions: {found}"
        time.sleep(0.01)  # another process's pace: there is nothing to wait on


def _end_idle_transactions(url: str) -> Sequence[Any]:
    """Each session that was in a transaction: its process, its state, and what it waited for."""
    with _connected(url) as connection:
        found = connection.exec_driver_sql(_IN_A_TRANSACTION).all()
        for pid, state, _ in found:
            if state.startswith("idle in transaction"):
                connection.exec_driver_sql("SELECT pg_terminate_backend(%(pid)s)", {"pid": pid})
    return found


_SERVER_SECONDS = 20.0
_IN_A_TRANSACTION = (
    "SELECT pid, state, wait_event FROM pg_stat_activity "
    "WHERE datname = current_database() AND xact_start IS NOT NULL AND pid <> pg_backend_pid()"
)


@contextmanager
def _connected(url: str) -> Iterator[Connection]:
    engine = create_engine(driver_url(url))
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()
