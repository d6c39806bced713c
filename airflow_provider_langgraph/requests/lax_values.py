"""Which values of JSON pydantic takes for a type of JSON Schema. It converts some: a check must not refuse them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

_TRUTH_WORDS = frozenset({"0", "off", "f", "false", "n", "no", "1", "on", "t", "true", "y", "yes"})
_MOST_DIGITS = 4000


def is_of(kind: Any, value: Any, schema: Mapping[str, Any]) -> bool:
    """Whether a value can be of a type. A type of an unknown name takes every value.

    :param schema: where the type stands: a ``format`` allows numbers for a text, such as the seconds of a date.
    """
    if kind in ("integer", "number"):
        return _is_numeric(value) and not (
            kind == "integer" and isinstance(value, float) and value == value and not value.is_integer()
        )
    if kind == "boolean":
        return value in (0, 1) if isinstance(value, int | float) else _is_word(value)
    if kind == "string":
        return isinstance(value, str) or ("format" in schema and isinstance(value, int | float))
    plain: dict[Any, type] = {"array": list, "object": Mapping, "null": type(None)}
    return isinstance(value, plain.get(kind, object)) if isinstance(kind, str) else True


def is_one_of(choices: Iterable[Any], value: Any) -> bool:
    """Whether a value can be one of some. A value with others inside is not compared."""
    if isinstance(value, list | Mapping):
        return any(isinstance(one, list | Mapping) for one in choices)
    return any(value == one or _is_same_number(value, one) for one in choices)


def _is_numeric(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) > _MOST_DIGITS or _as_number(value) is not None
    return isinstance(value, int | float)


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and value.lower() in _TRUTH_WORDS


def _is_same_number(value: Any, choice: Any) -> bool:
    if not isinstance(value, str) or not isinstance(choice, int | float):
        return False
    return _is_word(value) if isinstance(choice, bool) else _as_number(value) == choice


def _as_number(text: str) -> float | None:
    try:
        return float(text) if len(text) <= _MOST_DIGITS else None
    except ValueError:
        return None
