"""What steers requests from outside."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from langgraph_worker.attempts import Seen, is_newer
from langgraph_worker.store.port import Cancel, Cancelled, RunStatus
from tests.support.memory_store import questions
from tests.support.memory_store.accept import supersede as end_older
from tests.support.memory_store.endings import end_cancelled, publish_once_more, raise_token
from tests.support.memory_store.state import Run, Transaction
from workflow_events.models import Attempt


def cancel(tx: Transaction, cancels: Sequence[Cancel], keep: timedelta) -> dict[UUID, Cancelled]:
    """See :meth:`~langgraph_worker.store.port.RunStore.cancel`. Of several for one request the first counts."""
    became: dict[UUID, Cancelled] = {}
    for one in cancels:
        if one.correlation_id not in became:
            became[one.correlation_id] = _cancel(tx, one, keep)
    return became


def _cancel(tx: Transaction, cancel: Cancel, keep: timedelta) -> Cancelled:
    of, state = cancel.correlation_id, tx.state
    run = state.runs.get(of)
    if run is None:
        if of in state.tombstones:
            return Cancelled.TOO_LATE
        state.cancels.setdefault(of, (cancel, tx.now + keep))
        return Cancelled.NOTED
    if run.end is None:
        raise_token(tx, run)
        end_cancelled(tx, run, cancel)
        return Cancelled.ENDED
    if run.status is RunStatus.INTERRUPTED and not _is_anothers(tx, run) and questions.withdraw(state, run):
        return Cancelled.WITHDRAWN
    return Cancelled.TOO_LATE


def _is_anothers(tx: Transaction, run: Run) -> bool:
    """The newest request of the lineage was told what this run was told, or is to find out."""
    assert run.place is not None
    assert run.end is not None
    newest = tx.state.runs[tx.state.lineages[run.place.lineage].newest]
    if newest.correlation_id == run.correlation_id:
        return False
    return newest.end is None or (newest.status is RunStatus.INTERRUPTED and newest.end.at >= run.end.at)


def supersede(tx: Transaction, attempts: Sequence[Attempt]) -> int:
    """See :meth:`~langgraph_worker.store.port.RunStore.supersede`."""
    return sum(_supersede(tx, attempt) for attempt in attempts)


def _supersede(tx: Transaction, attempt: Attempt) -> int:
    seen = Seen(attempt.id, attempt.try_number, attempt.max_tries, attempt.run_start, attempt.replay)
    newest = tx.state.tasks.get(attempt.task)
    if newest is not None and not is_newer(seen, newest):
        return 0
    return end_older(tx, attempt.task, seen)


def publish_again(tx: Transaction, query_id: UUID, correlation_ids: Collection[UUID]) -> int:
    """See :meth:`~langgraph_worker.store.port.RunStore.publish_again`."""
    count = 0
    for of in set(correlation_ids):
        run = tx.state.runs.get(of)
        if run is None or run.publication is None or run.publication.last_query == query_id:
            continue
        publication = publish_once_more(tx, run).publication
        assert publication is not None
        tx.put(run, publication=replace(publication, last_query=query_id))
        count += 1
    return count
