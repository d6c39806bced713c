"""Names of graphs, assistants and models as an operator's arguments give them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from airflow_provider_langgraph.exceptions import SettingsError
from airflow_provider_langgraph.requests.arguments import short_repr
from airflow_provider_langgraph.requests.json_input import as_name
from airflow_provider_langgraph.requests.topics import is_still_to_come


def check_name(place: str, value: Any) -> None:
    """Check what is known of a name when the DAG file is parsed. None, a template and another task's output are right.

    :param place: what the author wrote for it.
    :raises SettingsError: it can never be a name.
    """
    if value is None or is_still_to_come(value):
        return
    name = as_name(value)
    if not isinstance(name, str) or not name.strip():
        raise SettingsError(f"{place}: a name is a text that is not empty, not {short_repr(value)}. Write the name")


def require_values_in_names(lacking: Iterable[str]) -> None:
    """Check names whose templates are rendered.

    :param lacking: what the author wrote for those in which a value has rendered to None.
    :raises SettingsError: there is one: it would name something else.
    """
    for place in lacking:
        raise SettingsError(
            f"{place}: a value in its template is None, and would stand in the name as the word 'None'. Give the value "
            "to this DAG run, or a default: {{ ... or 'name' }}"
        )
