"""The settings of a run as an operator's argument gives them, checked when the DAG file is parsed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any

from pydantic import ValidationError

from airflow_provider_langgraph.exceptions import SettingsError
from airflow_provider_langgraph.requests.arguments import NO_MAPPING, describe_problem, short_repr
from airflow_provider_langgraph.requests.json_input import as_json
from airflow_provider_langgraph.requests.topics import is_still_to_come
from workflow_events.models import RunConfig
from workflow_events.nearest_name import did_you_mean

RUN_KEYS = tuple(RunConfig.model_fields)


def check_config(config: Any, names: Mapping[str, str]) -> None:
    """Check what is known of an operator's ``config``. What holds a template or another task's output comes later.

    :param names: what the author calls an argument, where it is not the argument's own name.
    :raises SettingsError: a key is unknown, or a value can never be right; names the key, the problem and the remedy.
    """
    if config is None or is_still_to_come(config):
        return
    name = names.get("config", "config")
    if not isinstance(config, Mapping):
        raise SettingsError(
            f"{name} must be a mapping, such as {{'tags': ['nightly']}}, not {config!r}. A template renders to text: "
            "write a mapping with templates inside"
        )
    for key, value in config.items():
        if key not in RUN_KEYS:
            meant = did_you_mean(str(key), RUN_KEYS)
            raise SettingsError(f"{name}: unknown key {key!r}.{meant} Allowed are {', '.join(RUN_KEYS)}")
        if value is None or _has_what_is_to_come(value):
            continue
        try:
            RunConfig.model_validate({key: as_json(value, f"{name}.{key}")})
        except ValidationError as error:
            raise SettingsError(describe_problem(error, names, within="config")) from None


def check_context(context: Any, name: str) -> None:
    """Check what is known of an operator's ``context``.

    :param name: what the author calls it.
    :raises SettingsError: it can never be a mapping.
    """
    if not is_still_to_come(context) and isinstance(context, str | bytes | int | float | Sequence | Set):
        raise SettingsError(
            f"{name}: it must be a mapping, such as {{'user': 'ann'}}, not {short_repr(context)}. {NO_MAPPING}"
        )


def _has_what_is_to_come(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_has_what_is_to_come(part) for part in value.values())
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return any(_has_what_is_to_come(part) for part in value)
    return is_still_to_come(value)
