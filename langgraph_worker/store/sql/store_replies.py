"""The replies that the store gives by itself, each with its cause and its remedy."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from langgraph_worker.domain import faults
from langgraph_worker.domain.faults import Fault
from langgraph_worker.domain.known_graphs import (
    KnownGraphs,
    unknown_graph_in_words,
    what_holds_up,
    why_it_waited,
)
from langgraph_worker.domain.late_runs import LastTry, late_while_it_waited
from langgraph_worker.domain.pauses import PauseChange
from langgraph_worker.store.sql.run_rows import ClaimableRun, ControlledRun, RunBrief, RunRow, WaitingRun
from workflow_events.log_words import in_utc
from workflow_events.results import WorkflowResultEvent


def superseded(run: ControlledRun | RunRow, newer_try: int, now: datetime) -> WorkflowResultEvent:
    """The answer to a request whose task has a newer attempt. A task that still waits for it may ask again."""
    text = f"superseded: try {newer_try} of the same task is newer than this one, try {run.try_number}"
    return _answer(run, faults.SUPERSEDED, text, now)


def replayed(run: RunRow, replay: int, now: datetime) -> WorkflowResultEvent:
    """The answer to a request of whose dead letter a later replay was accepted."""
    return _answer(run, faults.SUPERSEDED, f"superseded: replay {replay} of the same request is newer than this", now)


def cancelled(run: RunBrief, reason: str, requested_by: str | None, now: datetime) -> WorkflowResultEvent:
    """The answer to a request that was cancelled."""
    text = f"cancelled{f' by {requested_by}' if requested_by else ''}{f': {reason}' if reason else ''}"
    return _answer(run, faults.CANCELLED, text, now)


def refused(run: RunBrief, reason: str, now: datetime) -> WorkflowResultEvent:
    """The answer to a request that answers a question which is not pending."""
    return _answer(run, faults.INTERRUPT_NOT_PENDING, reason, now)


def left_behind(result: WorkflowResultEvent) -> WorkflowResultEvent:
    """The answer to a request that ends with questions, although its logical run was left for a fresh start."""
    fault = faults.INTERRUPT_NOT_PENDING
    text = (
        f"field 'interrupts': the run asks {', '.join(repr(one.id) for one in result.interrupts)}, but its task was "
        "started afresh meanwhile, so nobody may answer. Wait for what the new run asks"
    )
    changes = {"status": fault.status, "error": text, "error_type": fault.name, "retriable": fault.retriable}
    return result.model_copy(update=changes | {"result": None, "interrupts": []})


def past_deadline(
    run: WaitingRun,
    deadline: datetime,
    graphs: KnownGraphs,
    holder: UUID | None,
    now: datetime,
    last: LastTry | None = None,
    pause: PauseChange | None = None,
) -> WorkflowResultEvent:
    """The answer to a request whose deadline passed while it waited.

    :param holder: the request that holds its thread; None if none does.
    :param last: the last start, if the run waits to be repeated after it.
    :param pause: one that held the request back before its deadline passed.
    """
    name, thread = run.graph or "", run.thread_name or run.thread_id or ""
    other = holder if holder != run.correlation_id else None
    if last is not None:
        text = late_while_it_waited(deadline, last, what_holds_up(name, graphs, thread, other, pause))
    else:
        state = "could be taken up again" if run.attempts else "could start"
        late = run.accepted_at >= deadline
        why = why_it_waited(name, graphs, thread, other, came_late=late, pause=pause)
        text = f"the deadline {in_utc(deadline)} passed before the run {state}: {why}"
    return _answer(run, faults.DEADLINE, text, now)


def unknown_graph(run: WaitingRun, known: Collection[str], grace_seconds: float, now: datetime) -> WorkflowResultEvent:
    """The answer to a request for a graph that no worker announced in time."""
    return _answer(run, faults.UNKNOWN_GRAPH, unknown_graph_in_words(run.graph or "", known, grace_seconds), now)


def not_startable(run: RunBrief, now: datetime) -> WorkflowResultEvent:
    """The answer to a request whose row a worker cannot start from."""
    text = (
        "the stored request cannot be read, or its start cannot be stored; the worker's log says why. Send the request "
        "again"
    )
    return _answer(run, faults.NOT_STARTABLE, text, now)


def worker_lost(run: ClaimableRun, takeovers: int, now: datetime) -> WorkflowResultEvent:
    """The answer to a request whose workers keep vanishing."""
    text = (
        f"given up: workers vanished {takeovers} times while they ran it, so the run itself may be what ends "
        "them (memory, a crash in native code, a node that blocks the event loop). "
        f"The last was {run.worker_id!r}; see how it ended"
    )
    lost = _answer(run, faults.WORKER_LOST, text, now)
    return lost if run.spent is None else lost.model_copy(update={"usage": dict(run.spent.usage)})


def _answer(run: RunBrief, fault: Fault, error: str, now: datetime) -> WorkflowResultEvent:
    return WorkflowResultEvent(
        correlation_id=run.correlation_id,
        workflow_id=run.workflow_id,
        workflow_run_id=run.workflow_run_id,
        status=fault.status,
        error=error,
        error_type=fault.name,
        retriable=fault.retriable,
        thread_id=run.thread_id,
        thread_name=run.thread_name,
        attempts=run.attempts,
        started_at=run.started_at,
        finished_at=now,
    )
