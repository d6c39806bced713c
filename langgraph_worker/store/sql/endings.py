"""How a run ends in the store: the columns that every ending sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection, and_, bindparam, select, update

from langgraph_worker.domain.models import RunStatus, StepStatus
from langgraph_worker.domain.reply_encoding import encode_reply
from langgraph_worker.domain.retry_policy import Retried
from langgraph_worker.store.migrations.schema import step_executions, workflow_runs
from langgraph_worker.store.sql import model_turns
from langgraph_worker.store.sql.rows import Parameters, column_names
from langgraph_worker.store.sql.run_rows import RunEnding
from workflow_events.results import ResultStatus, WorkflowResultEvent

MAX_TAKEOVERS = 3
"""A run whose owner vanishes once more than this without a new checkpoint is not tried again: it may be what kills
its workers."""

_RUN_STATUS = {
    ResultStatus.SUCCESS: RunStatus.COMPLETED,
    ResultStatus.FAILURE: RunStatus.FAILED,
    ResultStatus.ERROR: RunStatus.FAILED,
    ResultStatus.TIMEOUT: RunStatus.FAILED,
    ResultStatus.CANCELLED: RunStatus.CANCELLED,
    ResultStatus.INTERRUPTED: RunStatus.INTERRUPTED,
}
_STEP_STATUS = {RunStatus.COMPLETED: StepStatus.COMPLETED, RunStatus.INTERRUPTED: StepStatus.INTERRUPTED}

_ADOPT_AFTER_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class EndingContext:
    """What every ending of one transaction has in common.

    :param max_bytes: limit of an encoded result.
    :param publisher: the store client that writes it, and is to publish it.
    :param now: the store's time.
    :param keep_checkpoints: see :func:`~langgraph_worker.store.sql.trimming.trim`.
    :param keep_of_graphs: lower numbers, by graph.
    """

    max_bytes: int
    publisher: str
    now: datetime
    keep_checkpoints: int = 0
    keep_of_graphs: Mapping[str, int] = field(default_factory=dict)

    def kept(self, graph: str, asked: int | None) -> int:
        """How many checkpoints a thread keeps when a run of this graph ends; 0: all.

        :param asked: what its event asks for, if it does.
        """
        limits = (self.keep_checkpoints or None, self.keep_of_graphs.get(graph), asked)
        return min((limit for limit in limits if limit is not None), default=0)

    @property
    def adoptable_at(self) -> datetime:
        """When any store client may publish what this one has not published by then."""
        return self.now + timedelta(seconds=_ADOPT_AFTER_SECONDS)

    def publish_again(self) -> Parameters:
        """The columns of an ended run that is to be published again.

        With ``publish_asked`` raised, the acknowledgement of an earlier publication does not count for this one.
        """
        return {
            "published_at": None,
            "publish_asked": workflow_runs.c.publish_asked + 1,
            "publisher": self.publisher,
            "adoptable_at": self.adoptable_at,
        }


def ending(result: WorkflowResultEvent, context: EndingContext, traceparent: str | None = None) -> RunEnding:
    """The ending of a run with this result, which is to be published.

    :param traceparent: the trace context for the result's header.
    """
    sent, encoded = encode_reply(result, context.max_bytes, traceparent)
    return RunEnding(
        status=_RUN_STATUS[sent.status].value,
        result_status=sent.status.value,
        error_type=sent.error_type,
        finished_at=context.now,
        reply_key=encoded.key,
        reply_value=encoded.value,
        reply_headers=[[name, value.decode("latin-1")] for name, value in encoded.headers],
        published_at=None,
        publish_asked=1,
        publisher=context.publisher,
        adoptable_at=context.adoptable_at,
    )


_end = (
    update(workflow_runs)
    .where(workflow_runs.c.correlation_id == bindparam("run"), workflow_runs.c.finished_at.is_(None))
    .values({name: bindparam(name) for name in column_names(RunEnding)})
)
_close_steps = (
    update(step_executions)
    .where(
        step_executions.c.correlation_id == bindparam("run"),
        step_executions.c.status == StepStatus.RUNNING.value,
    )
    .values(status=bindparam("closed_as"), finished_at=bindparam("closed_at"))
)


def end_from_outside(connection: Connection, endings: Mapping[UUID, RunEnding], now: datetime) -> None:
    """As :func:`end_runs`, for runs that their owner does not end. One that has none frees the turns that it kept."""
    if endings:
        waits = and_(
            workflow_runs.c.correlation_id.in_(endings),
            workflow_runs.c.status == RunStatus.PENDING.value,
            workflow_runs.c.retried.is_not(None),
        )
        kept = connection.execute(select(workflow_runs.c.retried).where(waits)).scalars()
        model_turns.give_back(connection, [Retried.from_json(one).turns for one in kept], now)
    end_runs(connection, endings)


def end_runs(connection: Connection, endings: Mapping[UUID, RunEnding]) -> None:
    """Write endings of unfinished runs, by correlation id, and close their open steps. Leases are left as they are."""
    if not endings:
        return
    connection.execute(_end, [ending.parameters(run=run) for run, ending in endings.items()])
    closing = [
        {
            "run": run,
            "closed_as": _STEP_STATUS.get(RunStatus(ending.status), StepStatus.FAILED).value,
            "closed_at": ending.finished_at,
        }
        for run, ending in endings.items()
    ]
    connection.execute(_close_steps, closing)
