"""Remove checkpoints that no run needs any more, so that a conversation of many runs does not grow without end.

A run needs little of a thread's past. LangGraph resumes a graph from its latest checkpoint with the writes that belong
to it, and so does the worker. A subgraph that keeps its state between calls is resumed from the latest one of its
namespace. The subgraph of a node that has not ended is resumed too: its namespace belongs to the graph's latest
checkpoint. A channel of deltas is rebuilt from the checkpoints since it was last stored as a whole. The rest is there
for looking back.

A fork may begin with each checkpoint of the graph that is left. What its subgraphs kept until then is left too: with
nothing of it the fork would call them as if for the first time, and succeed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, TableClause, bindparam, column, delete, func, inspect, select, table, text, update

from langgraph_worker.store.migrations.schema import threads
from langgraph_worker.store.sql.checkpoint_rows import CALL, HAS_DELTAS, checkpoints, newest_first

MOST_AT_ONCE = 1_000
"""Most checkpoints that one call removes from a thread: a bound for how long its locks are held."""

_DELTAS_LOOKED_AT = 100  # checkpoints, for one that holds its channels of deltas as a whole
_c = checkpoints.c
_blobs = table("checkpoint_blobs", *map(column, ("thread_id", "checkpoint_ns", "channel", "version")))
_b = _blobs.c


def _writes(name: str) -> TableClause:
    return table(name, column("thread_id"), column("checkpoint_ns"), column("checkpoint_id"))


_WRITES = {"postgresql": _writes("checkpoint_writes"), "sqlite": _writes("writes")}

_too_many = (
    select(_c.thread_id, func.count().label("present"))
    .where(_c.thread_id.in_(bindparam("threads", expanding=True)))
    .group_by(_c.thread_id)
    .having(func.count() > bindparam("most"))
)
_oldest = (
    select(_c.checkpoint_ns, _c.checkpoint_id)
    .where(_c.thread_id == bindparam("thread"))
    .order_by(_c.checkpoint_id, _c.checkpoint_ns)
    .limit(bindparam("count"))
)
_latest = (
    select(_c.checkpoint_ns, func.max(_c.checkpoint_id))
    .where(_c.thread_id == bindparam("thread"), _c.checkpoint_ns.in_(bindparam("namespaces", expanding=True)))
    .group_by(_c.checkpoint_ns)
)
_cut_off = (
    update(checkpoints)
    .where(
        _c.thread_id == bindparam("thread"),
        _c.checkpoint_ns == bindparam("namespace"),
        _c.checkpoint_id == bindparam("checkpoint"),
    )
    .values(parent_checkpoint_id=None)
)
_present_blobs = select(_b.checkpoint_ns, _b.channel, _b.version).where(
    _b.thread_id == bindparam("thread"), _b.checkpoint_ns.in_(bindparam("namespaces", expanding=True))
)
_used_blobs = text(
    """
    SELECT DISTINCT left_over.checkpoint_ns, used.key, used.value
    FROM checkpoints AS left_over, jsonb_each_text(left_over.checkpoint -> 'channel_versions') AS used
    WHERE left_over.thread_id = :thread AND left_over.checkpoint_ns IN :namespaces
    """
).bindparams(bindparam("namespaces", expanding=True))
_remove_blob = delete(_blobs).where(
    _b.thread_id == bindparam("thread"),
    _b.checkpoint_ns == bindparam("namespace"),
    _b.channel == bindparam("channel_name"),
    _b.version == bindparam("held"),
)
_next_threads = (
    select(threads.c.thread_id).where(threads.c.thread_id > bindparam("after")).order_by(threads.c.thread_id)
).limit(bindparam("count"))
_lock_unheld = (
    select(threads.c.thread_id)
    .where(threads.c.thread_id == bindparam("thread"), threads.c.held.is_(None))
    .with_for_update(key_share=True, skip_locked=True)
)


@dataclass(frozen=True, slots=True)
class Trimmed:
    """What one call of :func:`trim_unheld` did.

    :param checkpoints: how many it removed.
    :param done: the name of the last thread that needs no other call; None if there are no more threads.
    """

    checkpoints: int
    done: str | None


def trim(connection: Connection, names: Collection[str], keep: int) -> int:
    """Remove old checkpoints of threads that this transaction has locked, and whose runs write nothing meanwhile.

    A thread with more than twice ``keep`` checkpoints is left with the newest ``keep``, and with the older ones that a
    run may need: in this way most runs remove none. Of one call, at most :data:`MOST_AT_ONCE` of a thread go.

    :param keep: 0 removes nothing.
    :returns: how many were removed.
    """
    if not keep or not names:
        return 0
    found = connection.execute(_too_many, {"threads": sorted(names), "most": 2 * keep}).all()
    return sum(_trim_thread(connection, name, min(present - keep, MOST_AT_ONCE)) for name, present in found)


def trim_unheld(connection: Connection, keep: int, after: str, limit: int) -> Trimmed:
    """Do the same for the next threads, if no worker holds them: for those whose runs are ended from outside again and
    again, those that had more than :func:`trim` removes at once, and those of a store that kept more until now.

    :param after: the name of the last thread that is done; empty: begin with the first.
    :param limit: how many threads to look at.
    """
    names = list(connection.execute(_next_threads, {"after": after, "count": limit}).scalars())
    if not keep or not names or not inspect(connection).has_table(checkpoints.name):
        return Trimmed(0, None)
    found = {name for name, _ in connection.execute(_too_many, {"threads": names, "most": 2 * keep})}
    done = after
    for name in names:  # in the database's order, which is not Python's
        unheld = connection.execute(_lock_unheld, {"thread": name}).scalars().all() if name in found else []
        removed = trim(connection, unheld, keep)
        if removed:
            # Of one thread at a time: that bounds how long a call holds its locks. There may be more of it.
            return Trimmed(removed, done)
        done = name
    return Trimmed(0, done)


@dataclass(slots=True)
class _Going:
    """What goes of a thread: the checkpoints of each namespace, oldest first.

    :ivar cut: of each namespace that is not empty afterwards, the checkpoints that stay and whose parent goes.
    """

    ids: dict[str, list[str]] = field(default_factory=dict)
    cut: dict[str, list[str]] = field(default_factory=dict)


def _rows(thread: str, chosen: Mapping[str, Sequence[str]]) -> list[dict[str, str]]:
    return [
        {"thread": thread, "namespace": namespace, "checkpoint": one}
        for namespace, ids in chosen.items()
        for one in ids
    ]


def _trim_thread(connection: Connection, thread: str, count: int) -> int:
    going = _choose(connection, thread, count)
    rows = _rows(thread, going.ids)
    if not rows:
        return 0
    for name in (_WRITES[connection.dialect.name], checkpoints):
        is_one = (
            name.c.thread_id == bindparam("thread"),
            name.c.checkpoint_ns == bindparam("namespace"),
            name.c.checkpoint_id == bindparam("checkpoint"),
        )
        connection.execute(delete(name).where(*is_one), rows)
    cut = _rows(thread, going.cut)
    if cut:
        connection.execute(_cut_off, cut)
    if connection.dialect.name == "postgresql":
        _remove_blobs(connection, thread, list(going.ids))
    return len(rows)


def _remove_blobs(connection: Connection, thread: str, namespaces: Sequence[str]) -> None:
    """Remove the values that no checkpoint has any more: PostgreSQL's saver shares them between checkpoints."""
    wanted = {"thread": thread, "namespaces": namespaces}
    present = {tuple(blob) for blob in connection.execute(_present_blobs, wanted)}
    # Compared here: PostgreSQL would plan a join with a guess about the JSON, and may do it row by row.
    unused = present - {tuple(blob) for blob in connection.execute(_used_blobs, wanted)}
    rows = [{"thread": thread, "namespace": ns, "channel_name": name, "held": version} for ns, name, version in unused]
    if rows:
        connection.execute(_remove_blob, rows)


