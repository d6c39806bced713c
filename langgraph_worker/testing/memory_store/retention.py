"""Remove runs that ended long ago."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from langgraph_worker.domain.models import Pruned
from langgraph_worker.testing.memory_store import model_turns, shared_spending
from langgraph_worker.testing.memory_store.state import Run, State, Transaction

GRACE = timedelta(hours=1)  # after a deadline


def prune(tx: Transaction, older_than: timedelta, tombstones: timedelta, limit: int) -> Pruned:
    """See :meth:`~langgraph_worker.store.port.RunStore.prune`."""
    state = tx.state
    for buried, until in list(state.tombstones.items()):
        if until <= tx.now:
            del state.tombstones[buried]
    for cancelled, noted in list(state.cancels.items()):
        if noted.until <= tx.now:
            del state.cancels[cancelled]
    going = _choose(tx, older_than, limit)
    for run in going.values():
        del state.runs[run.correlation_id]
        state.tombstones[run.correlation_id] = tx.now + tombstones
    state.questions[:] = [question for question in state.questions if question.asked_by not in going]
    for key, record in list(state.lineages.items()):
        if record.newest in going:
            del state.lineages[key]
            state.spending = {of: spent for of, spent in state.spending.items() if of[0] != key}
    threads = _remove_threads(state, going)
    _remove_tasks(state, {run.task for run in going.values() if run.task is not None})
    if len(going) < limit:
        shared_spending.forget(tx, older_than)
        model_turns.forget(tx)
        _remove_tasks(state, {task for task, since in state.tasks_since.items() if since < tx.now - older_than})
    return Pruned(len(going), threads)


def _choose(tx: Transaction, older_than: timedelta, limit: int) -> dict[UUID, Run]:
    """The oldest runs that may go, a lineage's newest after all of its others."""
    runs, lineages = tx.state.runs.values(), tx.state.lineages
    keeps = {run.place.lineage for run in runs if run.place and _has_to_stay(tx, run, older_than)}
    keeps |= {question.place.lineage for question in tx.state.questions if question.is_pending}
    can_go = [
        run
        for run in runs
        if not _has_to_stay(tx, run, older_than) and (run.place is None or run.place.lineage not in keeps)
    ]
    goes_last = {record.newest for key, record in lineages.items() if _others(tx.state, key, record.newest)}
    can_go.sort(key=lambda run: (run.correlation_id in goes_last, run.end.at if run.end else tx.now, run.seq))
    going = {run.correlation_id: run for run in can_go[:limit]}
    while early := {
        record.newest
        for key, record in lineages.items()
        if record.newest in going and not _others(tx.state, key, record.newest) <= going.keys()
    }:
        going = {correlation_id: run for correlation_id, run in going.items() if correlation_id not in early}
    return going


def _has_to_stay(tx: Transaction, run: Run, older_than: timedelta) -> bool:
    if run.end is None or run.publication is None or run.publication.published_at is None:
        return True
    in_time = run.deadline is not None and run.deadline >= tx.now - GRACE
    return in_time or run.end.at >= tx.now - older_than


def _others(state: State, lineage: str, newest: UUID) -> set[UUID]:
    return {
        run.correlation_id
        for run in state.runs.values()
        if run.place is not None and run.place.lineage == lineage and run.correlation_id != newest
    }


def _remove_threads(state: State, gone: dict[UUID, Run]) -> int:
    used = {run.place.thread_id for run in state.runs.values() if run.place}
    left = {run.place.thread_id for run in gone.values() if run.place} - used
    for name in left:
        del state.threads[name]
    return len(left)


def _remove_tasks(state: State, tasks: set[str]) -> None:
    """Remove those of these tasks that have no run."""
    for task in tasks - {run.task for run in state.runs.values()}:
        state.tasks.pop(task, None)
        state.tasks_since.pop(task, None)
