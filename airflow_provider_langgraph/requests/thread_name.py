"""The name of a conversation. What lacks a name must not share one: it would read what is said in foreign ones."""

from __future__ import annotations

from typing import Any

from airflow_provider_langgraph.exceptions import SettingsError
from airflow_provider_langgraph.requests.arguments import short_repr
from airflow_provider_langgraph.requests.json_input import as_name
from airflow_provider_langgraph.requests.topics import is_still_to_come
from workflow_events.plain_text import one_line

_LONGEST_CHARACTERS = 512
_SHOWN_CHARACTERS = 60
_MISSING = ("None", "nan", "NaN", "NaT", "<NA>")  # the last four as pandas writes them
_OWN = "leave thread_id out for a thread of the request's own"


def check_thread_name(thread_id: Any) -> None:
    """Check an operator's ``thread_id`` when the DAG file is parsed. One that is rendered later is not checked here.

    :raises SettingsError: as from :func:`thread_name`.
    """
    if not is_still_to_come(thread_id):
        thread_name(thread_id)


def thread_name(rendered: Any, *, lacks_a_value: bool = False) -> Any:
    """The name that a rendered ``thread_id`` stands for; None for a thread of the request's own.

    :param lacks_a_value: an expression in its template has rendered to None.
    :raises SettingsError: it cannot be a name, or all requests that lack a value would have it.
    """
    name = as_name(rendered)
    if name is None:
        return None
    if not isinstance(name, str):
        raise SettingsError(f"thread_id must be a text, not {short_repr(rendered)}. Write a name, or {_OWN}")
    if not name.strip():
        raise SettingsError(f"thread_id: it is empty. Give the conversation a name, or {_OWN}")
    if lacks_a_value or name.strip() in _MISSING:
        missing = name.strip() if name.strip() in _MISSING else None
        raise SettingsError(
            f"thread_id: a value in it is {missing}, so that it is {_shown(name)}, and all requests without that value "
            f"would share one conversation. Give the value to this DAG run, or {_OWN}"
        )
    if name != name.strip():
        raise SettingsError(
            f"thread_id: {_shown(name)} begins or ends with a space, and would be another conversation than "
            f"{_shown(name.strip())}. Remove it; in a template with | trim"
        )
    if len(name) > _LONGEST_CHARACTERS:
        raise SettingsError(
            f"thread_id: it has {len(name)} characters, and {_LONGEST_CHARACTERS} are the most. Shorten it"
        )
    return name


def _shown(name: str) -> str:
    return repr(one_line(name if len(name) <= _SHOWN_CHARACTERS else f"{name[:_SHOWN_CHARACTERS]}…"))
