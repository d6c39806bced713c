"""Stored results on their way to the broker: handed out until the broker's acknowledgement is stored."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, and_, bindparam, func, or_, select, update

from langgraph_worker.domain.faults import WORKER_LOST
from langgraph_worker.domain.models import DeadLetter, Origin, Outbound
from langgraph_worker.store.migrations.schema import workflow_runs
from langgraph_worker.store.sql.rows import columns_of
from langgraph_worker.store.sql.run_rows import UnpublishedRun
from workflow_events.models import WorkflowEvent
from workflow_events.results import WorkflowResultEvent

_runs = workflow_runs.c
_MAX_READ_BYTES = 16_000_000  # of results that are read together; a larger one is read alone
_waiting = (
    select(_runs.correlation_id, func.length(_runs.reply_value).label("size"))
    .where(
        _runs.published_at.is_(None),
        _runs.finished_at.is_not(None),
        or_(_runs.publisher == bindparam("client"), _runs.adoptable_at <= bindparam("now"), _runs.publisher.is_(None)),
    )
    .order_by(_runs.finished_at, _runs.seq)
)
_never_published = _waiting.where(_runs.publish_asked == 1)
_asked_again = _waiting.where(_runs.publish_asked > 1)
_unpublished = (
    select(*columns_of(UnpublishedRun, workflow_runs))
    .where(_runs.correlation_id.in_(bindparam("ids", expanding=True)), _runs.published_at.is_(None))
    .order_by(_runs.publish_asked > 1, _runs.finished_at, _runs.seq)
)
_published = (
    update(workflow_runs)
    .where(_runs.correlation_id == bindparam("run"), _runs.publish_asked == bindparam("asked"))
    .values(published_at=bindparam("acknowledged_at"))
)
_dead_lettered = (
    update(workflow_runs)
    .where(
        _runs.correlation_id.in_(bindparam("ids", expanding=True)),
        _runs.error_type == WORKER_LOST.name,
        _runs.dead_lettered_at.is_(None),
    )
    .values(dead_lettered_at=bindparam("acknowledged_at"))
)


def _dead_letter(row: UnpublishedRun) -> DeadLetter | None:
    """The dead letter that goes out with a result, until both are acknowledged; None if the request needs none."""
    if row.error_type != WORKER_LOST.name or row.dead_lettered_at is not None:
        return None
    result = WorkflowResultEvent.model_validate_json(row.reply_value)
    origin = Origin(row.cluster, row.topic, row.partition, row.offset)
    event = WorkflowEvent.model_validate_json(row.event or "")
    return DeadLetter(event, origin, WORKER_LOST.name, result.error or "", result.attempts)


def _outbound(row: UnpublishedRun) -> Outbound:
    return Outbound(
        row.correlation_id,
        row.reply_topic,
        row.reply_key,
        row.reply_value,
        [(name, value.encode("latin-1")) for name, value in row.reply_headers],
        _dead_letter(row),
        is_repeat=row.publish_asked > 1,
    )


def _first_that_fit(ids: Sequence[UUID], sizes: Mapping[UUID, int]) -> list[UUID]:
    """As many of the first results as may be read together, but at least one."""
    total = 0
    chosen: list[UUID] = []
    for correlation_id in ids:
        total += sizes[correlation_id] or 0
        if chosen and total > _MAX_READ_BYTES:
            break
        chosen.append(correlation_id)
    return chosen


class ResultsToPublish:
    """Remembers which publication of each result was handed out (the run's ``publish_asked``).

    A request that is delivered again while its result is on its way asks for a second publication: its sender may read
    the results topic only from a place after the first. So the acknowledgement of the first does not count for the
    second.
    """

    def __init__(self) -> None:
        self._handed: dict[UUID, int] = {}

    def find(
        self, connection: Connection, limit: int, skip: Collection[UUID], client: str, now: datetime
    ) -> list[UUID]:
        """The results to hand out now, see :meth:`~langgraph_worker.store.port.RunStore.unpublished`."""
        most = limit + len(skip)
        waiting: dict[UUID, int] = {}
        for some in (_never_published, _asked_again):
            if len(waiting) < most:
                found = connection.execute(some.limit(most - len(waiting)), {"client": client, "now": now})
                waiting |= {row.correlation_id: row.size for row in found}
        if len(waiting) < most:  # these are all: another client has published the others
            self._handed = {run: asked for run, asked in self._handed.items() if run in waiting}
        return _first_that_fit([run for run in waiting if run not in skip][:limit], waiting)

    def hand_out(self, connection: Connection, chosen: Sequence[UUID]) -> list[Outbound]:
        """Those of these results that are still to be published, in their order."""
        rows = UnpublishedRun.read(connection.execute(_unpublished, {"ids": chosen})) if chosen else []
        handed = [_outbound(row) for row in rows]
        for row in rows:
            # The first one is kept: that publication may still be under way when the result is handed out again.
            self._handed.setdefault(row.correlation_id, row.publish_asked)
        return handed

    def published(self, connection: Connection, correlation_ids: Collection[UUID], now: datetime) -> None:
        """See :meth:`~langgraph_worker.store.port.RunStore.published`."""
        if correlation_ids:
            connection.execute(_dead_lettered, {"ids": list(correlation_ids), "acknowledged_at": now})
        acknowledged = [
            {"run": run, "asked": self._handed[run], "acknowledged_at": now}
            for run in correlation_ids
            if run in self._handed
        ]
        if acknowledged:
            connection.execute(_published, acknowledged)

    def forget(self, correlation_ids: Collection[UUID]) -> None:
        """Forget these results: that they are published is stored."""
        for correlation_id in correlation_ids:
            self._handed.pop(correlation_id, None)


def adopt_all(connection: Connection, client: str) -> None:
    """Give all unpublished results to this client: the process that had the store before it is known to be gone."""
    waiting = and_(_runs.published_at.is_(None), _runs.finished_at.is_not(None))
    connection.execute(update(workflow_runs).where(waiting).values(publisher=client))
