"""Owning: claims, and what an owner may write under its lease."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from langgraph_worker import faults
from langgraph_worker.reply import clean
from langgraph_worker.store.port import Claim, Decision, Failure, Lease, RunStatus, Step
from tests.support.memory_store import questions
from tests.support.memory_store.accept import lineage_of
from tests.support.memory_store.endings import end, end_with, let_go_of
from tests.support.memory_store.state import Given, Hold, Place, Question, Run, Thread, Transaction
from workflow_events.results import WorkflowResultEvent

if TYPE_CHECKING:
    from langgraph_worker.store.writes import PutCheckpoint

MAX_TAKEOVERS = 3


def claim(tx: Transaction, worker_id: str, limit: int, graphs: Collection[str]) -> list[Claim]:
    """See :meth:`~langgraph_worker.store.port.RunStore.claim`. One that ends here counts for the limit."""
    can_start = [run for run in tx.unfinished() if run.graph in graphs and _can_start(tx, run)]
    turns: Counter[str] = Counter()
    in_turn = []
    for run in can_start:
        turns[run.workflow_id] += 1
        in_turn.append((turns[run.workflow_id], run.seq, run))
    chosen = [run for *_, run in sorted(in_turn, key=lambda one: one[:2])[: max(limit, 0)]]
    claims = [_take(tx, run, worker_id) for run in sorted(chosen, key=lambda run: run.seq)]
    return [one for one in claims if one is not None]


def _can_start(tx: Transaction, run: Run) -> bool:
    """Its time has come, its thread is free, and nobody on that goes before it."""
    if not _waits_its_turn(tx, run) or (run.not_before is not None and run.not_before > tx.now):
        return False
    place = _place(run)
    queue = [
        other for other in tx.unfinished() if _place(other).thread_id == place.thread_id and _waits_its_turn(tx, other)
    ]
    first = min(queue, key=lambda other: (not other.answers, other.seq))
    return first.correlation_id == run.correlation_id and tx.state.threads[place.thread_id].is_free(tx.now)


def _waits_its_turn(tx: Transaction, run: Run) -> bool:
    in_time = run.deadline is None or run.deadline > tx.now
    return in_time and not questions.shuts_out(tx.state, run)


def _take(tx: Transaction, run: Run, worker_id: str) -> Claim | None:
    place, event = _place(run), run.event
    assert event is not None
    asked = questions.latest(questions.on_thread(tx.state, place.thread_id))
    takeovers = run.takeovers + run.running  # running, and yet its thread is free
    if takeovers > MAX_TAKEOVERS:
        text = f"given up: workers vanished {takeovers} times while they ran it, the last was {run.worker_id!r}"
        let_go_of(tx, end_with(tx, run, faults.WORKER_LOST, text))
        return None
    wrong = questions.problem(event.answers, asked, lineage_of(event))
    if wrong:
        let_go_of(tx, end_with(tx, run, faults.INTERRUPT_NOT_PENDING, wrong))
        return None
    run = tx.put(
        run,
        running=True,
        attempts=run.attempts + 1,
        takeovers=takeovers,
        worker_id=worker_id,
        started_at=run.started_at or tx.now,
    )
    token = tx.state.threads[place.thread_id].token + 1
    tx.state.threads[place.thread_id] = Thread(token, Hold(run.correlation_id, worker_id, token, tx.now + tx.lease))
    record = tx.state.lineages[place.lineage]
    return Claim(
        event=event,
        graph=run.graph or "",
        thread_id=place.thread_id,
        logical_run=place.logical_run,
        lineage=place.lineage,
        generation=place.generation,
        resumes=run.decision in (Decision.RESUMED, Decision.ANSWER) or run.attempts > 1,
        attempts=run.attempts,
        nodes=record.nodes if record.generation == place.generation else None,
        lease=Lease(place.thread_id, token),
        accepted_at=run.accepted_at,
        worker_id=worker_id,
        takeovers=takeovers,
        is_new=run.attempts == 1 and run.decision is Decision.FRESH and event.thread_id is None,
        answers={one.interrupt_id: one.value for one in event.answers if asked[one.interrupt_id].is_pending},
        answered=frozenset(name for name, question in asked.items() if question.given is not None),
    )


def _place(run: Run) -> Place:
    assert run.place is not None  # what has none has ended
    return run.place


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


def owned(tx: Transaction, claim: Claim) -> Run | None:
    """The claim's run; None if its lease is void."""
    hold = tx.state.threads.get(claim.lease.thread_id, Thread()).owner_under(claim.lease.token)
    return tx.state.runs[hold.run] if hold is not None and hold.run == claim.correlation_id else None


def let_go(tx: Transaction, lease: Lease) -> None:
    """Free the thread if it is still held under this lease, valid or void."""
    thread = tx.state.threads.get(lease.thread_id, Thread())
    if thread.hold is not None and thread.hold.token == lease.token:
        tx.state.threads[lease.thread_id] = Thread(thread.token)


def remember_nodes(tx: Transaction, claim: Claim, nodes: Collection[str]) -> None:
    """See the port."""
    record = tx.state.lineages.get(claim.lineage)
    if owned(tx, claim) and record and record.generation == claim.generation and record.nodes is None:
        tx.state.lineages[claim.lineage] = replace(record, nodes=frozenset(nodes))


def put_checkpoint(tx: Transaction, write: PutCheckpoint) -> bool:
    """Note what a checkpoint tells the store: that the run came further, and which answers it holds."""
    claim, run = write.claim, owned(tx, write.claim)
    if run is None:
        return False
    if write.progress:
        tx.put(run, takeovers=0)
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


def record(tx: Transaction, claim: Claim, steps: Sequence[Step]) -> None:
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


def finish(tx: Transaction, claim: Claim, result: WorkflowResultEvent, failure: Failure | None) -> bool:
    """See the port."""
    run = owned(tx, claim)
    if run is not None:
        errors = (*run.errors, (failure, claim.attempts, tx.now)) if failure is not None else run.errors
        run = end(tx, replace(run, errors=errors, usage=dict(result.usage)), result)
        if run.status is RunStatus.INTERRUPTED and result.interrupts:
            _ask(tx, run, [interrupt.id for interrupt in result.interrupts])
        if run.status is RunStatus.COMPLETED:
            thread = _place(run).thread_id
            questions.retire(tx.state, lambda q: q.is_pending and q.place.thread_id == thread)
    let_go(tx, claim.lease)
    return run is not None


def _ask(tx: Transaction, run: Run, ids: Sequence[str]) -> None:
    """What the thread asked before and nobody answered is asked by this run, or not at all."""
    place = _place(run)
    questions.retire(tx.state, lambda q: q.is_pending and q.place.thread_id == place.thread_id)
    tx.state.questions += [Question(name, run.correlation_id, place, tx.now) for name in dict.fromkeys(ids)]


def release(tx: Transaction, claim: Claim, delay: timedelta) -> None:
    """See the port."""
    run = owned(tx, claim)
    if run is not None:
        tx.put(run, running=False, waiting_since=tx.now, not_before=tx.now + delay)
    let_go(tx, claim.lease)
