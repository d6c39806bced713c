"""A graph's input, output and context as JSON Schema."""

from __future__ import annotations

import typing
from collections.abc import Callable
from typing import Any

import typing_extensions
from langgraph.pregel import Pregel
from pydantic import TypeAdapter


def schemas_of(graph: Pregel[Any]) -> dict[str, Any]:
    """JSON Schemas of ``input``, ``output`` and ``context``; None for one that a graph has not, or that has no form."""
    builder = getattr(graph, "builder", None)
    return {
        "input": _schema(graph.get_input_jsonschema, getattr(builder, "input_schema", None)),
        "output": _schema(graph.get_output_jsonschema, getattr(builder, "output_schema", None)),
        "context": _schema(graph.get_context_jsonschema, graph.context_schema),
    }


def _schema(ask: Callable[[], Any], declared: Any) -> Any:
    """LangGraph's own schema. Where it has none, because one field has no form in JSON, the other fields."""
    try:
        return ask()
    except Exception:  # noqa: BLE001 - pydantic raises several, and a type of the project's may raise anything
        return _by_field(declared) if typing_extensions.is_typeddict(declared) else None


def _by_field(declared: Any) -> dict[str, Any]:
    """A ``TypedDict``, field by field; pydantic takes those of ``typing`` from Python 3.12 on only."""
    try:
        hints = typing.get_type_hints(declared, include_extras=True)
    except Exception:  # noqa: BLE001 - a name that exists for type checkers only
        hints = dict.fromkeys(declared.__annotations__, Any)
    properties = {name: _of_type(hint) for name, hint in hints.items()}
    definitions: dict[str, Any] = {}
    for schema in properties.values():  # references are looked up in the whole schema
        definitions |= schema.pop("$defs", {})
    found = {"title": declared.__name__, "type": "object", "properties": properties}
    required = [name for name in hints if name in declared.__required_keys__]
    found |= {"required": required} if required else {}
    return found | ({"$defs": definitions} if definitions else {})


def _of_type(hint: Any) -> dict[str, Any]:
    if typing_extensions.is_typeddict(hint):
        return _by_field(hint)
    try:
        return TypeAdapter(hint).json_schema()
    except Exception:  # noqa: BLE001 - see above
        return {}
