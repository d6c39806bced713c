"""One run as text for a terminal. What agents and events wrote is shown as text, capped, and drives nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from langgraph_worker.cli.runs.list_runs import lasted, run_table, took
from langgraph_worker.cli.text_table import table
from langgraph_worker.domain.run_views import (
    MOST_SHOWN,
    ErrorView,
    QuestionState,
    QuestionView,
    RunDetail,
    StepView,
    WaitsFor,
)
from workflow_events.log_words import counted, in_seconds, in_utc, short_id
from workflow_events.plain_text import indented, one_line
from workflow_events.results import ModelUsage

SHOWN_CHARACTERS = 2_000
"""How much of a value, or of an error, is shown unless all is wanted."""

_LABEL = 11


def run_page(detail: RunDetail, now: datetime, *, full: bool) -> list[str]:
    """The lines of a run.

    :param now: for what is still going on, UTC.
    :param full: show values whole, tracebacks, and what steps got and returned.
    """
    sections = [
        _asked_and_answered(detail, full),
        _questions(detail, full),
        _facts(detail, now),
        _usage(detail.usage),
        _steps(detail, now, full),
        _errors(detail.errors, full),
        _requests(detail, now),
    ]
    lines: list[str] = []
    for section in sections:
        found = list(section)
        lines += ["", *found] if lines and found else found
    return lines


def _asked_and_answered(detail: RunDetail, full: bool) -> Iterator[str]:
    event, result = detail.event, detail.result
    if event is not None and event.get("answers"):
        for given in _mappings(event["answers"]):
            by = f" by {given['answered_by']}" if given.get("answered_by") else ""
            yield _labelled("answer", f"{given['interrupt_id']}{by}: {_value(given['value'], full)}")
    elif event is not None:
        fork = _mapping(event.get("fork"))
        if fork:
            behind = f", changed in the name of {fork['as_node']}" if fork.get("as_node") else ""
            yield _labelled("fork", f"of request {fork.get('of')}, from checkpoint {fork.get('checkpoint_id')}{behind}")
        payload = _mapping(event.get("payload"))
        yield _labelled("input", _value(payload.get("command") or payload.get("data"), full))
    if result is None:
        yield _labelled("result", f"none yet: it is {detail.run.status.value}")
    elif result.error is not None:
        kind = f", {result.error_type}" if result.error_type and result.error_type not in result.error else ""
        yield _labelled("result", f"{result.status.value}{kind}: {_capped(result.error, full)}")
    else:
        yield _labelled("result", f"{result.status.value}: {_value(result.result, full)}")


def _questions(detail: RunDetail, full: bool) -> Iterator[str]:
    for question in detail.questions:
        yield _labelled("question", f"{question.interrupt_id}: {_value(question.value, full)}")
        yield _labelled("", _standing(question, full))


def _standing(question: QuestionView, full: bool) -> str:
    if question.state is QuestionState.PENDING:
        return f"it waits for: langgraph-worker runs resume {short_id(question.asked_by)} --answer JSON"
    if question.state is not QuestionState.ANSWERED or question.answered_at is None:
        return question.state.value
    by = f" by {question.answered_by}" if question.answered_by else ""
    request = f" in request {short_id(question.answer_id)}" if question.answer_id is not None else ""
    return f"answered{by} at {in_utc(question.answered_at)}{request}: {_value(question.answer, full)}"


def _facts(detail: RunDetail, now: datetime) -> Iterator[str]:
    run = detail.run
    yield _labelled("run", str(run.correlation_id))
    yield _labelled("graph", run.graph or "-")
    tried = f", try {run.try_number}" if run.try_number is not None else ""
    again = f", resumed {counted(run.replay, 'time')}" if run.replay else ""
    yield _labelled("dag", f"{run.workflow_id}, run {run.workflow_run_id}{tried}{again}")
    if run.thread_id is not None:
        yield _labelled("thread", f"{run.thread_name} ({run.thread_id})" if run.thread_name else run.thread_id)
    yield _labelled("accepted", f"{in_utc(run.accepted_at)} ({run.decision.value})")
    if run.started_at is not None:
        starts = f", {counted(run.attempts, 'start')}" if run.attempts != 1 else ""
        lost = f", {counted(detail.takeovers, 'takeover')} since its last checkpoint" if detail.takeovers else ""
        yield _labelled("started", f"{in_utc(run.started_at)} on {run.worker_id}{starts}{lost}")
    if run.finished_at is not None:
        sent = "" if detail.published_at is not None else "; its result is not published yet"
        yield _labelled("finished", f"{in_utc(run.finished_at)}, after {took(run, now)}{sent}")
    else:
        yield from _prospects(detail, now)
    if detail.release is not None:
        yield _labelled("release", detail.release)


def _prospects(detail: RunDetail, now: datetime) -> Iterator[str]:
    if detail.not_before is not None and detail.not_before > now:
        left = in_seconds((detail.not_before - now).total_seconds())
        yield _labelled("goes on", f"in {left}{_why_it_backs_off(detail)}")
    elif detail.waits_for is not None:
        yield _labelled("waits", _what_it_waits_for(detail, detail.waits_for))
    if detail.deadline is not None:
        yield _labelled("deadline", in_utc(detail.deadline))


def _why_it_backs_off(detail: RunDetail) -> str:
    last = detail.errors[-1] if detail.errors else None
    if last is not None and last.attempt == detail.run.attempts and last.failure.wait_seconds is not None:
        return ", after an error"
    if detail.waits_for is not None and detail.waits_for.models:
        return f", shortly before its turn to call {' and '.join(detail.waits_for.models)}"
    return ""


def _what_it_waits_for(detail: RunDetail, waits: WaitsFor) -> str:
    if waits.pause is not None:
        return f"{waits.pause.in_words} (langgraph-worker pauses)"
    if waits.thread_holder is not None:
        return f"for request {waits.thread_holder}, which runs on its thread"
    if not waits.running:
        return "for a slot"
    run = "run" if waits.running != 1 else "runs"
    return (
        f"for a slot; {counted(waits.running, 'run')} of graph {detail.run.graph} {run} now, on all workers. If its "
        "max_running is no more, one of them has to end first"
    )


def _usage(usage: Mapping[str, ModelUsage]) -> Iterator[str]:
    if usage:
        rows = [
            (
                model,
                f"{used.requests:,}",
                f"{used.input_tokens:,}",
                f"{used.output_tokens:,}",
                "-" if used.cost_usd is None else f"{used.cost_usd:.4f}",
            )
            for model, used in sorted(usage.items())
        ]
        yield from table(("MODEL", "CALLS", "TOKENS IN", "TOKENS OUT", "US DOLLARS"), rows)


def _steps(detail: RunDetail, now: datetime, full: bool) -> Iterator[str]:
    if not detail.steps:
        return
    if len(detail.steps) == MOST_SHOWN:
        yield f"the last {MOST_SHOWN} steps:"
    if not full:
        head = ("STEP", "STATUS", "STARTED", "TOOK", "START OF THE RUN", "ERROR")
        yield from table(head, [_step_row(one, now) for one in detail.steps])
        return
    for one in detail.steps:
        node, status, started, time, attempt, _ = _step_row(one, now)
        yield one_line(f"step {node}: {status.lower()}, {started}, {time}, start {attempt} of the run")
        for name, value in (("got", one.step.input), ("returned", one.step.output)):
            if value is not None:
                yield _labelled(f"  {name}", _value(value, full))
        if one.step.error:
            yield _labelled("  error", one.step.error)


def _step_row(view: StepView, now: datetime) -> Sequence[str]:
    step = view.step
    node = f"{step.namespace}|{step.node}" if step.namespace else step.node
    time = lasted((step.finished_at or now) - step.started_at)
    started = in_utc(step.started_at).removesuffix(" UTC")
    named = f"{node} ({step.agent})" if step.agent and step.agent != step.node else node
    return (named, step.status.value, started, time, str(view.attempt), step.error or "")


def _errors(errors: Sequence[ErrorView], full: bool) -> Iterator[str]:
    for error in errors:
        failure = error.failure
        place = f" in {failure.node}" if failure.node else ""
        yield _labelled("error", f"{in_utc(error.occurred_at)}, start {error.attempt} of the run{place}")
        yield _labelled("", f"{failure.error_type}: {_capped(failure.message, full)}")
        kind = [failure.error_class.value] if failure.error_class is not None else []
        model = [f"model {failure.model}"] if failure.model else []
        wait = [f"goes on after {in_seconds(failure.wait_seconds)}"] if failure.wait_seconds is not None else []
        if kind or model or wait:
            yield _labelled("", ", ".join([*kind, *model, *wait]))
        if full and failure.traceback:
            yield _labelled("", failure.traceback)


def _requests(detail: RunDetail, now: datetime) -> Iterator[str]:
    if len(detail.requests) > 1:
        yield "all requests of this work, oldest first:"
        yield from run_table(detail.requests, now)


def _labelled(label: str, text: str) -> str:
    first, *others = indented(text).split("\n")
    return "\n".join([f"{label:<{_LABEL}}{first}", *(" " * _LABEL + line.removeprefix("    ") for line in others)])


def _value(value: Any, full: bool) -> str:
    if full:
        return json.dumps(value, ensure_ascii=False, indent=2)
    return _capped(json.dumps(value, ensure_ascii=False), full)


def _capped(text: str, full: bool) -> str:
    if full or len(text) <= SHOWN_CHARACTERS:
        return text
    return f"{text[:SHOWN_CHARACTERS]}… ({len(text) - SHOWN_CHARACTERS:,} more characters; --full shows them)"


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _mappings(value: Any) -> Iterator[Mapping[str, Any]]:
    yield from (one for one in value if isinstance(one, Mapping))
