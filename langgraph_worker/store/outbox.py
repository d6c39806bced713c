"""Stored results on their way to the broker: handed out until their acknowledgement is noted."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, and_, bindparam, func, or_, select, update

from langgraph_worker.faults import WORKER_LOST
from langgraph_worker.store.port import DeadLetter, Origin, Outbound, RunStatus
from langgraph_worker.store.schema import workflow_runs
from workflow_events.models import WorkflowEvent
from workflow_events.results import WorkflowResultEvent

_runs = workflow_runs.c
_AT_ONCE = 16_000_000  # bytes of results that are read together, or one
_waiting = (
    select(_runs.correlation_id, func.length(_runs.reply_value).label("size"))
    .where(
        _runs.published_at.is_(None),
        _runs.finished_at.is_not(None),
        or_(_runs.publisher == bindparam("me"), _runs.adoptable_at <= bindparam("now"), _runs.publisher.is_(None)),
    )
    .order_by(_runs.finished_at, _runs.seq)
)
_unpublished = (
    select(
        _runs.correlation_id,
        _runs.reply_topic,
        _runs.reply_key,
        _runs.reply_value,
        _runs.reply_headers,
        _runs.publish_asked,
        _runs.error_type,
        _runs.dead_lettered_at,
        _runs.event,
        _runs.cluster,
        _runs.topic,
        _runs.partition,
        _runs.offset,
    )
    .where(_runs.correlation_id.in_(bindparam("ids", expanding=True)), _runs.published_at.is_(None))
    .order_by(_runs.finished_at, _runs.seq)
)
_published = (
    update(workflow_runs)
    .where(_runs.correlation_id == bindparam("of"), _runs.publish_asked == bindparam("asked"))
    .values(published_at=bindparam("at"))
)


_buried = (
    update(workflow_runs)
    .where(
        _runs.correlation_id.in_(bindparam("ids", expanding=True)),
        _runs.error_type == WORKER_LOST.name,
        _runs.dead_lettered_at.is_(None),
    )
    .values(dead_lettered_at=bindparam("at"))
)


def _dead_letter(row: Any) -> DeadLetter | None:
    """With the result of a request that is to be kept for a person, until both are acknowledged."""
    if row.error_type != WORKER_LOST.name or row.dead_lettered_at is not None:
        return None
    result = WorkflowResultEvent.model_validate_json(row.reply_value)
    origin = Origin(row.cluster, row.topic, row.partition, row.offset)
    return DeadLetter(WorkflowEvent.model_validate_json(row.event), origin, row.error_type, result.error or "")


def _some(ids: Sequence[UUID], sizes: Mapping[UUID, int]) -> list[UUID]:
    """As many of the first as may be read together, at least one."""
    total = 0
    chosen: list[UUID] = []
    for of in ids:
        total += sizes[of] or 0
        if chosen and total > _AT_ONCE:
            break
        chosen.append(of)
    return chosen


class Outbox:
    """Remembers for which asking each result was handed out.

    A request that is delivered again while its result is on its way asks once more: whoever sent it may have begun to
    read behind that publication. So the acknowledgement of the first does not count for the second.
    """

    def __init__(self) -> None:
        self._handed: dict[UUID, int] = {}

    def unpublished(
        self, connection: Connection, limit: int, skip: Collection[UUID], me: str, now: datetime
    ) -> list[Outbound]:
        """See :meth:`~langgraph_worker.store.port.RunStore.unpublished`."""
        most = limit + len(skip)
        found = connection.execute(_waiting.limit(most), {"me": me, "now": now})
        waiting = {row.correlation_id: row.size for row in found}
        if len(waiting) < most:  # all there are: the others were published by somebody else
            self._handed = {of: asked for of, asked in self._handed.items() if of in waiting}
        chosen = _some([of for of in waiting if of not in skip][:limit], waiting)
        rows = connection.execute(_unpublished, {"ids": chosen}).all() if chosen else []
        for row in rows:
            # The first: what is handed out again may already be under way, asked for by whoever came before.
            self._handed.setdefault(row.correlation_id, row.publish_asked)
        return [
            Outbound(
                row.correlation_id,
                row.reply_topic,
                row.reply_key,
                row.reply_value,
                [(name, value.encode("latin-1")) for name, value in row.reply_headers],
                _dead_letter(row),
            )
            for row in rows
        ]

    def published(self, connection: Connection, correlation_ids: Collection[UUID], now: datetime) -> None:
        """See :meth:`~langgraph_worker.store.port.RunStore.published`."""
        if correlation_ids:
            connection.execute(_buried, {"ids": list(correlation_ids), "at": now})
        marks = [{"of": of, "asked": self._handed[of], "at": now} for of in correlation_ids if of in self._handed]
        if marks:
            connection.execute(_published, marks)

    def forget(self, correlation_ids: Collection[UUID]) -> None:
        """Their acknowledgement is stored."""
        for correlation_id in correlation_ids:
            self._handed.pop(correlation_id, None)


def adopt_all(connection: Connection, me: str) -> None:
    """Publish what nobody else will: they are known to be gone."""
    waiting = and_(_runs.published_at.is_(None), _runs.finished_at.is_not(None))
    connection.execute(update(workflow_runs).where(waiting).values(publisher=me))


def counts(connection: Connection) -> dict[RunStatus, int]:
    """See :meth:`~langgraph_worker.store.port.RunStore.counts`."""
    rows = connection.execute(select(_runs.status, func.count()).group_by(_runs.status))
    found = {RunStatus(status): count for status, count in rows}
    return {status: found.get(status, 0) for status in RunStatus}
