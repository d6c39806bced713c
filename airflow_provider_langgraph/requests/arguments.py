"""Checks of an operator's arguments, and their errors in the author's words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from airflow_provider_langgraph.exceptions import SettingsError
from workflow_events.fields import FieldError
from workflow_events.json_places import field_names
from workflow_events.log_words import with_article

_SHOWN_CHARACTERS = 60


def one_of(name: str, value: Any, allowed: tuple[str, ...]) -> Any:
    """Return the value if it is allowed.

    :raises SettingsError: it is not.
    """
    if value not in allowed:
        raise SettingsError(f"{name} must be one of {', '.join(allowed)}, not {value!r}")
    return value


def truth(name: str, value: Any) -> bool:
    """Return the value if it is a truth value. A text is none: ``"no"`` would count as true.

    :raises SettingsError: it is another one.
    """
    if not isinstance(value, bool):
        raise SettingsError(f"{name} must be True or False, not {short_repr(value)}")
    return value


def connection_id(value: Any) -> str:
    """Return the value if it can be the id of an Airflow connection: an unset variable gives a None.

    :raises SettingsError: it cannot.
    """
    if not isinstance(value, str) or not value.strip():
        raise SettingsError(
            f"kafka_config_id must be the id of an Airflow connection, not {short_repr(value)}. Leave it out for "
            "'kafka_default'"
        )
    return value


def short_repr(value: Any) -> str:
    """A value for a sentence: it is never too long, nor raises."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - a number of too many digits, or an object of the author's
        return with_article(type(value).__name__)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


# The path of a field in the message -> the operator's argument.
_ARGUMENTS = {("payload", "data"): "input"}

# Fields as the rules of a message name them -> the argument, and what is in it.
_IN_RULES = {
    "payload.data": ("input",),
    "config.model": ("config", "model"),
    "config.configurable": ("config", "configurable"),
    "the event's thread_id field": ("thread_id",),
}

_RECORD = re.compile(r"[\w.-]+\[\d+\]@\d+: ")
NO_MAPPING = "A template renders to text: write a mapping with templates inside"
"""The remedy where a mapping is wanted."""


# Pydantic's kind of a problem -> the remedy.
_REMEDIES = {
    "model_type": f". {NO_MAPPING}",
    "dict_type": f". {NO_MAPPING}",
    "string_type": ". Write a text",
    "string_too_short": ". Give it a value, or leave it out",
    "string_too_long": ". Shorten it",
    "list_type": ". Write a list",
    "too_long": ". Leave some out",
    "int_type": ". Write a whole number",
    "int_parsing": ". Write a whole number",
    "int_from_float": ". Write a whole number",
    "greater_than": ". Raise it, or leave it out",
    "greater_than_equal": ". Raise it, or leave it out",
    "less_than_equal": ". Lower it",
}

_NAMED_FIELD = re.compile(
    r"field '(?P<field>payload\.data|config|context|graph|assistant|thread_id|workflow_id)(?P<inside>(?:\.[^'\n]*)?)': "
)


def in_author_words(text: str, names: Mapping[str, str]) -> str:
    """A worker's reason why a request could not be run, with the operator's argument for the field that it begins with,
    and without the request's place in its topic, which a worker's log has.

    Nothing else is renamed: what follows may quote a graph.

    :param names: as for :func:`describe_problem`.
    """
    place = _RECORD.match(text)
    text = text[place.end() :] if place else text
    found = _NAMED_FIELD.match(text)
    if found is None:
        return text
    argument = "input" if found["field"] == "payload.data" else found["field"]
    return f"{names.get(argument, argument)}{found['inside']}: {text[found.end() :]}"


def describe_problem(error: ValidationError, names: Mapping[str, str], within: str = "") -> str:
    """The first problem in the author's words: the argument, the place in it, the problem and the remedy.

    :param names: what the author calls an argument of the operator, where it is not the argument's own name.
    :param within: the argument whose value was validated; empty: the whole message was.
    """
    first = error.errors(include_url=False, include_input=False)[0]
    cause = first.get("ctx", {}).get("error")
    place = [*([within] if within else []), *field_names(first["loc"])]
    if isinstance(cause, FieldError):
        place.append(cause.field)
    for wire, argument in _ARGUMENTS.items():
        if tuple(place[: len(wire)]) == wire:
            place = [argument, *place[len(wire) :]]
    remedy = _REMEDIES.get(first["type"], "")
    if len(place) == 3 and place[0] == "answers" and place[2] == "answered_by":
        place = ["answered_by"]
        remedy = ". Give the name of the person, a short text"
    elif place == ["context"] and cause is None:
        remedy = f". {NO_MAPPING}"
    elif place and place[0] in ("input", "context", "answers") and cause is None:
        remedy = ". It must be JSON, which has no NaN and no infinities: replace them"
    if place:
        place = [names.get(place[0], place[0]), *place[1:]]
    text = first["msg"] if cause is None else _rule(cause, names)
    if first["type"] == "model_type":  # names a class that no author knows
        text = "Input should be a valid dictionary"
    return f"{'.'.join(place) or 'the request'}: {text}{remedy}"


def _rule(cause: Exception, names: Mapping[str, str]) -> str:
    """A rule of the message's own, which names its fields."""
    text = cause.reason if isinstance(cause, FieldError) else str(cause)
    for field, (argument, *inside) in _IN_RULES.items():
        text = text.replace(field, ".".join([names.get(argument, argument), *inside]))
    return text
