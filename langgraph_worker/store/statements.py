"""Statements that SQL has no common words for."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Insert, Table
from sqlalchemy.dialects.sqlite import insert

Row = dict[str, Any]
"""A row of a table, or a part of one, by column name."""


def insert_missing(table: Table) -> Insert:
    """Insert what is not there yet; a row with the same primary key stays as it is."""
    return insert(table).on_conflict_do_nothing(index_elements=list(table.primary_key))


def insert_or_replace(table: Table) -> Insert:
    """Insert, or overwrite every column of the row with the same primary key."""
    statement = insert(table)
    keys = list(table.primary_key)
    replaced = {column.name: statement.excluded[column.name] for column in table.c if column not in keys}
    return statement.on_conflict_do_update(index_elements=keys, set_=replaced)
