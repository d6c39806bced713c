"""LangGraph's table of long-term memory, and what the run store counts of it.

The items are in LangGraph's own table ``store``, written by LangGraph's own statements. The table ``memories`` has a
row for each graph and deployment: how many items it has, and their bytes. A transaction that writes or removes items
locks these rows first, by label, and it locks nothing after them. So both stay equal, and no two transactions wait for
each other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    DateTime,
    Dialect,
    Float,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    cast,
    func,
    inspect,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects import sqlite

from langgraph_worker.domain.memory import MemoryName
from langgraph_worker.store.migrations.schema import memories
from langgraph_worker.store.sql.statements import in_chunks, insert_missing

ItemKey = tuple[str, str]
"""A namespace as stored (labels joined by periods, the memory's own first) and a key."""

KEYS_AT_ONCE = 1_000


class _Instant(TypeDecorator[datetime]):
    """As LangGraph writes it: ``timestamptz``, or UTC text with whole seconds in SQLite."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(sqlite.DATETIME(truncate_microseconds=True))  # type: ignore[no-untyped-call]
        return dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)


items = Table(
    "store",
    MetaData(),  # not the run store's own: LangGraph makes and changes it
    Column("prefix", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("value", LargeBinary),
    Column("expires_at", _Instant),
    Column("ttl_minutes", Float),
)
_c = memories.c
_items = _c["items"]  # as an attribute it is a method
identity = tuple_(items.c.prefix, items.c.key)


@dataclass(frozen=True, slots=True)
class Held:
    """So many items with so many bytes."""

    items: int = 0
    bytes: int = 0

    def __add__(self, other: Held) -> Held:
        return Held(self.items + other.items, self.bytes + other.bytes)

    def __sub__(self, other: Held) -> Held:
        return Held(self.items - other.items, self.bytes - other.bytes)


def label_of(key: ItemKey) -> str:
    """The label of the memory that an item is in."""
    return key[0].partition(".")[0]


def is_set_up(connection: Connection) -> bool:
    """Whether LangGraph's table is there: a worker makes it when it starts."""
    return inspect(connection).has_table(items.name)


def lock(connection: Connection, names: Iterable[MemoryName]) -> None:
    """Lock memories for this transaction; the row of a new one is made."""
    rows = [
        {"label": name.label, "deployment": name.deployment, "graph": name.graph, "items": 0, "bytes": 0}
        for name in sorted(set(names), key=lambda name: name.label)
    ]
    labels = [str(row["label"]) for row in rows]
    found = lock_labels(connection, labels)
    missing = [row for row in rows if row["label"] not in found]
    if missing:
        connection.execute(insert_missing(connection, memories), missing)
        lock_labels(connection, labels)


def lock_labels(connection: Connection, labels: Collection[str]) -> set[str]:
    """Lock memories that have a row, in order; their labels."""
    wanted = select(memories.c.label).where(memories.c.label.in_(labels)).order_by(memories.c.label)
    return set(connection.execute(wanted.with_for_update()).scalars())


def total(connection: Connection) -> Held:
    """What all memories hold together."""
    counted = select(func.coalesce(func.sum(_items), 0), func.coalesce(func.sum(_c.bytes), 0))
    found_items, found_bytes = connection.execute(counted).one()
    return Held(int(found_items), int(found_bytes))


def measure(connection: Connection, keys: Collection[ItemKey]) -> Held:
    """What those of these items hold that are there."""
    held = Held()
    for some in in_chunks(keys, KEYS_AT_ONCE):
        counted = select(func.count(), func.coalesce(func.sum(_bytes(connection)), 0)).where(identity.in_(some))
        found_items, found_bytes = connection.execute(counted).one()
        held += Held(int(found_items), int(found_bytes))
    return held


def add(connection: Connection, label: str, change: Held) -> None:
    """Count a change of a memory that this transaction has locked."""
    if change != Held():
        now = {"items": _items + change.items, "bytes": _c.bytes + change.bytes}
        connection.execute(update(memories).where(memories.c.label == label).values(now))


def _bytes(connection: Connection) -> ColumnElement[int]:
    if connection.dialect.name == "postgresql":
        value = func.octet_length(cast(items.c.value, Text))
    else:
        value = func.length(cast(items.c.value, LargeBinary))
    return cast(value + func.length(items.c.prefix) + func.length(items.c.key), BigInteger)
