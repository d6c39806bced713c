"""Finding runs: what a list shows of each, the newest first, by index."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Row, and_, or_, select, text, tuple_

from langgraph_worker.domain.id_prefixes import ids_between
from langgraph_worker.domain.models import Decision
from langgraph_worker.domain.run_views import UNFINISHED, PageKey, RunFilter, RunPage, RunScope, RunSummary, ViewStatus
from langgraph_worker.store.migrations.schema import workflow_runs

_runs = workflow_runs.c
_COPIED = (
    "correlation_id",
    "graph",
    "workflow_id",
    "workflow_run_id",
    "try_number",
    "replay",
    "round",
    "thread_id",
    "thread_name",
    "accepted_at",
    "started_at",
    "finished_at",
    "attempts",
    "worker_id",
    "error_type",
)
SUMMARY_COLUMNS = [_runs[name] for name in ("seq", "status", "result_status", "decision", "deployment", *_COPIED)]
"""What :func:`summary` needs of a row."""

NEWEST_FIRST = (_runs.accepted_at.desc(), _runs.seq.desc())
_key = tuple_(_runs.accepted_at, _runs.seq)


def find(connection: Connection, wanted: RunFilter, limit: int, after: PageKey | None) -> RunPage:
    """See :meth:`~langgraph_worker.store.views.RunViews.find`."""
    conditions = list(_conditions(wanted))
    if after is not None:
        conditions.append(_key < (after.accepted_at, after.seq))
    listed = select(*SUMMARY_COLUMNS).where(*conditions).order_by(*NEWEST_FIRST).limit(limit + 1)
    found = [summary(row) for row in connection.execute(listed)]
    runs = tuple(found[:limit])
    return RunPage(runs, runs[-1].key if len(found) > limit and runs else None)


def ids_beginning_with(connection: Connection, prefix: str, limit: int) -> list[UUID]:
    """See :meth:`~langgraph_worker.store.views.RunViews.ids_beginning_with`."""
    first, last = ids_between(prefix)
    named = select(_runs.correlation_id).where(_runs.correlation_id.between(first, last))
    return list(connection.execute(named.order_by(_runs.correlation_id).limit(limit)).scalars())


def summary(row: Row[Any]) -> RunSummary:
    """A row of :data:`SUMMARY_COLUMNS`, perhaps with further columns."""
    values = row._mapping
    return RunSummary(
        key=PageKey(values["accepted_at"], values["seq"]),
        status=ViewStatus(values["result_status"] or values["status"].lower()),
        decision=Decision(values["decision"]),
        deployment="" if _is_plain(values["deployment"], values["thread_id"]) else values["deployment"],
        **{name: values[name] for name in _COPIED},
    )


def _is_plain(deployment: str | None, thread_id: str | None) -> bool:
    return deployment is None and thread_id is not None


def _conditions(wanted: RunFilter) -> Iterator[ColumnElement[bool]]:
    for column, value in (
        (_runs.graph, wanted.graph),
        (_runs.workflow_id, wanted.workflow_id),
        (_runs.workflow_run_id, wanted.workflow_run_id),
        (_runs.error_type, wanted.error_type),
    ):
        if value is not None:
            yield column == value
    if wanted.thread is not None:
        yield or_(_runs.thread_id == wanted.thread, _runs.thread_name == wanted.thread)
    if wanted.since is not None:
        yield _runs.accepted_at >= wanted.since
    if wanted.before is not None:
        yield _runs.accepted_at < wanted.before
    if wanted.statuses:
        yield _has_status(wanted.statuses)
    yield from within(wanted.scope)


def within(scope: RunScope) -> Iterator[ColumnElement[bool]]:
    """What holds of the runs of a scope."""
    if scope.graphs is not None:
        yield _runs.graph.in_(sorted(scope.graphs))
    if scope.deployments is not None:
        named = _runs.deployment.in_(sorted(scope.deployments))  # by index, as COALESCE would not be
        plain = and_(_runs.deployment.is_(None), _runs.thread_id.is_not(None))
        yield or_(named, plain) if "" in scope.deployments else named


# In these words, or the partial index cannot serve: SQLite compares a condition with that of the index word by word.
_unsuccessful = _runs.result_status != text("'success'")


def _has_status(statuses: frozenset[ViewStatus]) -> ColumnElement[bool]:
    ended, open_ = statuses - UNFINISHED, statuses & UNFINISHED
    parts: list[ColumnElement[bool]] = []
    if ended:
        has = _runs.result_status.in_(sorted(status.value for status in ended))
        parts.append(has if ViewStatus.SUCCESS in ended else and_(has, _unsuccessful))
    if open_:
        parts.append(_runs.status.in_(sorted(status.value.upper() for status in open_)))
    return or_(*parts)
