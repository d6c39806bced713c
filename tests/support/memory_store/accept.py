"""Accepting: each request against what is known, one by one."""

from __future__ import annotations

from dataclasses import replace

from pydantic import JsonValue

from langgraph_worker import faults
from langgraph_worker.attempts import Asked, Lineage, Seen, Verdict, Work, decide
from langgraph_worker.errors import StoreError
from langgraph_worker.store.port import Accepted, Decision, Refusal, Request, RunStatus
from tests.support.memory_store import questions
from tests.support.memory_store.endings import end, end_cancelled, end_with, publish_once_more, raise_token
from tests.support.memory_store.state import LineageRecord, Place, Run, State, Thread, Transaction, seen_of
from workflow_events.identity import input_hash, lineage_key, logical_run_id, plain_lineage_key, thread_name
from workflow_events.models import EventType, WorkflowEvent
from workflow_events.results import WorkflowResultEvent


def take(tx: Transaction, item: Request | Refusal) -> Accepted:
    """Decide one item, and keep what follows from it."""
    correlation_id = item.event.event_id if isinstance(item, Request) else item.result.correlation_id
    if correlation_id in tx.state.tombstones:
        return Accepted(correlation_id, Decision.DUPLICATE, "pruned")
    known = tx.state.runs.get(correlation_id)
    if known is not None:
        return _again(tx, known)
    if item.reply_topic is None:  # what a column would refuse
        raise _unstorable("reply_topic is missing")
    if isinstance(item, Refusal):
        end(tx, _new(tx, item, item.result, Decision.REFUSED), item.result)
        return Accepted(correlation_id, Decision.REFUSED, item.result.error or "")
    # As it comes back from a database; text that is no Unicode does not get there.
    event = WorkflowEvent.model_validate_json(item.event.model_dump_json())
    return _request(tx, replace(item, event=event))


def lineage_of(event: WorkflowEvent) -> str:
    """Of whoever asks."""
    attempt = event.attempt
    return lineage_key(attempt.task, attempt.agent) if attempt else plain_lineage_key(event.event_id)


def _again(tx: Transaction, known: Run) -> Accepted:
    publish_once_more(tx, known)
    return Accepted(known.correlation_id, Decision.DUPLICATE, f"it is {known.status}")


def _request(tx: Transaction, item: Request) -> Accepted:
    event, key, attempt = item.event, lineage_of(item.event), seen_of(item.event)
    work = Work(item.graph, event.thread_id, input_hash(_said(event)))
    task = event.attempt.task if event.attempt else ""
    newest = tx.state.tasks.get(task)
    verdict = decide(_asked(event, work), newest, _lineage(tx.state, key) if attempt else None)
    if verdict.newest and attempt is not None:
        supersede(tx, task, attempt)
    run = _new(tx, item, event, verdict.decision)
    if verdict.decision is Decision.LATE and newest is not None:
        end_with(tx, run, faults.SUPERSEDED, f"superseded by try {newest.try_number}")
        return Accepted(event.event_id, verdict.decision, verdict.reason)
    wrong = _problem(tx.state, event, key) if verdict.decision is Decision.ANSWER else None
    if wrong is not None:
        end_with(tx, replace(run, decision=Decision.REFUSED), faults.INTERRUPT_NOT_PENDING, wrong)
        return Accepted(event.event_id, Decision.REFUSED, wrong)
    decision = Decision.CANCELLED if event.event_id in tx.state.cancels else verdict.decision
    source = _stored_answer(tx.state, key) if verdict.decision is Decision.ANSWERED else None
    place = _place_answer if verdict.decision is Decision.ANSWER else _place
    run = replace(place(tx, run, work, verdict), decision=decision)
    if decision is Decision.CANCELLED:
        cancel, _ = tx.state.cancels[event.event_id]
        end_cancelled(tx, run, cancel)
        if source is not None:
            questions.withdraw(tx.state, source)
    elif source is not None:
        end(tx, run, _readdressed(source, event))
    return Accepted(event.event_id, decision, verdict.reason)


def _said(event: WorkflowEvent) -> dict[str, JsonValue]:
    if event.event_type is EventType.WORKFLOW_RESUMED:
        return {answer.interrupt_id: answer.value for answer in event.answers}
    return dict(event.payload.data)


