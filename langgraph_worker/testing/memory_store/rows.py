"""The in-memory state as rows of the store's tables: the columns that a caller can notice, for tests to compare."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from langgraph_worker.domain.reply_encoding import clean
from langgraph_worker.domain.results import MAX_MODEL_CHARACTERS
from langgraph_worker.testing.memory_store.state import Run, State

Row = dict[str, Any]


def rows(state: State, table: str) -> list[Row]:
    """A table, by primary key."""
    return list(_TABLES[table](state))


def _runs_in_order(state: State) -> list[Run]:
    return sorted(state.runs.values(), key=lambda run: run.seq)


def _runs_by_id(state: State) -> list[Run]:
    return sorted(state.runs.values(), key=lambda run: run.correlation_id)


def _workflow_runs(state: State) -> Iterator[Row]:
    for run in _runs_in_order(state):
        yield {
            "seq": run.seq,
            "correlation_id": run.correlation_id,
            "status": run.status.value,
            "decision": run.decision.value,
            "graph": run.graph,
            "task": run.task,
            "lineage": run.place.lineage if run.place else None,
            "generation": run.place.generation if run.place else None,
            "logical_run": run.place.logical_run if run.place else None,
            "thread_id": run.place.thread_id if run.place else None,
            "thread_name": run.place.thread_name if run.place else None,
            "accepted_at": run.accepted_at,
            "turn": run.turn,
            "not_before": run.not_before,
            "started_at": run.started_at,
            "attempts": run.attempts,
            "takeovers": run.takeovers,
            "retried": run.retried.as_json(),
            "worker_id": run.worker_id,
            "release": run.release,
            "traceparent": run.traceparent,
            "askings": run.askings or None,
            "finished_at": run.end.at if run.end else None,
            "result_status": run.end.result.status.value if run.end else None,
            "error_type": run.end.result.error_type if run.end else None,
            "reply_value": run.end.reply.value if run.end else None,
            "published_at": run.publication.published_at if run.publication else None,
        }


def _tasks(state: State) -> Iterator[Row]:
    for task, newest in sorted(state.tasks.items()):
        yield {
            "task": task,
            "attempt_id": newest.id,
            "try_number": newest.try_number,
            "max_tries": newest.max_tries,
            "run_start": newest.run_start,
            "replay": newest.replay,
        }


def _lineages(state: State) -> Iterator[Row]:
    for key, lineage in sorted(state.lineages.items()):
        yield {
            "lineage": key,
            "generation": lineage.generation,
            "graph": lineage.work.graph,
            "shared_thread": lineage.work.shared_thread,
            "input_hash": lineage.work.input_hash,
            "nodes": None if lineage.nodes is None else sorted(lineage.nodes),
            "release": lineage.release,
            "traceparent": lineage.traceparent,
            "newest": lineage.newest,
        }


def _threads(state: State) -> Iterator[Row]:
    for name, thread in sorted(state.threads.items()):
        hold = thread.hold
        yield {
            "thread_id": name,
            "token": thread.token,
            "owner": hold.owner if hold else None,
            "correlation_id": hold.run if hold else None,
            "held": hold.token if hold else None,
            "until": hold.until if hold else None,
        }


def _interrupts(state: State) -> Iterator[Row]:
    for question in sorted(state.questions, key=lambda q: (q.place.thread_id, q.id, q.asked_by)):
        yield {
            "thread_id": question.place.thread_id,
            "interrupt_id": question.id,
            "correlation_id": question.asked_by,
            "lineage": question.place.lineage,
            "generation": question.place.generation,
            "logical_run": question.place.logical_run,
            "asked_at": question.asked_at,
            "asking": question.asking,
            "answered_at": question.given.at if question.given else None,
            "answered_by": question.given.by if question.given else None,
            "answer_id": question.given.request if question.given else None,
            "answer_lineage": question.given.lineage if question.given else None,
            "answer": question.given.value if question.given else None,
        }


def _tombstones(state: State) -> Iterator[Row]:
    for correlation_id, until in sorted(state.tombstones.items()):
        yield {"correlation_id": correlation_id, "expires_at": until}


def _cancellations(state: State) -> Iterator[Row]:
    for correlation_id, noted in sorted(state.cancels.items()):
        cancel = noted.cancel
        yield {
            "correlation_id": correlation_id,
            "reason": clean(cancel.reason),
            "requested_by": clean(cancel.requested_by) if cancel.requested_by is not None else None,
            "expires_at": noted.until,
        }


def _step_executions(state: State) -> Iterator[Row]:
    for run in _runs_by_id(state):
        for step_id, (attempt, step) in sorted(run.steps.items()):
            yield {
                "correlation_id": run.correlation_id,
                "step_id": step_id,
                "attempt": attempt,
                "namespace": step.namespace,
                "node": step.node,
                "agent": step.agent,
                "status": step.status.value,
                "started_at": step.started_at,
                "finished_at": step.finished_at,
                "input": step.input,
                "output": step.output,
                "error": step.error,
            }


def _workflow_errors(state: State) -> Iterator[Row]:
    for run in _runs_in_order(state):
        for failure, attempt, at in run.errors:
            yield {
                "correlation_id": run.correlation_id,
                "attempt": attempt,
                "error_type": clean(failure.error_type),
                "message": clean(failure.message),
                "traceback": clean(failure.traceback),
                "node": clean(failure.node) if failure.node else None,
                "error_class": failure.error_class and failure.error_class.value,
                "model": clean(failure.model)[:MAX_MODEL_CHARACTERS] if failure.model else None,
                "wait_seconds": failure.wait_seconds,
                "worker_id": run.worker_id,
                "occurred_at": at,
            }


def _model_usage(state: State) -> Iterator[Row]:
    for run in _runs_by_id(state):
        for model, used in sorted(run.usage.items()):
            yield {"correlation_id": run.correlation_id, "model": model, **used.model_dump()}


def _run_spending(state: State) -> Iterator[Row]:
    for (lineage, generation), spent in sorted(state.spending.items()):
        yield {
            "lineage": lineage,
            "generation": generation,
            "steps": spent.steps,
            "seconds": spent.seconds,
            "usage": {model: used.model_dump() for model, used in spent.usage.items()},
            "unreported": sorted(spent.unreported) or None,
            "marks": None if spent.marks is None else sorted(spent.marks),
        }


def _shared_spending(state: State) -> Iterator[Row]:
    for key, (count, at) in sorted(state.shared_spending.items()):
        yield {
            "kind": key.account.kind.value,
            "name": key.account.name,
            "day": key.day,
            "worker_id": key.worker_id,
            "tokens": count.tokens,
            "cost_usd": count.cost_usd,
            "steps": count.steps,
            "seconds": count.seconds,
            "unpriced": next(iter(count.unpriced), None),
            "unreported": next(iter(count.unreported), None),
            "updated_at": at,
        }


def _models(state: State) -> Iterator[Row]:
    for name, model in sorted(state.models.items()):
        yield {"model": name, "cool_until": model.cool_until, "updated_at": model.updated_at}


def _model_turns(state: State) -> Iterator[Row]:
    for name, model in sorted(state.models.items()):
        for slot, count in sorted(model.turns.items()):
            counts = {"requests": count.requests, "answered": count.answered, "tokens": count.tokens}
            yield {"model": name, "slot": slot, **counts}


_TABLES: dict[str, Callable[[State], Iterator[Row]]] = {
    "workflow_runs": _workflow_runs,
    "tasks": _tasks,
    "lineages": _lineages,
    "threads": _threads,
    "interrupts": _interrupts,
    "tombstones": _tombstones,
    "cancellations": _cancellations,
    "step_executions": _step_executions,
    "workflow_errors": _workflow_errors,
    "model_usage": _model_usage,
    "run_spending": _run_spending,
    "shared_spending": _shared_spending,
    "models": _models,
    "model_turns": _model_turns,
}
