"""The questions of a graph that waits for a person, where people and other tasks find them: the log, and an XCom."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from workflow_events.plain_text import one_line
from workflow_events.results import Interrupt, WorkflowResultEvent

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

XCOM_KEY = "question"

MOST_QUESTIONS = 20
LONGEST_QUESTION_CHARACTERS = 2_000


def show_questions(result: WorkflowResultEvent, events_topic: str, context: Context, log: Any) -> None:
    """Write the questions of an ``interrupted`` result to the task's log, and push them as the XCom ``question``.

    Each is one line of printable characters, and of a long one the beginning. The XCom holds text only: a question is
    what a graph or a model made of it, and of some mappings Airflow would make objects.

    :param events_topic: where an answer is published.
    """
    shown = [_shown(one) for one in result.interrupts[:MOST_QUESTIONS]]
    left_out = len(result.interrupts) - len(shown)
    for one in shown:
        log.info("The graph asks: %s [interrupt id %s]", one["question"], one["interrupt_id"])
    if left_out:
        log.info("The graph asks %d more questions, which are left out here", left_out)
    if shown:
        log.info("To answer, publish this event to %s: %s", events_topic, _answer(result, shown))
    _push(context, question_of(result), log)


def question_of(result: WorkflowResultEvent) -> dict[str, Any]:
    """The questions of an ``interrupted`` result as text, with what an answer has to name."""
    shown = [_shown(one) for one in result.interrupts[:MOST_QUESTIONS]]
    return {
        "answers_to": str(result.correlation_id),
        "workflow_id": result.workflow_id,
        "workflow_run_id": result.workflow_run_id,
        "questions": shown,
        "left_out": len(result.interrupts) - len(shown),
    }


def _shown(interrupt: Interrupt) -> dict[str, str]:
    value = interrupt.value
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return {"interrupt_id": one_line(interrupt.id), "question": _bounded(text)}


def _bounded(text: str) -> str:
    more = len(text) - LONGEST_QUESTION_CHARACTERS
    kept = one_line(text[:LONGEST_QUESTION_CHARACTERS])
    return kept if more <= 0 else f"{kept}… ({more:,} more characters)"


def _answer(result: WorkflowResultEvent, shown: list[dict[str, str]]) -> str:
    event = {
        "event_type": "workflow.resumed",
        "source": "fastapi",
        "workflow_id": result.workflow_id,
        "workflow_run_id": result.workflow_run_id,
        "round": 1,
        "answers_to": str(result.correlation_id),
        "answers": [{"interrupt_id": one["interrupt_id"], "value": "YOUR ANSWER"} for one in shown],
    }
    return one_line(json.dumps(event, ensure_ascii=False))


def _push(context: Context, value: dict[str, Any], log: Any) -> None:
    try:
        context["ti"].xcom_push(key=XCOM_KEY, value=value)
    except Exception as error:  # noqa: BLE001 - that the graph asks matters more
        log.warning("The XCom %r cannot be written: %s", XCOM_KEY, error)
