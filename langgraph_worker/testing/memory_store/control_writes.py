"""Writes that control messages cause."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from langgraph_worker.domain import models
from langgraph_worker.domain.attempts import AttemptKey, is_newer
from langgraph_worker.domain.models import Cancel, Cancelled, RunStatus
from langgraph_worker.domain.pauses import PauseChange, newest
from langgraph_worker.domain.reply_encoding import clean
from langgraph_worker.testing.memory_store import questions
from langgraph_worker.testing.memory_store.accept import supersede as end_older
from langgraph_worker.testing.memory_store.endings import end_cancelled, publish_once_more, raise_token
from langgraph_worker.testing.memory_store.state import NotedCancel, Run, Transaction
from workflow_events.models import Attempt


def cancel(tx: Transaction, cancels: Sequence[Cancel], keep: timedelta) -> dict[UUID, Cancelled]:
    """See :meth:`~langgraph_worker.store.port.RunStore.cancel`. Of several for one request the first counts."""
    outcomes: dict[UUID, Cancelled] = {}
    for one in cancels:
        if one.correlation_id not in outcomes:
            outcomes[one.correlation_id] = _cancel(tx, one, keep)
    if Cancelled.NOTED in outcomes.values():
        outcomes |= dict.fromkeys(_forget_oldest(tx), Cancelled.FORGOTTEN)
    return outcomes


def _forget_oldest(tx: Transaction) -> list[UUID]:
    noted = tx.state.cancels
    in_order = sorted(noted, key=lambda one: (noted[one].until, -one.int))
    forgotten = in_order[: max(0, len(noted) - models.MOST_EARLY_CANCELS)]
    for one in forgotten:
        del noted[one]
    return forgotten


def _cancel(tx: Transaction, cancel: Cancel, keep: timedelta) -> Cancelled:
    correlation_id, state = cancel.correlation_id, tx.state
    run = state.runs.get(correlation_id)
    if run is None:
        if correlation_id in state.tombstones:
            return Cancelled.TOO_LATE
        noted = state.cancels.get(correlation_id)
        if noted is None:
            state.cancels[correlation_id] = NotedCancel(cancel, tx.now, tx.now + keep)
        else:
            until = max(noted.until, noted.received_at + keep)
            state.cancels[correlation_id] = replace(noted, until=until)
        return Cancelled.NOTED
    if run.end is None:
        raise_token(tx, run)
        end_cancelled(tx, run, cancel)
        return Cancelled.ENDED
    if run.status is RunStatus.INTERRUPTED and not _is_still_asked(tx, run) and questions.withdraw(state, run):
        return Cancelled.WITHDRAWN
    return Cancelled.TOO_LATE


def _is_still_asked(tx: Transaction, run: Run) -> bool:
    """The newest request of the lineage is another: it was answered with the same question, or is unfinished."""
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
    key = AttemptKey.from_attempt(attempt)
    newest = tx.state.tasks.get(attempt.task)
    if newest is not None and not is_newer(key, newest):
        return 0
    return end_older(tx, attempt.task, key)


def pause(tx: Transaction, changes: Collection[PauseChange]) -> list[PauseChange]:
    """See :meth:`~langgraph_worker.store.port.RunStore.pause`."""
    wanted = sorted(newest([_storable(change) for change in changes]).items())
    changed = [change for key, change in wanted if change.is_newer_than(tx.state.pauses.get(key))]
    tx.state.pauses |= {change.key: change for change in changed}
    return changed


def _storable(change: PauseChange) -> PauseChange:
    by = None if change.requested_by is None else clean(change.requested_by)
    return replace(change, name=clean(change.name), reason=clean(change.reason), requested_by=by)


def publish_again(tx: Transaction, query_id: UUID, correlation_ids: Collection[UUID]) -> int:
    """See :meth:`~langgraph_worker.store.port.RunStore.publish_again`."""
    count = 0
    for correlation_id in set(correlation_ids):
        run = tx.state.runs.get(correlation_id)
        if run is None or run.publication is None or run.publication.last_query == query_id:
            continue
        publication = publish_once_more(tx, run).publication
        assert publication is not None
        tx.put(run, publication=replace(publication, last_query=query_id))
        count += 1
    return count
