"""The questions of a graph that waits for a person, where people and other tasks find them: the log, and an XCom."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_langgraph.requests.question_parts import PartText, QuestionPart
from airflow_provider_langgraph.requests.shown_text import lines_of
from workflow_events.plain_text import indented, one_line
from workflow_events.results import Interrupt, WorkflowResultEvent

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

XCOM_KEY = "question"

MOST_QUESTIONS = 20
LONGEST_QUESTION_CHARACTERS = 2_000
_PIECE_CHARACTERS = 8_000


def show_questions(result: WorkflowResultEvent, events_topic: str, context: Context, log: Any) -> None:
    """Write the questions of an ``interrupted`` result to the task's log, and push them as the XCom ``question``.

    The XCom holds text only: a question is what a graph or a model made of it, and of some mappings Airflow would make
    objects.

    :param events_topic: where an answer is published.
    """
    log_questions(result, log, events_topic)
    push_question(result, context, log)


def log_questions(result: WorkflowResultEvent, log: Any, events_topic: str | None = None) -> None:
    """Write the questions to the task's log: each is one line of printable characters, and of a long one the beginning.

    :param events_topic: where an answer is published; None: the task asks a person itself.
    """
    shown = [_shown(one) for one in result.interrupts[:MOST_QUESTIONS]]
    left_out = len(result.interrupts) - len(shown)
    for one in shown:
        log.info("The graph asks: %s [interrupt id %s]", one["question"], one["interrupt_id"])
    if left_out:
        log.info("The graph asks %d more questions, which are left out here", left_out)
    if shown and events_topic is not None:
        log.info("To answer, publish this event to %s: %s", events_topic, _answer(result, shown))


def log_whole(asked: Sequence[tuple[QuestionPart, PartText]], log: Any) -> None:
    """Write all that a person has to read to the task's log, where a form does not show it: no character is left out.

    :param asked: the parts with their texts.
    """
    for number, (part, text) in enumerate(asked, start=1):
        what = f"the arguments of the tool {one_line(part.tool)}" if part.kind == "action" else "the question"
        _log_pieces(f"The whole of {number} of {len(asked)}: {what}", text.value, log)
        if part.kind == "choice":
            _log_pieces(f"The options of {number}", list(part.allowed), log)
        if text.about:
            _log_pieces(f"What the agent says about {number}", text.about, log)


def _log_pieces(what: str, value: Any, log: Any) -> None:
    text = "\n".join(lines_of(value))
    for start in range(0, len(text), _PIECE_CHARACTERS) or (0,):
        more = " (goes on)" if start else ""
        log.info("%s%s:\n    %s", what, more, indented(text[start : start + _PIECE_CHARACTERS]))


def push_question(result: WorkflowResultEvent, context: Context, log: Any, **more: Any) -> None:
    """Push the questions as the XCom ``question``.

    :param more: what a task adds that asks a person itself: ``code`` and ``round``.
    """
    try:
        context["ti"].xcom_push(key=XCOM_KEY, value=question_of(result) | more)
    except Exception as error:  # noqa: BLE001 - that the graph asks matters more
        log.warning("The XCom %r cannot be written: %s", XCOM_KEY, error)


def asked_round(context: Context) -> int:
    """The round of the last question that this try has asked a person; -1 if it has asked none."""
    ti = context["ti"]
    try:
        asked = ti.xcom_pull(
            task_ids=ti.task_id, key=XCOM_KEY, map_indexes=-1 if ti.map_index is None else ti.map_index
        )
    except Exception:  # noqa: BLE001 - then the request of the last round runs to its deadline
        return -1
    return asked["round"] if isinstance(asked, dict) and isinstance(asked.get("round"), int) else -1


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
