"""Ending runs, and the answers that the store gives by itself."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from langgraph_worker.domain import faults
from langgraph_worker.domain.faults import Fault
from langgraph_worker.domain.known_graphs import (
    SEEN_WITHIN_SECONDS,
    KnownGraphs,
    unknown_graph_in_words,
    what_holds_up,
    why_it_waited,
)
from langgraph_worker.domain.late_runs import LastTry, late_while_it_waited
from langgraph_worker.domain.models import Cancel, RunStatus, StepStatus
from langgraph_worker.domain.pauses import pause_before
from langgraph_worker.domain.reply_encoding import encode_reply
from langgraph_worker.domain.results import cut_error
from langgraph_worker.testing.memory_store import model_turns
from langgraph_worker.testing.memory_store.state import STATUS, End, Publication, Run, Thread, Transaction
from workflow_events.results import ModelUsage, WorkflowResultEvent

ADOPT_AFTER = timedelta(seconds=10)
KEEP_WORKERS = timedelta(days=1)  # without a sign of life


def end(tx: Transaction, run: Run, result: WorkflowResultEvent, traceparent: str | None = None) -> Run:
    """Store the end of an unfinished run. Its thread is left as it is."""
    sent, reply = encode_reply(result, tx.max_bytes, traceparent)
    closed = {RunStatus.COMPLETED: StepStatus.COMPLETED, RunStatus.INTERRUPTED: StepStatus.INTERRUPTED}
    status = closed.get(STATUS[sent.status], StepStatus.FAILED)
    steps = {
        step_id: (attempt, replace(step, status=status, finished_at=tx.now))
        if step.status is StepStatus.RUNNING
        else (attempt, step)
        for step_id, (attempt, step) in run.steps.items()
    }
    if run.status is RunStatus.PENDING:
        model_turns.give_back(tx, run.retried.turns)
    publication = Publication(1, tx.publisher, tx.now + ADOPT_AFTER)
    return tx.put(run, end=End(tx.now, sent, reply), steps=steps, publication=publication)


def end_with(tx: Transaction, run: Run, fault: Fault, text: str, usage: Mapping[str, ModelUsage] | None = None) -> Run:
    """End a run with an answer of the store's own."""
    answer = WorkflowResultEvent(
        correlation_id=run.correlation_id,
        workflow_id=run.workflow_id,
        workflow_run_id=run.workflow_run_id,
        status=fault.status,
        error=text,
        error_type=fault.name,
        retriable=fault.retriable,
        thread_id=run.place.thread_id if run.place else None,
        thread_name=run.place.thread_name if run.place else None,
        usage=dict(usage or {}),
        attempts=run.attempts,
        started_at=run.started_at,
        finished_at=tx.now,
    )
    return end(tx, run, answer)


def end_cancelled(tx: Transaction, run: Run, cancel: Cancel) -> Run:
    """End a run that a cancel names."""
    by = f" by {cancel.requested_by}" if cancel.requested_by else ""
    return end_with(tx, run, faults.CANCELLED, f"cancelled{by}{f': {cancel.reason}' if cancel.reason else ''}")


def publish_once_more(tx: Transaction, run: Run) -> Run:
    """Let this store publish the result of a run once more, if the run has ended."""
    if run.publication is None:
        return run
    publication = replace(
        run.publication,
        asked=run.publication.asked + 1,
        publisher=tx.publisher,
        adoptable_at=tx.now + ADOPT_AFTER,
        published_at=None,
    )
    return tx.put(run, publication=publication)


def raise_token(tx: Transaction, run: Run) -> None:
    """Void the lease of a run's owner; the thread stays held until that owner frees it."""
    name = tx.held_by(run)
    if name is not None:
        thread = tx.state.threads[name]
        tx.state.threads[name] = replace(thread, token=thread.token + 1)


def free_thread(tx: Transaction, run: Run) -> None:
    """Free the thread that a run holds."""
    name = tx.held_by(run)
    if name is not None:
        tx.state.threads[name] = Thread(tx.state.threads[name].token)


def expire(tx: Transaction, known_graphs: Collection[str], grace: timedelta) -> int:
    """See :meth:`~langgraph_worker.store.port.RunStore.expire`."""
    graphs = _known_graphs(tx, known_graphs)
    ended = 0
    for run in list(tx.unfinished()):
        since = _waits_since(tx, run)
        if since is None:
            continue
        if run.deadline is not None and run.deadline <= tx.now:
            end_with(tx, run, faults.DEADLINE, _why_late(tx, run, run.deadline, graphs), _usage_so_far(tx, run))
        elif run.graph not in graphs.names and since <= tx.now - grace:
            text = unknown_graph_in_words(run.graph or "", graphs.names, grace.total_seconds())
            end_with(tx, run, faults.UNKNOWN_GRAPH, text, _usage_so_far(tx, run))
        else:
            continue
        free_thread(tx, run)
        ended += 1
    return ended


def _why_late(tx: Transaction, run: Run, deadline: datetime, graphs: KnownGraphs) -> str:
    name, thread, holder = run.graph or "", _thread_of(run), _other_holder(tx, run)
    pause = pause_before(tx.state.pauses.values(), name, run.workflow_id, deadline)
    failure, attempt, _ = run.errors[-1] if run.errors else (None, 0, None)
    if failure is not None and failure.wait_seconds is not None and attempt == run.attempts and run.not_before:
        kind = failure.error_class
        retry = run.retried.times.get(kind, 0) if kind else 0
        last = LastTry(cut_error(failure.message), kind.value if kind else "", retry, run.not_before)
        return late_while_it_waited(deadline, last, what_holds_up(name, graphs, thread, holder, pause))
    late = run.accepted_at >= deadline
    why = why_it_waited(name, graphs, thread, holder, came_late=late, pause=pause)
    return f"the deadline {deadline.isoformat()} passed: {why}"


def _usage_so_far(tx: Transaction, run: Run) -> Mapping[str, ModelUsage] | None:
    spent = tx.state.spending.get((run.placed.lineage, run.placed.generation)) if run.attempts else None
    return None if spent is None else spent.usage


def _known_graphs(tx: Transaction, own: Collection[str]) -> KnownGraphs:
    names, served = set(own), set(own)
    for worker, seen_at in tx.state.workers.values():
        if seen_at >= tx.now - KEEP_WORKERS:
            names |= set(worker.graphs)
        if seen_at >= tx.now - timedelta(seconds=SEEN_WITHIN_SECONDS):
            served |= set(worker.graphs)
    return KnownGraphs(names, served)


def _other_holder(tx: Transaction, run: Run) -> UUID | None:
    thread = tx.state.threads.get(_thread_of(run))
    hold = thread.hold if thread is not None else None
    return hold.run if hold is not None and hold.until > tx.now else None


def _thread_of(run: Run) -> str:
    return run.place.thread_id if run.place is not None else ""


def _waits_since(tx: Transaction, run: Run) -> datetime | None:
    """Since when no worker runs it; None if one does."""
    name = tx.held_by(run)
    hold = tx.state.threads[name].hold if name is not None else None
    if hold is None:
        return run.waiting_since
    return hold.until if hold.until <= tx.now else None
