"""What the owner of a thread may write under its lease, and how long it owns it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from langgraph_worker.domain import faults
from langgraph_worker.domain.accounts import Count
from langgraph_worker.domain.models import Claim, Failure, Lease, RunStatus, Step
from langgraph_worker.domain.reply_encoding import clean
from langgraph_worker.domain.results import storable, storable_usage
from langgraph_worker.domain.retry_policy import BackOff, Retried
from langgraph_worker.domain.spending import Spending
from langgraph_worker.domain.turns import turn_of
from langgraph_worker.testing.memory_store import model_turns, questions, shared_spending
from langgraph_worker.testing.memory_store.endings import end, raise_token
from langgraph_worker.testing.memory_store.state import Given, Question, Run, Thread, Transaction
from workflow_events.identity import lineage_of, logical_run_id, thread_id
from workflow_events.results import ResultStatus, WorkflowResultEvent

if TYPE_CHECKING:
    from langgraph_worker.store.sql.run_writes import PutCheckpoint


def renew(tx: Transaction, worker_id: str, leases: Collection[Lease]) -> set[Lease]:
    """See :meth:`~langgraph_worker.store.port.RunStore.renew`."""
    lost = set()
    for lease in leases:
        thread = tx.state.threads.get(lease.thread_id, Thread())
        hold = thread.owner_under(lease.token)
        if hold is None or hold.owner != worker_id:
            lost.add(lease)
        else:
            until = replace(hold, until=tx.now + tx.lease)
            tx.state.threads[lease.thread_id] = replace(thread, hold=until)
    return lost


def spare(tx: Transaction, worker_id: str, leases: Collection[Lease]) -> None:
    """See :meth:`~langgraph_worker.store.port.RunStore.spare`."""
    for lease in leases:
        hold = tx.state.threads.get(lease.thread_id, Thread()).owner_under(lease.token)
        if hold is not None and hold.owner == worker_id:
            run = tx.state.runs[hold.run]
            tx.put(run, running=False, waiting_since=tx.now)
            raise_token(tx, run)


def owned(tx: Transaction, claim: Claim) -> Run | None:
    """The claim's run; None if its lease is void."""
    hold = tx.state.threads.get(claim.lease.thread_id, Thread()).owner_under(claim.lease.token)
    return tx.state.runs[hold.run] if hold is not None and hold.run == claim.correlation_id else None


def free_if_held(tx: Transaction, claim: Claim) -> None:
    """Free the thread if the claim's run still holds it under its lease, valid or void."""
    lease = claim.lease
    thread = tx.state.threads.get(lease.thread_id, Thread())
    if thread.hold is not None and (thread.hold.token, thread.hold.run) == (lease.token, claim.correlation_id):
        tx.state.threads[lease.thread_id] = Thread(thread.token)


def remember_nodes(tx: Transaction, claim: Claim, nodes: Collection[str]) -> None:
    """See the port."""
    record = tx.state.lineages.get(claim.lineage)
    if owned(tx, claim) and record and record.generation == claim.generation and record.nodes is None:
        tx.state.lineages[claim.lineage] = replace(record, nodes=frozenset(nodes), release=claim.release)


def put_checkpoint(tx: Transaction, write: PutCheckpoint) -> bool:
    """Keep what a checkpoint means for the store: that the run made progress, and which answers it holds."""
    claim, run = write.claim, owned(tx, write.claim)
    if run is None:
        return False
    if write.progress:
        tx.put(run, takeovers=0, retried=run.retried.after_progress)
    given = {
        one.interrupt_id: Given(one.value, one.answered_by, claim.correlation_id, lineage_of(claim.event), tx.now)
        for one in claim.event.answers
        if one.interrupt_id in write.answers
    }
    tx.state.questions[:] = [
        replace(question, given=given[question.id])
        if question.is_pending and question.place.thread_id == claim.thread_id and question.id in given
        else question
        for question in tx.state.questions
    ]
    return True


def record(tx: Transaction, claim: Claim, steps: Sequence[Step], spent: Spending | None) -> None:
    """See the port."""
    run = owned(tx, claim)
    if run is None:
        return
    written = {
        step.step_id: (
            claim.attempts,
            replace(
                step,
                namespace=clean(step.namespace),
                node=clean(step.node),
                agent=clean(step.agent) if step.agent else None,
                error=clean(step.error) if step.error else None,
            ),
        )
        for step in steps
    }
    tx.put(run, steps={**run.steps, **written})
    if spent is not None:
        kept = storable(spent)
        key = (claim.lineage, claim.generation)
        shared_spending.add(tx, claim, Count.between(tx.state.spending.get(key), kept))
        tx.state.spending[key] = kept


