"""Pauses: rows that claims ask. A pause and a claim exclude each other, so that after a pause nothing starts."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import fields, replace

from sqlalchemy import ColumnElement, Connection, FromClause, RowMapping, Select, and_, exists, func, select, text

from langgraph_worker.domain.pauses import PauseChange, newest
from langgraph_worker.domain.reply_encoding import clean
from langgraph_worker.store.migrations.schema import pauses, workflow_runs
from langgraph_worker.store.sql.statements import insert_or_replace
from workflow_events.control import PauseScope

_CLAIMING = 0x6C67_7073  # PostgreSQL's advisory lock: exclusive for pausing, shared for claiming
_columns = [pauses.c[field.name] for field in fields(PauseChange)]
# A newer version may know further scopes.
_all = select(*_columns).where(pauses.c.scope.in_([scope.value for scope in PauseScope]))
_on = _all.where(pauses.c.is_on).order_by(pauses.c.scope, pauses.c.name)

shared_with_claims = func.pg_advisory_xact_lock_shared(_CLAIMING)
"""On PostgreSQL a column of a claim's first statement: a pause waits for the claims under way, and they for it. What a
claim selects after that sees the pause. SQLite has one writer anyway.
"""


def pause(connection: Connection, changes: Collection[PauseChange]) -> list[PauseChange]:
    """See :meth:`~langgraph_worker.store.port.RunStore.pause`."""
    wanted = newest([_storable(change) for change in changes])
    if not _newer(connection, wanted):
        return []
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _CLAIMING})
    # Again, now that no other transaction can write one.
    changed = _newer(connection, wanted)
    if changed:
        rows = [{column.name: getattr(change, column.name) for column in _columns} for change in changed]
        connection.execute(insert_or_replace(connection, pauses), rows)
    return changed


def pauses_on(connection: Connection) -> list[PauseChange]:
    """See :meth:`~langgraph_worker.store.port.RunStore.pauses`."""
    return [_read(row) for row in connection.execute(_on).mappings()]


def last_change(connection: Connection, scope: PauseScope, name: str) -> PauseChange | None:
    """The newest change of a scope, whether it is a pause or the end of one."""
    found = connection.execute(_all.where(pauses.c.scope == scope.value, pauses.c.name == clean(name)))
    return next((_read(row) for row in found.mappings()), None)


def known_workflows(connection: Connection) -> list[str]:
    """The workflows of all requests that the store has. Reads every run: for a command, not for a worker."""
    return list(connection.execute(select(workflow_runs.c.workflow_id).distinct()).scalars())


def is_not_paused(runs: FromClause) -> ColumnElement[bool]:
    """The condition that no pause holds a run back.

    Three questions, none of which depends on the run: a database asks each once for a statement, not once for a run.
    """
    no_fleet = ~exists(_names_on(PauseScope.FLEET))
    graphs, workflows = _names_on(PauseScope.GRAPH), _names_on(PauseScope.WORKFLOW)
    return and_(no_fleet, runs.c.graph.not_in(graphs), runs.c.workflow_id.not_in(workflows))


def _names_on(scope: PauseScope) -> Select[tuple[str]]:
    return select(pauses.c.name).where(pauses.c.is_on, pauses.c.scope == scope.value)


def _newer(connection: Connection, wanted: dict[tuple[str, str], PauseChange]) -> list[PauseChange]:
    if not wanted:
        return []
    named = pauses.c.name.in_({name for _, name in wanted})
    kept = newest([_read(row) for row in connection.execute(_all.where(named)).mappings()])
    return [change for key, change in sorted(wanted.items()) if change.is_newer_than(kept.get(key))]


def _storable(change: PauseChange) -> PauseChange:
    """The change without what no database keeps in a text."""
    by = None if change.requested_by is None else clean(change.requested_by)
    return replace(change, name=clean(change.name), reason=clean(change.reason), requested_by=by)


def _read(row: RowMapping) -> PauseChange:
    return PauseChange(**{**row, "scope": PauseScope(row["scope"])})
