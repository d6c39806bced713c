"""What is wrong with a value, for its author: the place, what is right there, and the kind of what is there. Never the
value, which may be secret; and never more of a schema than a line, as others wrote it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from workflow_events.plain_text import one_line

_TYPES = {"string": "a text", "integer": "a whole number", "number": "a number", "boolean": "true or false"}
_TYPES |= {"array": "a list", "object": "a mapping", "null": "None"}
_LIMITS = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "exclusiveMinimum": "above {}",
    "exclusiveMaximum": "below {}",
    "minItems": "a list of at least {}",
    "maxItems": "a list of at most {}",
    "minLength": "a text of at least {} characters",
    "maxLength": "a text of at most {} characters",
}
MOST_NAMES = 500
"""How many names of others are compared or sorted."""

_MOST_SHOWN = 20
_MOST_CHARACTERS = 60


@dataclass(frozen=True)
class Misfit:
    """A value that does not fit.

    :param schema: what it should fit, without references.
    :param is_kind: whether it is of a wrong kind, rather than of a wrong size or content.
    :param missing: the field that it lacks.
    :param place: where it stands: keys and indexes, from outside in.
    """

    schema: Mapping[str, Any]
    value: Any
    is_kind: bool = False
    missing: str | None = None
    place: tuple[str | int, ...] = ()

    def inside(self, part: str | int) -> Misfit:
        """The same, seen from the value that holds it under a key or an index."""
        return replace(self, place=(part, *self.place))

    def in_words(self, name: str) -> str:
        """One sentence, with the remedy.

        :param name: of the whole value.
        """
        parts = (f"[{part}]" if isinstance(part, int) else f".{clipped(part)}" for part in self.place)
        place = name + "".join(parts)
        if self.missing is not None:
            return one_line(f"{place} lacks the field {clipped(self.missing)!r}, which the graph requires. Add it")
        if "anyOf" in self.schema and not self.is_kind:
            return one_line(
                f"{place} fits none of the {len(self.schema['anyOf'])} forms that the graph takes there. "
                "Correct the value"
            )
        return one_line(f"{place} must be {_expected(self.schema)}, not {_kind(self.value)}. Correct the value")


def clipped(text: Any) -> str:
    """A name of others, short enough for a sentence."""
    text = str(text)
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}…"


def listed(texts: Iterable[str], count: int) -> str:
    """Some of many names, sorted, and how many more there are."""
    shown = sorted(clipped(one) for one in islice(texts, MOST_NAMES))[:_MOST_SHOWN]
    more = f" and {count - len(shown)} more" if count > len(shown) else ""
    return f"{', '.join(shown) or 'none'}{more}"


def _expected(schema: Any) -> str:
    if not isinstance(schema, Mapping):
        return "another value"
    choices = schema.get("anyOf") or schema.get("oneOf")
    if isinstance(choices, list) and choices:
        words = dict.fromkeys(_expected_of_type(choice) for choice in choices[:_MOST_SHOWN])
        return " or ".join(words)
    return _expected_of_type(schema)


def _expected_of_type(schema: Any) -> str:
    if not isinstance(schema, Mapping):
        return "another value"
    if isinstance(schema.get("enum"), list):
        values = schema["enum"]
        more = f" and {len(values) - _MOST_SHOWN} more" if len(values) > _MOST_SHOWN else ""
        return "one of " + ", ".join(clipped(repr(one)) for one in values[:_MOST_SHOWN]) + more
    if "const" in schema:
        return clipped(repr(schema["const"]))
    types = schema.get("type")
    named = [types] if isinstance(types, str) else types if isinstance(types, list) else ()
    words = " or ".join(_TYPES.get(str(one), clipped(one)) for one in named[:_MOST_SHOWN]) or "another value"
    limits = [text.format(clipped(schema[key])) for key, text in _LIMITS.items() if key in schema]
    return f"{words} ({', '.join(limits)})" if limits else words


def _kind(value: Any) -> str:
    kinds = ((bool, "true or false"), (str, "a text"), (int | float, "a number"), (list, "a list"))
    if value is None:
        return "None"
    return next((words for kind, words in kinds if isinstance(value, kind)), "a mapping")
