"""Checks of an operator's arguments, and their errors in the author's words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from airflow_provider_langgraph.exceptions import SettingsError
from workflow_events.json_places import field_names


def one_of(name: str, value: Any, allowed: tuple[str, ...]) -> Any:
    """Return the value if it is allowed.

    :raises SettingsError: it is not.
    """
    if value not in allowed:
        raise SettingsError(f"{name} must be one of {', '.join(allowed)}, not {value!r}")
    return value


# The path of a field in the message -> the operator's argument.
_ARGUMENTS = {("payload", "data"): "input"}


def describe_problem(error: ValidationError, names: Mapping[str, str]) -> str:
    """The first problem in the author's words: the argument, the place in it, the problem and the remedy.

    :param names: what the author calls an argument of the operator, where it is not the argument's own name.
    """
    first = error.errors(include_url=False, include_input=False)[0]
    place = field_names(first["loc"])
    for wire, argument in _ARGUMENTS.items():
        if tuple(place[: len(wire)]) == wire:
            place = [argument, *place[len(wire) :]]
    remedy = ""
    if place == ["context"]:
        remedy = ". A template renders to text: write a mapping with templates inside"
    elif place and place[0] in ("input", "context", "answers"):
        remedy = ". It must be JSON, which has no NaN and no infinities: replace them"
    if place:
        place = [names.get(place[0], place[0]), *place[1:]]
    return f"{'.'.join(place) or 'the request'}: {first['msg']}{remedy}"
