"""Empty stores, one for each world."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

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


def end_idle_transactions(url: str) -> None:
    """Of workers that stand still within one: the server's own time limit does it, but later."""
    with _connected(url) as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND state LIKE 'idle in transaction%%' AND pid <> pg_backend_pid()"
        )


@contextmanager
def _connected(url: str) -> Iterator[Connection]:
    engine = create_engine(driver_url(url))
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()
