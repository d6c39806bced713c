"""A JSON Schema in one line: names and types."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_MESSAGE = re.compile(r"Message(Chunk)?$")  # LangChain's AnyMessage is a choice of twelve classes
_MOST_LEVELS = 3  # of objects within objects


def in_words(schema: Any) -> str:
    """The properties of an object's schema, or the type of another one; empty if there is no schema.

    A name with ``?`` may be left out.
    """
    if not isinstance(schema, Mapping):
        return ""
    definitions = schema.get("$defs", {})
    resolved = _resolved(schema, definitions)
    if "properties" in resolved:
        return _properties(resolved, definitions, _MOST_LEVELS)
    return _type(resolved, definitions, _MOST_LEVELS)


def _properties(schema: Mapping[str, Any], definitions: Mapping[str, Any], levels: int) -> str:
    needed = schema.get("required", ())
    return ", ".join(
        f"{name}{'' if name in needed else '?'}: {_type(value, definitions, levels)}"
        for name, value in schema["properties"].items()
    )


def _type(schema: Any, definitions: Mapping[str, Any], levels: int) -> str:
    if not isinstance(schema, Mapping):
        return "any"
    schema = _resolved(schema, definitions)
    choices = schema.get("anyOf") or schema.get("oneOf")
    if choices:
        words = dict.fromkeys(_type(choice, definitions, levels - 1) for choice in choices)
        return "message" if all(map(_MESSAGE.search, words)) else " | ".join(words)
    if "enum" in schema:
        return " | ".join(map(repr, schema["enum"]))
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items'), definitions, levels)}"
    if "properties" in schema and levels > 0 and "title" not in schema:
        return f"{{{_properties(schema, definitions, levels - 1)}}}"
    if schema.get("type") == "object":
        return str(schema.get("title") or "object") if "properties" in schema else "object"
    return str(schema.get("type", "any"))


def _resolved(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = schema.get("$ref", "")
    found = definitions.get(str(reference).rpartition("/")[2], {}) if reference else schema
    return found if isinstance(found, Mapping) else {}
