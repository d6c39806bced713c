"""Which runs may start next: the conditions, and the search for their threads.

Of each graph the search looks at the runs with the earliest turns, and at no more than may start: so neither a long
backlog, nor a graph that is full or paused, hides or slows down what waits for another graph.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BindParameter,
    ColumnElement,
    Connection,
    FromClause,
    Integer,
    Select,
    Subquery,
    Text,
    and_,
    bindparam,
    column,
    exists,
    func,
    or_,
    select,
    true,
    union_all,
)

from langgraph_worker.domain.models import Decision
from langgraph_worker.store.migrations.schema import UtcDateTime, interrupts, threads, workflow_runs
from langgraph_worker.store.sql import leases, pauses, questions
from langgraph_worker.store.sql.graph_places import Rooms
from langgraph_worker.store.sql.row_by_row import EVERY, Among
from langgraph_worker.store.sql.rows import Parameters
from langgraph_worker.store.sql.statements import in_chunks

# Of each graph, besides those that may start: enough that one deployment's many requests do not hide the others, and so
# few that a long backlog costs nothing. Those of all graphs together, but of each at least some.
_LOOKED_AT = 200
_LOOKED_AT_OF_GRAPH = 50
_UNITED = 100  # subqueries in one UNION: SQLite has a limit

_now = bindparam("now", type_=UtcDateTime())
_most: BindParameter[int] = bindparam("most", type_=Integer())


def look(graphs: Collection[str], now: datetime) -> Parameters:
    """The parameters of a statement with :func:`can_start` for these graphs."""
    return {"graphs": list(graphs), "now": now}


def lock_threads(
    connection: Connection, rooms: Rooms, limit: int, now: datetime, among: Among[str] = EVERY
) -> list[str]:
    """Lock the threads whose next run can start: up to ``limit``, and of each graph up to its room.

    :param among: threads.
    """
    if limit < 1 or not rooms:
        return []
    seen = limit + max(_LOOKED_AT // len(rooms), _LOOKED_AT_OF_GRAPH)
    places = [seen if room is None else min(seen, room) for room in rooms.values()]
    if connection.dialect.name == "postgresql":
        wanted = _every_on_postgres if among.are_all else _on_postgres(among)
        values: Parameters = {"names": list(rooms), "rooms": places, "seen": seen}
    else:
        wanted = _every_on_sqlite(len(rooms)) if among.are_all else _on_sqlite(len(rooms), among)
        values = {f"name_{number}": name for number, name in enumerate(rooms)}
        values |= {f"room_{number}": room for number, room in enumerate(places)}
    return list(connection.execute(wanted, {"now": now, "most": limit, **values}).scalars())


def startable(connection: Connection, ids: Collection[UUID], graphs: Collection[str], now: datetime) -> set[UUID]:
    """Those of these requests that are of one of the graphs and can start now."""
    found: set[UUID] = set()
    for some in in_chunks(ids):
        found |= set(connection.execute(_named, look(graphs, now) | {"ids": some}).scalars())
    return found


# The statements are constants: to build one takes longer than to execute it.


def _answers(runs: FromClause) -> ColumnElement[bool]:
    """The condition that a run answers questions. Its round does not say so: an event may have any round."""
    return runs.c.decision == Decision.ANSWER.value


def _waits_its_turn(runs: FromClause) -> ColumnElement[bool]:
    """The condition that a run is unfinished, in time, and not held up by a question of another lineage (rule 2)."""
    foreign = exists().where(
        interrupts.c.thread_id == runs.c.thread_id, questions.is_pending(), interrupts.c.lineage != runs.c.lineage
    )
    return and_(
        runs.c.finished_at.is_(None),
        or_(runs.c.deadline.is_(None), runs.c.deadline > _now),
        or_(_answers(runs), ~foreign),
    )


def _can_start(is_of_graph: ColumnElement[bool]) -> ColumnElement[bool]:
    """The condition that a run, joined to its thread, can start now and is the first on its thread."""
    runs, other = workflow_runs, workflow_runs.alias()
    its_turn = or_(
        and_(_answers(other), ~_answers(runs)),
        and_(other.c.seq < runs.c.seq, _answers(other) == _answers(runs)),
    )
    another_first = exists().where(other.c.thread_id == runs.c.thread_id, its_turn, _waits_its_turn(other))
    return and_(
        _waits_its_turn(runs),
        is_of_graph,
        or_(runs.c.not_before.is_(None), runs.c.not_before <= _now),
        pauses.is_not_paused(runs),
        leases.is_free(_now),
        ~another_first,
    )


can_start = _can_start(workflow_runs.c.graph.in_(bindparam("graphs", expanding=True)))
"""The condition that a run, joined to its thread, is of one of the graphs, can start now and is the first on its
thread. Its parameters: :func:`look`.
"""
_named = (
    select(workflow_runs.c.correlation_id)
    .join(threads, threads.c.thread_id == workflow_runs.c.thread_id)
    .where(can_start, workflow_runs.c.correlation_id.in_(bindparam("ids", expanding=True)))
)


def _earliest(graph: ColumnElement[str], most: ColumnElement[int], among: Among[str]) -> Select[Any]:
    """So many runs of one graph that can start: those with the earliest turns."""
    return (
        select(
            workflow_runs.c.turn,
            workflow_runs.c.seq,
            workflow_runs.c.thread_id,
            workflow_runs.c.workflow_id,
            func.coalesce(workflow_runs.c.deployment, "").label("deployment"),
        )
        .join(threads, threads.c.thread_id == workflow_runs.c.thread_id)
        .where(_can_start(workflow_runs.c.graph == graph), among.those(threads.c.thread_id))
        .order_by(workflow_runs.c.turn, workflow_runs.c.seq)
        .limit(most)
    )


def _on_postgres(among: Among[str]) -> Select[str]:
    values = bindparam("names", type_=ARRAY(Text())), bindparam("rooms", type_=ARRAY(Integer()))
    columns = column("name", Text()), column("room", Integer())
    graphs = func.unnest(*values).table_valued(*columns, name="graphs").render_derived()
    # A limit that depends on the graph would be a row that PostgreSQL cannot count before: it then reads all threads.
    seen = _earliest(graphs.c.name, bindparam("seen", type_=Integer()), among).lateral("seen")
    order = func.row_number().over(partition_by=graphs.c.name, order_by=(seen.c.turn, seen.c.seq))
    numbered = select(seen, graphs.c.room, order.label("number")).select_from(graphs.join(seen, true())).subquery()
    earliest = select(numbered).where(numbered.c.number <= numbered.c.room).subquery()
    # A pause waits for the claims under way, and they for it.
    return _locking(earliest).add_columns(pauses.shared_with_claims)


def _on_sqlite(graphs: int, among: Among[str]) -> Select[str]:
    def of_graph(number: int) -> Select[Any]:
        name, room = bindparam(f"name_{number}", type_=Text()), bindparam(f"room_{number}", type_=Integer())
        return select(_earliest(name, room, among).subquery())

    parts: Sequence[Select[Any]] = [of_graph(number) for number in range(graphs)]
    while len(parts) > 1:
        groups = [parts[start : start + _UNITED] for start in range(0, len(parts), _UNITED)]
        parts = [select(union_all(*group).subquery()) for group in groups]
    return _locking(parts[0].subquery())


def _locking(earliest: Subquery) -> Select[str]:
    """Lock the threads of these runs, without those that another transaction has locked.

    The place of each among those of its workflow; by these, its place in its deployment: names of workflows are
    anybody's.
    """
    by_turn = (earliest.c.turn, earliest.c.seq)
    place = func.row_number().over(partition_by=(earliest.c.deployment, earliest.c.workflow_id), order_by=by_turn)
    of_workflows = select(earliest, place.label("place")).subquery()
    by_place = (of_workflows.c.place, of_workflows.c.turn, of_workflows.c.seq)
    place = func.row_number().over(partition_by=of_workflows.c.deployment, order_by=by_place)
    kept = (of_workflows.c.turn, of_workflows.c.seq, of_workflows.c.thread_id)
    in_turn = select(*kept, place.label("place")).subquery()
    return (
        select(threads.c.thread_id)
        .join(in_turn, in_turn.c.thread_id == threads.c.thread_id)
        .order_by(in_turn.c.place, in_turn.c.turn, in_turn.c.seq)
        .limit(_most)
        .with_for_update(of=threads, key_share=True, skip_locked=True)
    )


_every_on_postgres = _on_postgres(EVERY)


@cache
def _every_on_sqlite(graphs: int) -> Select[str]:
    return _on_sqlite(graphs, EVERY)
