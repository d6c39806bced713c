"""How a run ends in the store: the answers that the store gives by itself, and the columns that every ending sets."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, bindparam, update

from langgraph_worker import faults
from langgraph_worker.faults import Fault
from langgraph_worker.reply import encode_reply
from langgraph_worker.store.port import RunStatus, StepStatus
from langgraph_worker.store.schema import step_executions, workflow_runs
from langgraph_worker.store.statements import Row
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

_ENDING = (
    "status",
    "result_status",
    "error_type",
    "finished_at",
    "reply_key",
    "reply_value",
    "reply_headers",
    "published_at",
    "publish_asked",
    "publisher",
    "adoptable_at",
)

_ADOPT_AFTER = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Terms:
    """What every ending of one transaction has in common.

    :param max_bytes: limit of an encoded result.
    :param publisher: the store client that writes it, and is to publish it.
    :param now: the store's time.
    """

    max_bytes: int
    publisher: str
    now: datetime

    def publication(self) -> Row:
        """Who publishes: whoever has stored the result. If it does not come to that in time, anybody."""
        return {"publisher": self.publisher, "adoptable_at": self.now + _ADOPT_AFTER}

    def once_more(self) -> dict[str, Any]:
        """An ended run is to be published again; what was handed out before is not the acknowledgement of this."""
        return {"published_at": None, "publish_asked": workflow_runs.c.publish_asked + 1, **self.publication()}


def ending(result: WorkflowResultEvent, terms: Terms) -> Row:
    """The columns of a run that ends with this result, which is to be published."""
    sent, encoded = encode_reply(result, terms.max_bytes)
    values: tuple[Any, ...] = (
        _RUN_STATUS[sent.status].value,
        sent.status.value,
        sent.error_type,
        terms.now,
        encoded.key,
        encoded.value,
        [[name, value.decode("latin-1")] for name, value in encoded.headers],
        None,
        1,
    )
    return dict(zip(_ENDING, values, strict=False)) | terms.publication()


_end = (
    update(workflow_runs)
    .where(workflow_runs.c.correlation_id == bindparam("of"), workflow_runs.c.finished_at.is_(None))
    .values({name: bindparam(name) for name in _ENDING})
)
_close_steps = (
    update(step_executions)
    .where(
        step_executions.c.correlation_id == bindparam("of"),
        step_executions.c.status == StepStatus.RUNNING.value,
    )
    .values(status=bindparam("closed"), finished_at=bindparam("at"))
)


def end_runs(connection: Connection, endings: Mapping[UUID, Row]) -> None:
    """Write endings of unfinished runs, by correlation id, and close their open steps. Leases are left as they are."""
    if not endings:
        return
    connection.execute(_end, [{**{name: row[name] for name in _ENDING}, "of": of} for of, row in endings.items()])
    closing = [
        {
            "of": of,
            "closed": _STEP_STATUS.get(RunStatus(row["status"]), StepStatus.FAILED).value,
            "at": row["finished_at"],
        }
        for of, row in endings.items()
    ]
    connection.execute(_close_steps, closing)


def superseded(run: Mapping[str, Any], newer_try: int, now: datetime) -> WorkflowResultEvent:
    """The answer to a request whose task has a newer attempt; whoever still waits for it may ask again."""
    text = f"superseded: try {newer_try} of the same task is newer than this one, try {run['try_number']}"
    return _answer(run, faults.SUPERSEDED, text, now)


def cancelled(run: Mapping[str, Any], reason: str, requested_by: str | None, now: datetime) -> WorkflowResultEvent:
    """The answer to a request that somebody cancelled."""
    text = f"cancelled{f' by {requested_by}' if requested_by else ''}{f': {reason}' if reason else ''}"
    return _answer(run, faults.CANCELLED, text, now)


def refused(run: Mapping[str, Any], reason: str, now: datetime) -> WorkflowResultEvent:
    """The answer to a request that answers a question which is not pending."""
    return _answer(run, faults.INTERRUPT_NOT_PENDING, reason, now)


def past_deadline(run: Mapping[str, Any], now: datetime) -> WorkflowResultEvent:
    """The answer to a request that waited longer than its sender wanted."""
    state = "could be taken up again" if run["attempts"] else "could start"
    text = (
        f"the deadline {run['deadline'].isoformat(timespec='seconds')} passed before the run {state}: every worker was "
        f"busy or away, or its thread was. Allow the task a longer timeout, or run more workers"
    )
    return _answer(run, faults.DEADLINE, text, now)


def unknown_graph(run: Mapping[str, Any], known: Collection[str], grace: float, now: datetime) -> WorkflowResultEvent:
    """The answer to a request for a graph that no worker came to know in time."""
    text = (
        f"graph {run['graph']!r} is not known, and did not become so within {grace:g} s. "
        f"Known: {', '.join(sorted(known)) or 'none'}. Correct the name, or add the graph to langgraph.json"
    )
    return _answer(run, faults.UNKNOWN_GRAPH, text, now)


def worker_lost(run: Mapping[str, Any], now: datetime) -> WorkflowResultEvent:
    """The answer to a request whose workers keep vanishing."""
    text = (
        f"given up: workers vanished {run['takeovers']} times while they ran it, so the run itself may be what ends "
        f"them (memory, a crash in native code). The last was {run['worker_id']!r}; see how it ended"
    )
    return _answer(run, faults.WORKER_LOST, text, now)


def _answer(run: Mapping[str, Any], fault: Fault, error: str, now: datetime) -> WorkflowResultEvent:
    return WorkflowResultEvent(
        correlation_id=run["correlation_id"],
        workflow_id=run["workflow_id"],
        workflow_run_id=run["workflow_run_id"],
        status=fault.status,
        error=error,
        error_type=fault.name,
        retriable=fault.retriable,
        thread_id=run["thread_id"],
        attempts=run["attempts"],
        started_at=run["started_at"],
        finished_at=now,
    )