def finish(
    tx: Transaction, claim: Claim, result: WorkflowResultEvent, failure: Failure | None, *, keep_thread: bool
) -> bool:
    """See the port."""
    run = owned(tx, claim)
    if run is not None:
        if result.status is ResultStatus.INTERRUPTED and _is_left(tx, run):
            result = _refused(result)
        errors = (*run.errors, (failure, claim.attempts, tx.now)) if failure is not None else run.errors
        run = end(tx, replace(run, errors=errors, usage=storable_usage(result.usage)), result, claim.reply_traceparent)
        if run.status is RunStatus.INTERRUPTED and result.interrupts:
            _ask(tx, run, [interrupt.id for interrupt in result.interrupts])
        if run.status is RunStatus.COMPLETED:
            thread = run.placed.thread_id
            questions.retire(tx.state, lambda q: q.is_pending and q.place.thread_id == thread)
        if result.error_type == faults.INTERRUPT_NOT_PENDING.name:
            questions.retire(tx.state, lambda q: q.is_pending and q.place == run.placed)
    _let_go(tx, claim, run, keep_thread=keep_thread)
    return run is not None


def _let_go(tx: Transaction, claim: Claim, run: Run | None, *, keep_thread: bool) -> None:
    """Free the thread, or only void the lease of the run that owns it."""
    if not keep_thread:
        free_if_held(tx, claim)
    elif run is not None:
        raise_token(tx, run)


def _is_left(tx: Transaction, run: Run) -> bool:
    """Its task has started afresh since."""
    return tx.state.lineages[run.placed.lineage].generation > run.placed.generation


def _refused(result: WorkflowResultEvent) -> WorkflowResultEvent:
    """What a run is answered that may not ask."""
    fault = faults.INTERRUPT_NOT_PENDING
    changes = {
        "status": fault.status,
        "error": "its task was started afresh: nobody may answer what this run asks",
        "error_type": fault.name,
        "retriable": fault.retriable,
        "result": None,
        "interrupts": [],
    }
    return result.model_copy(update=changes)


def _ask(tx: Transaction, run: Run, ids: Sequence[str]) -> None:
    """The run's questions replace the pending ones of its thread."""
    place = run.placed
    questions.retire(tx.state, lambda q: q.is_pending and q.place.thread_id == place.thread_id)
    for name in dict.fromkeys(ids):
        before = [q for q in tx.state.questions if q.place == place and q.id == name and q.given is not None]
        tx.state.questions.append(Question(name, run.correlation_id, place, tx.now, len(before)))


def release(
    tx: Transaction, claim: Claim, delay: timedelta, *, keep_thread: bool, retried: Retried | None = None
) -> bool:
    """See the port."""
    run = owned(tx, claim)
    if run is not None:
        if retried is not None:
            run = tx.put(run, retried=retried)
        turn = turn_of(run.accepted_at, claim.event.priority)
        tx.put(run, running=False, waiting_since=tx.now, turn=turn, not_before=tx.now + delay)
    _let_go(tx, claim, run, keep_thread=keep_thread)
    return run is not None


def back_off(tx: Transaction, claim: Claim, wait: BackOff, failure: Failure, *, keep_thread: bool) -> bool:
    """See the port."""
    run = owned(tx, claim)
    if run is not None:
        model_turns.give_back(tx, claim.retried.turns)
        tx.put(run, retried=wait.retried, errors=(*run.errors, (failure, claim.attempts, tx.now)))
    return release(tx, claim, timedelta(seconds=wait.wait_seconds), keep_thread=keep_thread)


def start_over(tx: Transaction, claim: Claim) -> bool:
    """See the port."""
    run = owned(tx, claim)
    release(tx, claim, timedelta(0), keep_thread=False)
    if run is None:
        return False
    run, state = tx.state.runs[run.correlation_id], tx.state
    left, generation = run.placed, run.placed.generation + 1
    logical_run = logical_run_id(left.lineage, run.correlation_id, generation)
    if left.thread_name is None:
        thread = thread_id(claim.graph, logical_run, None, left.deployment or "")
        state.threads[thread] = Thread()
    else:
        thread = left.thread_id
    tx.put(run, place=replace(left, generation=generation, logical_run=logical_run, thread_id=thread))
    record = state.lineages[left.lineage]
    state.lineages[left.lineage] = replace(
        record, generation=generation, logical_run=logical_run, nodes=None, release=None
    )
    questions.retire(state, lambda q: q.place.lineage == left.lineage and q.place.generation < generation)
    if spent := state.spending.get((left.lineage, left.generation)):
        state.spending[left.lineage, generation] = spent
    if all(other.place is None or other.place.thread_id != left.thread_id for other in state.runs.values()):
        del state.threads[left.thread_id]
    return True