def _asked(event: WorkflowEvent, work: Work) -> Asked:
    answers, a = event.event_type is EventType.WORKFLOW_RESUMED, event.attempt
    if a is None:
        return Asked(work, answers=answers)
    return Asked(work, seen_of(event), a.returned, a.on_retry, a.on_clear, answers)


def _lineage(state: State, key: str) -> Lineage | None:
    record = state.lineages.get(key)
    if record is None:
        return None
    run = state.runs[record.newest]
    assert run.attempt is not None
    asks = bool(questions.pending_of(state, key, record.generation))
    return Lineage(record.generation, record.work, run.attempt, run.status, asks)


def supersede(tx: Transaction, task: str, attempt: Seen) -> int:
    """This is the task's newest attempt: end every unfinished run of the task, and say how many that were."""
    older = [run for run in tx.unfinished() if run.task == task]
    for run in older:
        raise_token(tx, run)
        end_with(tx, run, faults.SUPERSEDED, f"superseded by try {attempt.try_number}")
    tx.state.tasks[task], tx.state.tasks_since[task] = attempt, tx.now
    return len(older)


def _place(tx: Transaction, run: Run, work: Work, verdict: Verdict) -> Run:
    """Give a request its place in its own lineage, of which it is the newest now."""
    assert run.event is not None
    event, key = run.event, lineage_of(run.event)
    before = tx.state.lineages.get(key)
    nodes = before.nodes if before is not None and verdict.decision is not Decision.FRESH else None
    tx.state.lineages[key] = LineageRecord(verdict.generation, work, event.event_id, nodes)
    if verdict.decision is Decision.FRESH:
        questions.retire(tx.state, lambda q: q.place.lineage == key and q.place.generation < verdict.generation)
    logical_run = logical_run_id(key, verdict.generation)
    deployment = event.attempt.deployment if event.attempt else ""
    thread_id = thread_name(work.graph, logical_run, event.thread_id, deployment)
    tx.state.threads.setdefault(thread_id, Thread())
    return tx.put(run, place=Place(key, verdict.generation, logical_run, thread_id))


def _problem(state: State, event: WorkflowEvent, key: str) -> str | None:
    """Why an answer cannot be taken."""
    known = questions.latest(state.questions)
    return questions.problem(event.answers, known, key) or questions.other_graph(event, known, state)


def _place_answer(tx: Transaction, run: Run, work: Work, verdict: Verdict) -> Run:
    """Give an answer the place of the run that asked."""
    assert run.event is not None
    state, key = tx.state, lineage_of(run.event)
    question = questions.latest(state.questions)[run.event.answers[0].interrupt_id]
    own = state.lineages.get(key) if key == question.place.lineage else None
    if own is not None:
        state.lineages[key] = replace(own, newest=run.correlation_id)
    else:
        state.lineages[key] = LineageRecord(verdict.generation, work, run.correlation_id)
    return tx.put(run, place=question.place, graph=state.runs[question.asked_by].graph)


def _stored_answer(state: State, key: str) -> Run:
    """What a retry is answered from: what its generation still asks, whoever made it ask; else what it ended with."""
    record = state.lineages[key]
    newest = state.runs[record.newest]
    if newest.status is RunStatus.INTERRUPTED:
        return state.runs[questions.pending_of(state, key, record.generation)[0].asked_by]
    return newest


def _readdressed(source: Run, event: WorkflowEvent) -> WorkflowResultEvent:
    assert source.end is not None
    address = {
        "correlation_id": event.event_id,
        "workflow_id": event.workflow_id,
        "workflow_run_id": event.workflow_run_id,
    }
    return source.end.result.model_copy(update=address)


def _new(
    tx: Transaction, item: Request | Refusal, said: WorkflowEvent | WorkflowResultEvent, decision: Decision
) -> Run:
    tx.state.accepted += 1
    run = Run(
        seq=tx.state.accepted,
        correlation_id=said.event_id if isinstance(said, WorkflowEvent) else said.correlation_id,
        workflow_id=said.workflow_id,
        workflow_run_id=said.workflow_run_id,
        decision=decision,
        origin=item.origin,
        reply_topic=item.reply_topic,
        accepted_at=tx.now,
        waiting_since=tx.now,
        event=said if isinstance(said, WorkflowEvent) else None,
        graph=item.graph if isinstance(item, Request) else None,
    )
    return tx.put(run)


def _unstorable(text: str) -> StoreError:
    error = StoreError(text)
    error.retriable = False
    return error
