"""One run as people and programs are shown it: its content as it may leave the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pydantic import JsonValue

from langgraph_worker.domain.models import Step
from langgraph_worker.domain.redaction import Redactor
from langgraph_worker.domain.run_views import QuestionView, RunDetail, StepPage

_NAMES = frozenset(
    {
        "event_id",
        "event_type",
        "timestamp",
        "source",
        "workflow_id",
        "workflow_run_id",
        "graph",
        "assistant",
        "thread_id",
        "attempt",
        "deadline",
        "reply_topic",
        "budget",
        "priority",
        "replay",
        "fork",
        "round",
        "answers_to",
    }
)
"""The fields of an event that are names, ids, times and numbers. All others are content, also those of a newer peer."""


def redacted_detail(detail: RunDetail, redactor: Redactor) -> RunDetail:
    """The run with its input, answers, result, steps and errors redacted: also what was stored before its project had
    a hook.

    :raises RedactionError: the hook failed: nothing may be shown.
    """
    if redactor.changes_nothing:
        return detail
    return replace(
        detail,
        event=None if detail.event is None else _event(detail.event, redactor),
        result=None if detail.result is None else redactor.result(detail.result, "show"),
        steps=tuple(replace(one, step=_step(one.step, redactor)) for one in detail.steps),
        errors=tuple(replace(one, failure=redactor.failure(one.failure, "show")) for one in detail.errors),
        questions=tuple(_question(one, redactor) for one in detail.questions),
    )


def redacted_steps(page: StepPage, redactor: Redactor) -> StepPage:
    """The page with the content of its steps redacted.

    :raises RedactionError: the hook failed: nothing may be shown.
    """
    if redactor.changes_nothing:
        return page
    return replace(page, steps=tuple(replace(one, step=_step(one.step, redactor)) for one in page.steps))


def _event(event: Mapping[str, JsonValue], redactor: Redactor) -> dict[str, JsonValue]:
    return {name: value if name in _NAMES else redactor.value("show", value, name) for name, value in event.items()}


def _step(step: Step, redactor: Redactor) -> Step:
    error = None if step.error is None else redactor.text("show", step.error, "error")
    given, returned = redactor.value("show", step.input, "input"), redactor.value("show", step.output, "output")
    return replace(step, input=given, output=returned, error=error)


def _question(question: QuestionView, redactor: Redactor) -> QuestionView:
    value, answer = (
        redactor.value("show", question.value, "question"),
        redactor.value("show", question.answer, "answer"),
    )
    return replace(question, value=value, answer=answer)
