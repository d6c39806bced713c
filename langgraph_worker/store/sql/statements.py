"""Statements that SQL has no common words for, but both dialects have."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import cache
from typing import TypeVar

from sqlalchemy import Connection, Table, case, func
from sqlalchemy.dialects import postgresql, sqlite

_T = TypeVar("_T")

MAX_VALUES = 5_000
"""Most values in one statement: PostgreSQL's protocol numbers them with 16 bits."""


def in_chunks(values: Collection[_T], size: int = MAX_VALUES) -> Iterator[list[_T]]:
    """The values, as many at a time as a statement may have."""
    everything = list(values)
    for first in range(0, len(everything), size):
        yield everything[first : first + size]


Upsert = postgresql.Insert | sqlite.Insert


def insert_missing(connection: Connection, table: Table) -> Upsert:
    """Insert the rows that are not there yet; a row with the same primary key stays as it is."""
    return _insert_missing(connection.dialect.name, table)


def insert_or_replace(connection: Connection, table: Table) -> Upsert:
    """Insert, or overwrite every column of the row with the same primary key."""
    return _insert_or_replace(connection.dialect.name, table)


def insert_or_add(connection: Connection, table: Table, added: tuple[str, ...], most: int) -> Upsert:
    """Insert, or add to the row with the same primary key: numbers are added up, of other columns the new value holds
    if it is not NULL.

    :param added: the columns of numbers.
    :param most: which none of them exceeds.
    """
    return _insert_or_add(connection.dialect.name, table, added, most)


# Cached, as the statements of other modules are constants: to build one takes longer than to execute it.


def _insert(dialect: str, table: Table) -> Upsert:
    return (postgresql.insert if dialect == "postgresql" else sqlite.insert)(table)


@cache
def _insert_missing(dialect: str, table: Table) -> Upsert:
    return _insert(dialect, table).on_conflict_do_nothing(index_elements=list(table.primary_key))


@cache
def _insert_or_replace(dialect: str, table: Table) -> Upsert:
    statement = _insert(dialect, table)
    keys = list(table.primary_key)
    replaced = {column.name: statement.excluded[column.name] for column in table.c if column not in keys}
    return statement.on_conflict_do_update(index_elements=keys, set_=replaced)


@cache
def _insert_or_add(dialect: str, table: Table, added: tuple[str, ...], most: int) -> Upsert:
    statement = _insert(dialect, table)
    keys = list(table.primary_key)
    new = statement.excluded
    sums = {name: case((table.c[name] > most - new[name], most), else_=table.c[name] + new[name]) for name in added}
    others = [column for column in table.c if column not in keys and column.name not in added]
    changed = {**sums, **{column.name: func.coalesce(new[column.name], column) for column in others}}
    return statement.on_conflict_do_update(index_elements=keys, set_=changed)
