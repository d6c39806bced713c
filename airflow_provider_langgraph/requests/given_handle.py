"""A request's handle as another task's return value brings it to an operator: a mapping, or its text."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from airflow_provider_langgraph.exceptions import SettingsError
from airflow_provider_langgraph.requests.handle import RequestHandle
from airflow_provider_langgraph.requests.topics import is_still_to_come, with_configured_topics
from workflow_events.json_places import field_names
from workflow_events.log_words import counted, with_article
from workflow_events.plain_text import one_line

_REMEDY = "Pass what a LangGraphTriggerOperator with wait_for_completion=False returns, such as handle=ask.output"
_SHOWN_CHARACTERS = 60


def check_handle(value: Any) -> None:
    """Check an operator's ``handle`` when the DAG file is parsed. Texts and mappings are checked when the task runs.

    :raises SettingsError: it can never be one, such as another operator instead of its output.
    """
    if not is_still_to_come(value) and not isinstance(value, str | Mapping | RequestHandle):
        raise SettingsError(f"handle: {_found(value)}. {_REMEDY}")


def handle_in(value: Any) -> RequestHandle:
    """The handle that a rendered argument holds, with all of its topics.

    :param value: the mapping that :meth:`RequestHandle.to_dict` made; its text in JSON, or as a Jinja template prints a
        mapping.
    :raises SettingsError: it is no handle; says what it is instead, or names the field.
    """
    if isinstance(value, RequestHandle):
        return with_configured_topics(value)
    data = parsed(value) if isinstance(value, str) else value
    if not isinstance(data, Mapping):
        raise SettingsError(f"handle: {_found(data)}. {_REMEDY}")
    try:
        _check(dict(data))
        handle = RequestHandle.from_dict(dict(data))
    except ValidationError as error:
        raise SettingsError(f"handle: {_first_problem(error)}. {_REMEDY}") from None
    except (ValueError, TypeError, AttributeError) as error:
        raise SettingsError(f"handle: it cannot be read: {one_line(str(error))}. {_REMEDY}") from None
    if handle.deadline.tzinfo is None:
        raise SettingsError(f"handle: deadline has no time zone. {_REMEDY}")
    return with_configured_topics(handle)


@cache
def _adapter() -> TypeAdapter[RequestHandle]:
    return TypeAdapter(RequestHandle)


def _check(data: dict[str, Any]) -> None:
    _adapter().validate_python(data)


def parsed(text: str) -> Any:
    """The value in a text, in JSON or as Python writes it; the text itself where there is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(text.strip())  # a Jinja template prints a mapping as Python writes it
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return text


def _found(value: Any) -> str:
    """What was given instead of a mapping."""
    if hasattr(value, "task_id"):
        return f"it is the task {value.task_id!r}, not its output"
    if value is None:
        return "it is None: the task that publishes the request has returned nothing, perhaps because it was skipped"
    if isinstance(value, str):
        shown = value if len(value) <= _SHOWN_CHARACTERS else f"{value[:_SHOWN_CHARACTERS]}…"
        return f"the text {one_line(shown)!r} is no mapping"
    if isinstance(value, Sequence):  # a mapped task's output is no list, but a sequence of Airflow's own
        return (
            f"it holds {counted(len(value), 'value')}. To wait for several handles, map the task: "
            ".expand(handle=ask.output) behind a mapped task"
        )
    return f"{with_article(type(value).__qualname__)} is no mapping"


def _first_problem(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(field_names(first["loc"]))
    if first["type"] == "missing":
        return f"it has no {place}, so it is no handle of a request"
    return f"{place}: {one_line(first['msg'])}"
