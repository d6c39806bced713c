"""What changes the long-term memory: a run's puts and deletes, reads that let items live longer, the removal."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, bindparam, delete, exists, func, or_, select, update

from langgraph_worker.domain.memory import MemoryLimits, MemoryName
from langgraph_worker.domain.models import Claim
from langgraph_worker.errors import NoRoomError
from langgraph_worker.store.engines.database import Statement
from langgraph_worker.store.migrations.schema import memories
from langgraph_worker.store.sql import memory_rows
from langgraph_worker.store.sql.memory_rows import KEYS_AT_ONCE, Held, ItemKey, identity, items
from langgraph_worker.store.sql.statements import in_chunks

_LEAST_MINUTES = 1.0  # LangGraph's column on PostgreSQL has whole minutes: half a minute is stored as 0
_FULL = (
    "the long-term memory of this run store would hold {held:,} {what}; {setting}={limit} is its limit, for all graphs "
    "and deployments together. Delete what is not needed, give the graph a store of its own (compile(store=...)), or "
    "raise it"
)


@dataclass(frozen=True, slots=True)
class PutMemory:
    """Statements of LangGraph's store, for the memory of the claim's graph and deployment.

    :param keys: of the items that they write or remove.
    """

    claim: Claim
    statements: Sequence[Statement]
    keys: Collection[ItemKey]
    limits: MemoryLimits

    @property
    def name(self) -> MemoryName:
        """The memory that they write to."""
        return MemoryName(self.claim.deployment, self.claim.graph)


Execute = Callable[[Connection, Sequence[Statement]], None]


def put(connection: Connection, writes: Sequence[PutMemory], execute: Execute) -> list[NoRoomError | None]:
    """Write in the connection's transaction, under valid leases. Nothing may be locked after this.

    Two workers that write at the same moment may go past the limit by what one of them writes.

    :returns: for each write the error that refused it, or None. A refused one has written nothing, and costs the
        writes of other runs in this transaction nothing.
    :raises NoRoomError: a write that seemed to fit does not: nothing of the transaction may be committed.
    """
    if not writes:
        return []
    memory_rows.lock(connection, (write.name for write in writes))
    total = memory_rows.total(connection)
    refusals: list[NoRoomError | None] = []
    for write in writes:
        seems_to_fit = _seems_to_fit(total, write)
        try:
            with nullcontext() if seems_to_fit else connection.begin_nested():
                change = _write(connection, write, total, execute)
        except NoRoomError as error:
            if seems_to_fit:
                raise
            refusals.append(error)
            continue
        refusals.append(None)
        total += change
        memory_rows.add(connection, write.name.label, change)
    return refusals


def _seems_to_fit(total: Held, write: PutMemory) -> bool:
    """Whether it needs no savepoint, which costs two statements. A guess: a database may write numbers longer."""
    most_bytes = total.bytes + 2 * write.limits.max_item_bytes * len(write.keys)
    return total.items + len(write.keys) <= write.limits.max_items and most_bytes <= write.limits.max_bytes


def _write(connection: Connection, write: PutMemory, total: Held, execute: Execute) -> Held:
    before = memory_rows.measure(connection, write.keys)
    execute(connection, write.statements)
    change = memory_rows.measure(connection, write.keys) - before
    _require_room(change, total + change, write.limits)
    return change


def _require_room(change: Held, total: Held, limits: MemoryLimits) -> None:
    if change.items > 0 and total.items > limits.max_items:
        setting = "LANGGRAPH_WORKER_MAX_MEMORY_ITEMS"
        raise NoRoomError(_FULL.format(held=total.items, what="items", setting=setting, limit=limits.max_items))
    if change.bytes > 0 and total.bytes > limits.max_bytes:
        setting = "LANGGRAPH_WORKER_MAX_MEMORY_BYTES"
        raise NoRoomError(_FULL.format(held=total.bytes, what="bytes", setting=setting, limit=limits.max_bytes))


def has_expired(connection: Connection, now: datetime) -> bool:
    """Whether an item of any memory has expired, and is still there."""
    return bool(connection.execute(select(exists().where(items.c.expires_at <= now))).scalar())


def expiring(connection: Connection, keys: Collection[ItemKey]) -> list[ItemKey]:
    """Those of these items that expire at some time."""
    found: list[ItemKey] = []
    for some in in_chunks(keys, KEYS_AT_ONCE):
        query = select(items.c.prefix, items.c.key).where(identity.in_(some), items.c.ttl_minutes.is_not(None))
        found += [(row.prefix, row.key) for row in connection.execute(query)]
    return found


_refresh = (
    update(items)
    .where(items.c.prefix == bindparam("of_prefix"), items.c.key == bindparam("of_key"))
    .values(expires_at=bindparam("until"))
)


def refresh(connection: Connection, keys: Collection[ItemKey], now: datetime) -> None:
    """Let these items live as long as they would if they were put now. It needs no lease."""
    memory_rows.lock_labels(connection, {memory_rows.label_of(key) for key in keys})
    rows = []
    for some in in_chunks(keys, KEYS_AT_ONCE):
        lives = items.c.ttl_minutes.is_not(None)
        query = select(items.c.prefix, items.c.key, items.c.ttl_minutes).where(identity.in_(some), lives)
        for row in connection.execute(query):
            until = now + timedelta(minutes=max(row.ttl_minutes, _LEAST_MINUTES))
            rows.append({"of_prefix": row.prefix, "of_key": row.key, "until": until})
    if rows:
        connection.execute(_refresh, rows)


def sweep(connection: Connection, limit: int, now: datetime) -> int:
    """Remove items that have expired, the oldest first.

    :param limit: most items: a bound for how long the locks are held.
    :returns: how many were removed.
    """
    if not memory_rows.is_set_up(connection):
        return 0
    overdue = select(items.c.prefix, items.c.key).where(items.c.expires_at <= now)
    found = [(row.prefix, row.key) for row in connection.execute(overdue.order_by(items.c.expires_at).limit(limit))]
    return _remove(connection, found, now)


def forget(connection: Connection, name: MemoryName, limit: int, labels: Sequence[str] = ()) -> int:
    """Remove items of one memory, whatever their age; and its row with the last of them.

    :param limit: most items.
    :param labels: those in this namespace and the ones below it; empty: all.
    :returns: how many were removed; fewer than ``limit`` is all.
    """
    if not memory_rows.is_set_up(connection):
        return 0
    query = select(items.c.prefix, items.c.key).where(_is_inside(name, labels)).limit(limit)
    memory_rows.lock_labels(connection, [name.label])
    removed = _remove(connection, [(row.prefix, row.key) for row in connection.execute(query)], None)
    if removed < limit and not labels:
        connection.execute(delete(memories).where(memories.c.label == name.label))
    return removed


def count(connection: Connection, name: MemoryName, labels: Sequence[str] = ()) -> int:
    """How many items :func:`forget` would remove, without a limit."""
    if not memory_rows.is_set_up(connection):
        return 0
    return connection.execute(select(func.count()).select_from(items).where(_is_inside(name, labels))).scalar_one()


def memories_of(connection: Connection, graph: str) -> dict[str, int]:
    """How many items each deployment has in the memory of a graph."""
    mine = select(memories.c.deployment, memories.c["items"]).where(memories.c.graph == graph)
    return {row[0]: row[1] for row in connection.execute(mine.order_by(memories.c.deployment))}


def _is_inside(name: MemoryName, labels: Sequence[str]) -> ColumnElement[bool]:
    place = ".".join([name.label, *labels])
    return or_(items.c.prefix == place, items.c.prefix.startswith(f"{place}.", autoescape=True))


def _remove(connection: Connection, keys: Collection[ItemKey], expired_by: datetime | None) -> int:
    """:param expired_by: None: also items that have not expired, or live again since they were found."""
    by_label: dict[str, list[ItemKey]] = {}
    for key in keys:
        by_label.setdefault(memory_rows.label_of(key), []).append(key)
    memory_rows.lock_labels(connection, by_label)
    removed = 0
    for label, mine in by_label.items():
        before = memory_rows.measure(connection, mine)
        for some in in_chunks(mine, KEYS_AT_ONCE):
            still = () if expired_by is None else (items.c.expires_at <= expired_by,)
            connection.execute(delete(items).where(identity.in_(some), *still))
        gone = before - memory_rows.measure(connection, mine)
        memory_rows.add(connection, label, Held() - gone)
        removed += gone.items
    return removed
