"""The JSON of what an author passes to a graph: what other tasks return, also results of agents, can be passed on."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence, Set
from enum import Enum
from typing import Any

import pydantic_core
from pydantic import BaseModel, Secret, SecretBytes, SecretStr

from airflow_provider_langgraph.exceptions import SettingsError
from workflow_events.log_words import with_article

_PLAIN = (str, int, float, bool, type(None))
_SECRETS = (Secret, SecretBytes, SecretStr)
_TEXTS = (str, bytes, bytearray, memoryview)
_LONGEST_NAME_CHARACTERS = 60


def as_json(value: Any, name: str) -> Any:
    """The JSON form of a value: dates, sets, tuples, Decimals, UUIDs, data classes, pydantic models and mapped outputs
    included. It is the form that they have in a result; a set is sorted, so that a retry sends the same input.

    :param name: the argument's, for errors.
    :raises SettingsError: a part has no JSON form or is a task, or two keys have the same; names the place.
    """
    try:
        return _json(value, (name,))
    except RecursionError:
        raise SettingsError(f"{name}: it holds itself, or is nested too deeply for JSON") from None


def as_name(value: Any) -> Any:
    """A number as the text that it stands for, where a name is wanted; anything else as it is."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    try:
        return str(value) if is_number else value
    except ValueError:  # a number of too many digits, which what reads the name refuses
        return value


def _json(value: Any, place: tuple[str, ...]) -> Any:
    if type(value) in _PLAIN:
        return value
    if _is_task(value):
        raise SettingsError(
            f"{_text(place)}: it is the task {value.task_id!r}, not its output. Write .output behind the task"
        )
    if isinstance(value, BaseModel):
        return _json(value.model_dump(serialize_as_any=True), place)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _mapping({field.name: getattr(value, field.name) for field in dataclasses.fields(value)}, place)
    if isinstance(value, Enum):
        return _json(value.value, place)
    if isinstance(value, Mapping):
        return _mapping(value, place)
    if isinstance(value, Set):
        parts = [_json(part, (*place, "(a set)")) for part in value]
        return sorted(parts, key=lambda part: json.dumps(part, sort_keys=True))
    if isinstance(value, Sequence) and not isinstance(value, _TEXTS):
        return [_json(part, (*place, str(number))) for number, part in enumerate(value)]
    return _leaf(value, place)


def _is_task(value: Any) -> bool:
    """Whether it is an operator. One is a data class too, and an author's own class may have a task_id."""
    return hasattr(value, "task_id") and hasattr(value, "upstream_task_ids")


def _mapping(value: Mapping[Any, Any], place: tuple[str, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, part in value.items():
        name = key if type(key) is str else next(iter(_leaf({key: None}, place)))
        if name in found:
            raise SettingsError(f"{_text(place)}: two keys are {name!r} in JSON, whose keys are text. Rename one")
        found[name] = _json(part, (*place, name))
    return found


def _leaf(value: Any, place: tuple[str, ...]) -> Any:
    if isinstance(value, _SECRETS):
        raise SettingsError(
            f"{_text(place)}: {with_article(type(value).__name__)} would be sent as stars. Let the worker have the "
            "secret; or write .get_secret_value() to send it, which Kafka and the run store then keep"
        )
    try:
        return pydantic_core.to_jsonable_python(value, bytes_mode="base64", inf_nan_mode="constants")
    except Exception:  # noqa: BLE001 - an author's object may raise anything when it is looked at
        raise SettingsError(
            f"{_text(place)}: {with_article(type(value).__qualname__)} has no JSON form. Convert it to text, numbers, "
            "lists or mappings; dates, sets, tuples, Decimals, UUIDs, data classes, pydantic models and mapped outputs "
            "are converted for you"
        ) from None


def _text(place: tuple[str, ...]) -> str:
    return ".".join(name[:_LONGEST_NAME_CHARACTERS] for name in place)
