"""Does a value fit a JSON Schema that a worker has announced? One sentence about the first thing that does not.

A schema comes from a topic that others write to. So what a check costs is bounded, whatever the schema says, and a
check that would cost more says nothing.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import Any

from airflow_provider_langgraph.requests.lax_values import is_of, is_one_of
from airflow_provider_langgraph.requests.misfit import MOST_NAMES, Misfit, clipped, listed
from workflow_events.nearest_name import did_you_mean

MOST_STEPS = 100_000
"""How much one check may cost: pairs of a schema and a value, and names and choices that are compared."""

MOST_LEVELS = 100
"""How deep schemas and values may nest."""

_LIMITS: dict[str, Callable[[float, float], bool]] = {
    "minimum": operator.ge,
    "maximum": operator.le,
    "exclusiveMinimum": operator.gt,
    "exclusiveMaximum": operator.lt,
}
_ANYTHING: Mapping[str, Any] = {}
_LENGTHS = {"minItems": list, "maxItems": list, "minLength": str, "maxLength": str}


class _TooMuchError(Exception):
    """The check would cost more than it may."""


def misfit(schema: Mapping[str, Any] | None, value: Any, name: str, *, is_whole: bool = True) -> str | None:
    """What is wrong with a value; None if nothing is, or if the schema cannot say.

    :param name: of the value, for the reader.
    :param is_whole: whether the value holds all that there will be, so that a required field may not be missing.
    """
    if schema is None or value is None:  # without an input a run continues
        return None
    try:
        check = _Check(schema)
        top = check.resolved(schema)
        fields = top.get("properties")
        if isinstance(value, Mapping) and isinstance(fields, Mapping):
            check.count(len(value))
            found = _unknown_field(top, fields, value, name)
            if found is not None:
                return found
        problem = check.problem(schema, value, is_whole=is_whole)
    except Exception:  # noqa: BLE001 - a schema of others may be anything, of any size, and refer to anything
        return None
    return None if problem is None else problem.in_words(name)


def _unknown_field(
    schema: Mapping[str, Any], fields: Mapping[str, Any], value: Mapping[str, Any], name: str
) -> str | None:
    if schema.get("additionalProperties") or schema.get("patternProperties"):
        return None
    for one in value:
        if one not in fields:
            known = [other for other in list(fields)[:MOST_NAMES] if other not in value and clipped(other) == other]
            meant = did_you_mean(clipped(one), known)
            return (
                f"{name} has a field {clipped(one)!r}, which the graph does not take.{meant} It takes "
                f"{listed(map(str, fields), len(fields))}. Correct the name, or leave the field out"
            )
    return None


@dataclass
class _Check:
    """One comparison. Not compared: ``pattern``, whose dialect is the worker's and whose cost is unbounded;
    ``format``; names inside of a field; and what a run itself would accept.

    :param root: the schema whose ``$defs`` are referred to.
    """

    root: Mapping[str, Any]
    steps: int = 0
    known: dict[tuple[int, int, bool], Misfit | None] = field(default_factory=dict)

    def count(self, steps: int) -> None:
        """:raises _TooMuchError: all steps together are too many."""
        self.steps += steps
        if self.steps > MOST_STEPS:
            raise _TooMuchError

    def resolved(self, schema: Any) -> Mapping[str, Any]:
        """What a schema refers to: one step each. A reference that leads elsewhere than to ``$defs`` says nothing."""
        for _ in range(MOST_LEVELS):
            self.count(1)
            if not isinstance(schema, Mapping):
                return _ANYTHING
            if "$ref" not in schema:
                return schema
            definitions, reference = self.root.get("$defs"), str(schema["$ref"])
            schema = definitions.get(reference.removeprefix("#/$defs/")) if isinstance(definitions, Mapping) else None
        return _ANYTHING

    def problem(self, schema: Any, value: Any, level: int = 0, *, is_whole: bool = True) -> Misfit | None:
        """The first thing that is wrong; None if nothing is.

        :raises _TooMuchError: see :meth:`count`.
        """
        if level > MOST_LEVELS:
            raise _TooMuchError
        schema = self.resolved(schema)
        pair = (id(schema), id(value), is_whole)  # both are kept by what holds them
        if pair not in self.known:
            self.known[pair] = None  # as for a schema that refers to itself
            self.known[pair] = self._compared(schema, value, level + 1, is_whole)
        return self.known[pair]

    def _compared(self, schema: Mapping[str, Any], value: Any, level: int, is_whole: bool) -> Misfit | None:
        return (
            self._wrong_kind(schema, value)
            or self._wrong_choice(schema, value, level, is_whole)
            or _wrong_size(schema, value)
            or self._wrong_inside(schema, value, level, is_whole)
        )

    def _wrong_kind(self, schema: Mapping[str, Any], value: Any) -> Misfit | None:
        types, choices = schema.get("type"), schema.get("enum")
        kinds = [types] if isinstance(types, str) else types
        if "const" in schema:
            choices = [schema["const"]]
        if isinstance(kinds, list) and kinds:
            self.count(len(kinds))
            if not any(is_of(kind, value, schema) for kind in kinds):
                return Misfit(schema, value, is_kind=True)
        if isinstance(choices, list) and choices:
            self.count(len(choices))
            if not is_one_of(choices, value):
                return Misfit(schema, value, is_kind=True)
        return None

    def _wrong_choice(self, schema: Mapping[str, Any], value: Any, level: int, is_whole: bool) -> Misfit | None:
        every = schema.get("allOf")
        for one in every if isinstance(every, list) else ():
            found = self.problem(one, value, level, is_whole=is_whole)
            if found is not None:
                return found
        for keyword in ("anyOf", "oneOf"):  # pydantic takes the first that fits, also where several do
            choices = schema.get(keyword)
            if isinstance(choices, list) and choices:
                found = self._fits_none(choices, value, level, is_whole)
                if found is not None:
                    return found
        return None

    def _fits_none(self, choices: list[Any], value: Any, level: int, is_whole: bool) -> Misfit | None:
        """The problem of the one choice for this kind of value; where there is not one, that of all choices."""
        inside = []
        for one in choices:
            found = self.problem(one, value, level, is_whole=is_whole)
            if found is None:
                return None
            if found.place or not found.is_kind:
                inside.append(found)
        if len(inside) == 1:
            return inside[0]
        resolved = [self.resolved(one) for one in choices]
        return Misfit({"anyOf": resolved}, value, is_kind=not inside)

    def _wrong_inside(self, schema: Mapping[str, Any], value: Any, level: int, is_whole: bool) -> Misfit | None:
        if isinstance(value, Mapping):
            return self._wrong_field(schema, value, level, is_whole)
        if isinstance(value, list):
            first, rest = schema.get("prefixItems"), schema.get("items")
            inner = chain(first if isinstance(first, list) else (), repeat(rest) if isinstance(rest, Mapping) else ())
            for index, (one, item) in enumerate(zip(inner, value, strict=False)):
                found = self.problem(one, item, level)
                if found is not None:
                    return found.inside(index)
        return None

    def _wrong_field(
        self, schema: Mapping[str, Any], value: Mapping[str, Any], level: int, is_whole: bool
    ) -> Misfit | None:
        required, fields = schema.get("required"), schema.get("properties")
        if isinstance(required, list) and is_whole:
            self.count(len(required))
            for name in required:
                if isinstance(name, str) and name not in value:
                    return Misfit(schema, value, missing=name)
        if isinstance(fields, Mapping):
            for name, one in value.items():
                found = self.problem(fields.get(name), one, level)
                if found is not None:
                    return found.inside(name)
        return None


def _wrong_size(schema: Mapping[str, Any], value: Any) -> Misfit | None:
    """A number or a length out of its limits. The length of a text with a format counts something else than texts do:
    bytes, for one; and a set has fewer items than the list that it is made of.
    """
    wrong = False
    if isinstance(value, int | float) and not isinstance(value, bool):
        wrong = any(_is_number(schema.get(key)) and not fits(value, schema[key]) for key, fits in _LIMITS.items())
    for key, kind in _LENGTHS.items():
        limit = schema.get(key)
        if _is_number(limit) and isinstance(value, kind) and "format" not in schema:
            if key.startswith("min"):
                wrong = wrong or len(value) < limit
            elif not schema.get("uniqueItems"):
                wrong = wrong or len(value) > limit
    return Misfit(schema, value) if wrong else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
