"""Build indexes of PostgreSQL while workers write to their tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import psycopg
from psycopg import sql

from langgraph_worker.store.migrations.migrate import NewIndex


def build_concurrently(connection: psycopg.Connection[Any], indexes: Iterable[NewIndex]) -> None:
    """Build those that are not complete. It waits for each transaction under way, and no transaction waits for it.

    :param connection: without a transaction. It gets no time limits from here on.
    :raises psycopg.Error: the server refuses, or is away. What is half built is begun again by the next call.
    """
    for index in indexes:
        connection.execute("SET statement_timeout = 0; SET lock_timeout = 0")
        is_complete = _is_complete(connection, index.name)
        if is_complete is False:
            connection.execute(sql.SQL("DROP INDEX CONCURRENTLY {}").format(sql.Identifier(index.name)))
        if not is_complete:
            connection.execute(_create(index))


def _is_complete(connection: psycopg.Connection[Any], name: str) -> bool | None:
    """Whether an index can be used; None if there is none. One whose build was cut short is there, but cannot."""
    found = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)"
    row = connection.execute(found, [name]).fetchone()
    return None if row is None else bool(row[0])


def _create(index: NewIndex) -> sql.Composed:
    where = "" if index.where is None else f" WHERE {index.where}"
    columns = sql.SQL(", ").join(map(sql.Identifier, index.columns))
    create = sql.SQL("CREATE INDEX CONCURRENTLY {} ON {} ({})").format(
        sql.Identifier(index.name), sql.Identifier(index.table), columns
    )
    return create + sql.SQL(where)
