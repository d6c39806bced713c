"""The questions of a graph that another task has asked, as an operator's argument gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from airflow_provider_langgraph.exceptions import SettingsError
from airflow_provider_langgraph.requests.given_handle import parsed
from airflow_provider_langgraph.requests.json_input import as_json
from airflow_provider_langgraph.requests.topics import is_still_to_come
from workflow_events.log_words import counted, with_article
from workflow_events.nearest_name import did_you_mean

_REMEDY = (
    "Pass what the task that asked has returned with on_interrupt='return', or its XCom 'question': "
    "question=ask.output, or question=\"{{ ti.xcom_pull('ask', key='question') }}\""
)

_ANSWERS = (
    "Give a mapping of interrupt ids to answers, such as the output of a task that returns "
    '{one["interrupt_id"]: "yes" for one in question["questions"]}'
)
_AS_IT_IS = (
    "Pass the value itself, such as the output of a task, answer=decide(ask.output), or render it as it is: "
    "render_template_as_native_obj=True of the DAG"
)


@dataclass(frozen=True, slots=True)
class GivenQuestion:
    """What an answer has to name.

    :param answers_to: the correlation id of the result that asks.
    :param interrupt_ids: of its questions, in their order.
    """

    answers_to: UUID
    interrupt_ids: tuple[str, ...]


def check_question(value: Any) -> None:
    """Check what is known of a question when the DAG file is parsed.

    :raises SettingsError: it can never be one.
    """
    if not is_still_to_come(value) and not isinstance(value, Mapping | str):
        raise SettingsError(f"question: {_found(value)}. {_REMEDY}")


def check_answers(value: Any) -> None:
    """Check what is known of the answers to several questions when the DAG file is parsed; None: there are none.

    :raises SettingsError: they can never be such.
    """
    if value is None or is_still_to_come(value) or (isinstance(value, Mapping) and value):
        return
    what = (
        "it is empty" if isinstance(value, Mapping) else f"{with_article(type(value).__qualname__)} names no question"
    )
    raise SettingsError(f"answers: {what}. {_ANSWERS}")


def require_meant(lost: Sequence[tuple[str, Any]]) -> None:
    """Check that no template of an answer has made a text of a value that means something else.

    :param lost: the places and values that were.
    :raises SettingsError: names the first of them.
    """
    for place, value in lost:
        remedy = "Give the name, or leave answered_by out" if place == "answered_by" else _AS_IT_IS
        raise SettingsError(
            f"{place}: a value in its template is {value!r}, and would be sent as a text, which every graph takes for "
            f"true. {remedy}"
        )


def question_in(value: Any) -> GivenQuestion:
    """The question that a rendered argument holds: the mapping, or its text.

    :raises SettingsError: it holds none.
    """
    given = parsed(value) if isinstance(value, str) else value
    if isinstance(given, Mapping) and "correlation_id" in given and "answers_to" not in given:
        raise SettingsError(f"question: it is the handle of a request, and no question. {_REMEDY}")
    try:
        ids = tuple(str(one["interrupt_id"]) for one in given["questions"])
        found = GivenQuestion(UUID(str(given["answers_to"])), ids)
    except (KeyError, TypeError, ValueError, IndexError):
        raise SettingsError(f"question: {_found(given)}. {_REMEDY}") from None
    if not ids:
        raise SettingsError(f"question: it has no questions, so there is nothing to answer. {_REMEDY}")
    return found


def answers_for(question: GivenQuestion, answer: Any, answers: Any) -> dict[str, Any]:
    """The answer to each question by its interrupt id, as JSON.

    :param answer: to the only question; None if ``answers`` are given.
    :param answers: by interrupt id: to some of the questions, or all.
    :raises SettingsError: there is no such question, or more than one for a single answer.
    """
    if answers is None:
        if len(question.interrupt_ids) > 1:
            ids = ", ".join(repr(one) for one in question.interrupt_ids)
            raise SettingsError(
                f"answer: the graph asks {len(question.interrupt_ids)} questions. Give answers= instead, a mapping of "
                f"their interrupt ids to the answers: {ids}"
            )
        return {question.interrupt_ids[0]: as_json(answer, "answer")}
    given = as_json(answers, "answers")
    if not isinstance(given, dict) or not given:
        raise SettingsError(f"answers: it must be a mapping of interrupt ids to answers, with one at least. {_ANSWERS}")
    for name in given:
        if name not in question.interrupt_ids:
            meant = did_you_mean(name, question.interrupt_ids)
            ids = ", ".join(repr(one) for one in question.interrupt_ids)
            raise SettingsError(f"answers: the graph asks no question {name!r}.{meant} Its interrupt ids are {ids}")
    return given


def _found(given: Any) -> str:
    if given is None:
        return "it is None: the task that it comes from has asked nothing, or has returned no question"
    if hasattr(given, "task_id"):
        return f"it is the task {given.task_id!r}, not its output"
    if isinstance(given, Sequence) and not isinstance(given, str):  # as the output of a mapped task is
        return (
            f"it holds {counted(len(given), 'value')}. To answer several tasks, map this one: "
            ".expand(question=ask.output) behind a mapped task"
        )
    if not isinstance(given, Mapping):
        return f"{with_article(type(given).__qualname__)} is no question"
    if "answers_to" not in given:
        return "it has no answers_to, so it is no question: the graph may have ended without one"
    return "it is no question as a task returns it"
