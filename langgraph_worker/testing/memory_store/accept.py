"""Accepting: each request is compared with what is known, one by one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from langgraph_worker.domain import faults
from langgraph_worker.domain.answer_choices import with_choices_of
from langgraph_worker.domain.attempts import AttemptKey, IncomingRequest, Lineage, Verdict, WorkKey, decide
from langgraph_worker.domain.models import Accepted, Decision, Refusal, Request, RunStatus
from langgraph_worker.domain.turns import turn_of
from langgraph_worker.errors import RowError
from langgraph_worker.testing.memory_store import questions
from langgraph_worker.testing.memory_store.endings import end, end_cancelled, end_with, publish_once_more, raise_token
from langgraph_worker.testing.memory_store.state import (
    LineageRecord,
    Place,
    Question,
    Run,
    State,
    Thread,
    Transaction,
)
from workflow_events.identity import lineage_of, logical_run_id, thread_id, work_hash
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
    # As a database gives it back; it refuses text that is no Unicode.
    event = WorkflowEvent.model_validate_json(item.event.model_dump_json())
    return _request(tx, replace(item, event=event))


def _again(tx: Transaction, known: Run) -> Accepted:
    publish_once_more(tx, known)
    return Accepted(known.correlation_id, Decision.DUPLICATE, f"it is {known.status}", known.graph or "")


def _request(tx: Transaction, item: Request) -> Accepted:
    event, key, attempt = item.event, lineage_of(item.event), AttemptKey.from_event(item.event)
    work = WorkKey(item.graph, event.thread_id, work_hash(event))
    task = event.attempt.task if event.attempt else ""
    newest = tx.state.tasks.get(task)
    verdict = decide(_incoming(event, work), newest, _lineage(tx.state, key) if attempt else None)
    if verdict.is_newest and attempt is not None and event.attempt is not None:
        supersede(tx, task, attempt)
    elif verdict.is_replay and attempt is not None:
        _replace_origin(tx, key, attempt)
    run = _new(tx, item, event, verdict.decision)
    if verdict.decision is Decision.LATE:
        by = f"try {newest.try_number}" if newest is not None else ""
        if newest is None or (attempt is not None and newest.id == attempt.id):
            by = f"replay {_replay_of(tx.state, key)}"
        end_with(tx, run, faults.SUPERSEDED, f"superseded by {by}")
        return Accepted(event.event_id, verdict.decision, verdict.reason, run.graph or "")
    repeated = tx.state.runs[tx.state.lineages[key].newest] if verdict.repeats else None
    given_to = questions.answered(tx.state, event, key, repeated)
    problem = _problem(tx.state, event, key, given_to, repeated) if verdict.decision is Decision.ANSWER else None
    if problem is not None:
        end_with(tx, replace(run, decision=Decision.REFUSED), faults.INTERRUPT_NOT_PENDING, problem)
        return Accepted(event.event_id, Decision.REFUSED, problem)
    decision = Decision.CANCELLED if event.event_id in tx.state.cancels else verdict.decision
    source = _stored_answer(tx.state, key) if verdict.decision is Decision.ANSWERED else None
    run = replace(_place(tx, run, work, verdict, given_to), decision=decision)
    if decision is Decision.CANCELLED:
        end_cancelled(tx, run, tx.state.cancels[event.event_id].cancel)
        if source is not None:
            questions.withdraw(tx.state, source)
    elif source is not None:
        end(tx, run, _readdressed(source, event))
    return Accepted(event.event_id, decision, verdict.reason, run.graph or "")


def _incoming(event: WorkflowEvent, work: WorkKey) -> IncomingRequest:
    is_answer, attempt = event.event_type is EventType.WORKFLOW_RESUMED, event.attempt
    if attempt is None:
        return IncomingRequest(work, AttemptKey.from_event(event), is_answer=is_answer)
    key = AttemptKey.from_attempt(attempt)
    return IncomingRequest(work, key, attempt.returned, attempt.on_retry, attempt.on_clear, is_answer)


def _lineage(state: State, key: str) -> Lineage | None:
    record = state.lineages.get(key)
    if record is None:
        return None
    run = state.runs[record.newest]
    is_asking = bool(questions.pending_of(state, key, record.generation))
    return Lineage(record.generation, record.work, _sent_as(run), run.status, is_asking)


def _sent_as(run: Run) -> AttemptKey:
    assert run.event is not None
    return AttemptKey.from_event(run.event) or AttemptKey.of_plain(0)


def supersede(tx: Transaction, task: str, attempt: AttemptKey) -> int:
    """End every unfinished run of a task whose newest attempt this is; return how many."""
    older = [run for run in tx.unfinished() if run.task == task]
    for run in older:
        raise_token(tx, run)
        end_with(tx, run, faults.SUPERSEDED, f"superseded by try {attempt.try_number}")
    tx.state.tasks[task], tx.state.tasks_since[task] = attempt, tx.now
    return len(older)


def _replace_origin(tx: Transaction, key: str, attempt: AttemptKey) -> None:
    """End what a lineage has unfinished of an attempt of which this is a replay."""
    newest = tx.state.lineages[key].newest
    for run in list(tx.unfinished()):
        own = run.correlation_id == newest or run.placed.lineage == key
        if own and _sent_as(run).id == attempt.id:
            raise_token(tx, run)
            end_with(tx, run, faults.SUPERSEDED, f"superseded by replay {attempt.replay}")


def _replay_of(state: State, key: str) -> int:
    """Which replay the newest request of a lineage is."""
    return _sent_as(state.runs[state.lineages[key].newest]).replay


def _place(tx: Transaction, run: Run, work: WorkKey, verdict: Verdict, given_to: Mapping[str, Question]) -> Run:
    """Give a request its place in its own lineage, and make it the newest there."""
    assert run.event is not None
    if verdict.decision is Decision.ANSWER:
        return _place_answer(tx, run, work, verdict, given_to)
    event, key = run.event, lineage_of(run.event)
    before = tx.state.lineages.get(key)
    continued = before if verdict.decision is not Decision.FRESH else None
    tx.state.lineages[key] = (
        replace(continued, generation=verdict.generation, work=work, newest=event.event_id)
        if continued
        else LineageRecord(
            verdict.generation,
            work,
            event.event_id,
            logical_run_id(key, event.event_id),
            traceparent=run.traceparent,
        )
    )
    logical_run = tx.state.lineages[key].logical_run
    if verdict.decision is Decision.FRESH:
        questions.retire(tx.state, lambda q: q.place.lineage == key and q.place.generation < verdict.generation)
    deployment = event.deployment
    thread = thread_id(work.graph, logical_run, event.thread_id, deployment or "")
    if event.answers and before is not None:  # answered from the store: it belongs where the answers that it repeats do
        like = tx.state.runs[before.newest]
        return tx.put(run, place=like.place, graph=like.graph, askings=like.askings)
    tx.state.threads.setdefault(thread, Thread())
    return tx.put(run, place=Place(key, verdict.generation, logical_run, thread, deployment, event.thread_id))


def _problem(
    state: State, event: WorkflowEvent, key: str, given_to: dict[str, Question], repeated: Run | None
) -> str | None:
    """Why an answer cannot be taken."""
    problem = questions.unclear(state, event, key) if repeated is None else None
    addressed = state.runs.get(event.answers_to) if event.answers_to else None
    lineage = addressed.place.lineage if addressed is not None and addressed.place is not None else None
    problem = problem or questions.foreign(event, given_to)
    problem = problem or questions.refusal(state, event.answers, given_to, key, lineage)
    return problem or questions.other_graph(event, given_to, state)


def _place_answer(tx: Transaction, run: Run, work: WorkKey, verdict: Verdict, given_to: Mapping[str, Question]) -> Run:
    """Give an answer the place of the run that asked, and keep which askings it was given to."""
    assert run.event is not None
    state, key = tx.state, lineage_of(run.event)
    question = given_to[run.event.answers[0].interrupt_id]
    own = state.lineages.get(key) if key == question.place.lineage else None
    if own is not None:
        state.lineages[key] = replace(own, newest=run.correlation_id)
    else:
        state.lineages[key] = LineageRecord(verdict.generation, work, run.correlation_id, question.place.logical_run)
    askings = {name: one.asking for name, one in given_to.items()}
    asking = state.runs[question.asked_by]
    assert asking.event is not None
    event = with_choices_of(run.event, asking.event)
    turn = turn_of(run.accepted_at, event.priority)
    return tx.put(run, event=event, turn=turn, place=question.place, graph=asking.graph, askings=askings)


def _stored_answer(state: State, key: str) -> Run:
    """The run whose result answers a retry: the one that asks what is pending, else the lineage's newest."""
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
    tx: Transaction, item: Request | Refusal, source: WorkflowEvent | WorkflowResultEvent, decision: Decision
) -> Run:
    tx.state.accepted += 1
    run = Run(
        seq=tx.state.accepted,
        correlation_id=source.event_id if isinstance(source, WorkflowEvent) else source.correlation_id,
        workflow_id=source.workflow_id,
        workflow_run_id=source.workflow_run_id,
        decision=decision,
        origin=item.origin,
        reply_topic=item.reply_topic,
        accepted_at=tx.now,
        waiting_since=tx.now,
        turn=turn_of(tx.now, source.priority) if isinstance(source, WorkflowEvent) else tx.now,
        event=source if isinstance(source, WorkflowEvent) else None,
        graph=item.graph if isinstance(item, Request) else None,
        traceparent=item.traceparent if isinstance(item, Request) else None,
    )
    return tx.put(run)


def _unstorable(text: str) -> RowError:
    return RowError(text)
