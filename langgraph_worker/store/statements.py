"""Statements that SQL has no common words for, but both dialects have."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

Row = dict[str, Any]
"""A row of a table, or a part of one, by column name."""

Upsert = postgresql.Insert | sqlite.Insert


def _insert(connection: Connection, table: Table) -> Upsert:
    return (postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert)(table)


def insert_missing(connection: Connection, table: Table) -> Upsert:
    """Insert what is not there yet; a row with the same primary key stays as it is."""
    return _insert(connection, table).on_conflict_do_nothing(index_elements=list(table.primary_key))


def insert_or_replace(connection: Connection, table: Table) -> Upsert:
    """Insert, or overwrite every column of the row with the same primary key."""
    statement = _insert(connection, table)
    keys = list(table.primary_key)
    replaced = {column.name: statement.excluded[column.name] for column in table.c if column not in keys}
    return statement.on_conflict_do_update(index_elements=keys, set_=replaced)
