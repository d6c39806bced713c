"""Stored results on their way to the broker: handed out until their acknowledgement is noted."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, bindparam, func, select, update

from langgraph_worker.store.port import Outbound, RunStatus
from langgraph_worker.store.schema import workflow_runs

_runs = workflow_runs.c
_unpublished = (
    select(
        _runs.correlation_id,
        _runs.reply_topic,
        _runs.reply_key,
        _runs.reply_value,
        _runs.reply_headers,
        _runs.publish_asked,
    )
    .where(_runs.published_at.is_(None), _runs.finished_at.is_not(None))
    .order_by(_runs.finished_at, _runs.seq)
)
_published = (
    update(workflow_runs)
    .where(_runs.correlation_id == bindparam("of"), _runs.publish_asked == bindparam("asked"))
    .values(published_at=bindparam("at"))
)


class Outbox:
    """Remembers for which asking each result was handed out.

    A request that is delivered again while its result is on its way asks once more: whoever sent it may have begun to
    read behind that publication. So the acknowledgement of the first does not count for the second.
    """

    def __init__(self) -> None:
        self._handed: dict[UUID, int] = {}

    def unpublished(self, connection: Connection, limit: int) -> list[Outbound]:
        """See :meth:`~langgraph_worker.store.port.RunStore.unpublished`."""
        rows = (connection.execute(_unpublished.limit(limit))).all()
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
            )
            for row in rows
        ]

    def published(self, connection: Connection, correlation_ids: Collection[UUID], now: datetime) -> None:
        """See :meth:`~langgraph_worker.store.port.RunStore.published`."""
        marks = [{"of": of, "asked": self._handed[of], "at": now} for of in correlation_ids if of in self._handed]
        if marks:
            connection.execute(_published, marks)

    def forget(self, correlation_ids: Collection[UUID]) -> None:
        """Their acknowledgement is stored."""
        for correlation_id in correlation_ids:
            self._handed.pop(correlation_id, None)


def counts(connection: Connection) -> dict[RunStatus, int]:
    """See :meth:`~langgraph_worker.store.port.RunStore.counts`."""
    rows = connection.execute(select(_runs.status, func.count()).group_by(_runs.status))
    found = {RunStatus(status): count for status, count in rows}
    return {status: found.get(status, 0) for status in RunStatus}