def _choose(connection: Connection, thread: str, count: int) -> _Going:
    """Choose among the oldest ``count`` checkpoints of a thread."""
    old: dict[str, list[str]] = {}
    for namespace, one in connection.execute(_oldest, {"thread": thread, "count": count}):
        old.setdefault(namespace, []).append(one)
    wanted = {"thread": thread, "namespaces": ["", *old]}
    latest: dict[str, str] = dict(list(connection.execute(_latest, wanted)))
    going = _Going()
    own: list[str] = []  # the old checkpoints of the graph itself that stay
    for namespace, ids in sorted(old.items()):  # the namespace of the graph itself is "": the first
        called_by = _called_by(connection, thread, namespace, latest[namespace]) if CALL in namespace else None
        if called_by is not None and called_by == latest.get(""):
            continue  # the call may not have ended
        if namespace and CALL not in namespace:
            ids, going.cut[namespace] = _unneeded(connection, thread, namespace, ids, own)
        elif called_by is None or ids[-1] != latest[namespace]:
            # It goes on, or only its older part is old: the newest of the old ones stays, to begin with.
            ids, first = _below_whole(connection, thread, namespace, ids)
            if ids:
                going.cut[namespace] = [first]
        if not namespace:
            own = old[namespace][len(ids) :]
        if ids:
            going.ids[namespace] = ids
    return going


def _unneeded(
    connection: Connection, thread: str, namespace: str, ids: Sequence[str], own: Iterable[str]
) -> tuple[list[str], list[str]]:
    """Choose among the old checkpoints of a subgraph that keeps its state between calls.

    A fork at a checkpoint of the graph calls it with the state of that time, and the next call goes on with the latest
    one: what these are rebuilt from stays. What is between them goes, also if one call made all of it.

    :param ids: the oldest first.
    :param own: the old checkpoints of the graph itself that stay.
    :returns: those that go, and those that stay and whose parent goes.
    """
    found = newest_first(connection, thread, namespace, ids[-1], len(ids))
    whole = {one for one, metadata in found if HAS_DELTAS not in metadata}
    newest = {bisect_right(ids, one) - 1 for one in own} - {-1}  # -1: not called until then
    stay: set[int] = set()
    for place in sorted(newest | {len(ids) - 1}):
        stay.add(place)
        while place and ids[place] not in whole and place - 1 not in stay:
            place -= 1
            stay.add(place)
    cut = [ids[place] for place in sorted(stay) if place and place - 1 not in stay]
    return [one for place, one in enumerate(ids) if place not in stay], cut


def _called_by(connection: Connection, thread: str, namespace: str, latest: str) -> str | None:
    """The graph's checkpoint at which a subgraph was called, if that is known."""
    [(_, metadata)] = newest_first(connection, thread, namespace, latest, 1)
    parents = metadata.get("parents")
    return parents.get("") if isinstance(parents, dict) else None


def _below_whole(connection: Connection, thread: str, namespace: str, ids: Sequence[str]) -> tuple[list[str], str]:
    """The newest of these checkpoints that is not rebuilt from older ones, and those before it. If it is not among the
    newest hundred, none goes: a later run may find one.
    """
    for most in (1, _DELTAS_LOOKED_AT):  # nearly always the first
        for one, metadata in newest_first(connection, thread, namespace, ids[-1], most):
            if HAS_DELTAS not in metadata and one in ids:
                return list(ids[: ids.index(one)]), one
    return [], ids[-1]
