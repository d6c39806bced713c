"""What is announced of a graph: its schemas, as far as they hold for every request that a run accepts.

A graph's schemas are made of Python types, and say more than LangGraph asks for. A request that is checked against
what is announced must not be refused where its run would succeed, so some of it is left out.
"""

from __future__ import annotations

import inspect
import logging
import operator
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from typing import Any, get_type_hints

from langgraph.channels import AnyValue, BinaryOperatorAggregate, EphemeralValue, LastValue, UntrackedValue
from langgraph.graph import START
from langgraph.pregel import Pregel
from pydantic import BaseModel

from langgraph_worker.domain.redaction import Redactor
from langgraph_worker.graphs.accepted import Accepted
from langgraph_worker.graphs.loader import Graph
from langgraph_worker.graphs.schemas import schemas_of
from workflow_events.announcements import GraphAnnouncement

logger = logging.getLogger(__name__)

_TYPED = (LastValue, AnyValue, EphemeralValue, UntrackedValue)
"""Channels whose input is of their own type."""

_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_WORDS = ("title", "description")


def announcement_of(graph: Graph, redactor: Redactor | None = None) -> GraphAnnouncement:
    """What a worker announces of a graph. Takes up to a second, and calls no factory: that is code of the project's,
    which may do anything. Of its graph no schema is announced.

    :param redactor: masks secrets: a description, or a field's default, may be a value of the environment.
    """
    redactor = redactor or Redactor()
    spec = graph.spec
    texts = {name: assistant.description for name, assistant in spec.assistants.items()}
    words: Any = redactor.masked_value({"description": spec.description, "assistants": dict(texts)})
    plain = GraphAnnouncement(graph=spec.name, **words)
    if not isinstance(graph.value, Pregel):
        return plain
    try:
        schemas = schemas_of(graph.value)
        schemas["input"] = what_it_takes(graph.value, schemas["input"])
        schemas["context"] = what_context_it_takes(graph.value, schemas["context"])
        redacted: Any = redactor.masked_value(schemas)
        return GraphAnnouncement.model_validate(plain.model_dump(exclude={"digest"}) | redacted)
    except Exception as error:  # noqa: BLE001 - a type of the project's may raise anything
        logger.debug("graph %s is announced without schemas: %s", spec.name, error, extra={"action": "no_schemas"})
        return plain


def what_it_takes(graph: Pregel[Any], schema: Any) -> dict[str, Any] | None:
    """The schema of a graph's input: the names that it reads, and of their values what a run refuses for sure.

    LangGraph compares a value with its type only where a node gets a pydantic model. Of every other state there are
    the names, and lists where lists are added up.

    :param schema: as LangGraph says it, for its words.
    :returns: None if nothing is known.
    """
    builder = getattr(graph, "builder", None)
    if builder is None:  # a function takes what it is given, whatever its annotation
        return None
    state: Any = builder.input_schema
    names = [name for name in builder.schemas[state] if name in graph.channels]
    if "__root__" in names or _has_aliases(state):  # LangGraph does not read aliases
        return None
    accepted = Accepted()
    validated, required = _validated(graph, state, accepted)
    described = _fields(schema)
    properties = {
        name: _words(described.get(name)) | _of_channel(graph.channels[name], validated.get(name, {})) for name in names
    }
    needed = [name for name in required if name in names and isinstance(graph.channels[name], _TYPED)]
    found = {**_words(schema), "type": "object", "properties": properties, "$defs": accepted.definitions}
    return _without_unused_definitions(found | ({"required": needed} if needed else {}))


def what_context_it_takes(graph: Pregel[Any], schema: Any) -> dict[str, Any] | None:
    """The schema of a graph's context: its names, and of their values what a worker refuses for sure.

    :param schema: as LangGraph says it.
    :returns: None if nothing is known.
    """
    state: Any = graph.context_schema
    if state is None or not isinstance(schema, Mapping) or _has_aliases(state):
        return None
    accepted = Accepted()
    typed = accepted.fields_of(state)[0] if _is_model(state) else _by_annotation(state, accepted)
    properties = {name: _words(field) | typed.get(name, {}) for name, field in _fields(schema).items()}
    found = {**_words(schema), "type": "object", "properties": properties, "$defs": accepted.definitions}
    more = schema.get("additionalProperties")
    return _without_unused_definitions(found | ({"additionalProperties": more} if more else {}))


def _validated(graph: Any, state: Any, accepted: Accepted) -> tuple[dict[str, Any], list[str]]:
    """What a run refuses: schemas of fields, and which fields may not be missing. It makes an object of the state for
    the first node, if that is sure to run and asks for the whole state.
    """
    builder = graph.builder
    first = [target for source, target in builder.edges if source == START and target in builder.nodes]
    if not any(builder.nodes[one].input_schema is state and not _is_handled(graph.nodes[one]) for one in first):
        return {}, []
    if _is_model(state):
        return accepted.fields_of(state)
    if isinstance(state, type) and is_dataclass(state) and not hasattr(state, "__pydantic_validator__"):
        parameters = inspect.signature(state).parameters.values()
        return {}, [one.name for one in parameters if one.default is one.empty and one.kind in _NAMED]
    return {}, []


def _is_handled(node: Any) -> bool:
    """Whether another node goes on where this one raises; LangGraph has that since a minor version."""
    return getattr(node, "error_handler_node", None) is not None


def _by_annotation(state: Any, accepted: Accepted) -> dict[str, Any]:
    found = {}
    try:
        hints = get_type_hints(state, include_extras=True)
    except Exception:  # noqa: BLE001 - a name that exists for type checkers only
        return {}
    for name, hint in hints.items():
        try:
            found[name] = accepted.by_type(hint)
        except Exception:  # noqa: BLE001 - pydantic, or the annotated class, has no schema for it
            continue
    return found


def _of_channel(channel: Any, validated: dict[str, Any]) -> dict[str, Any]:
    """What can be given to a channel. A reducer decides about its own: a function may take anything, and a list takes
    another list, or LangGraph's mapping that overwrites it.
    """
    if isinstance(channel, BinaryOperatorAggregate):
        adds = channel.operator is operator.add and isinstance(channel.value, list)
        return {"type": ["array", "object"]} if adds else {}
    return validated if isinstance(channel, _TYPED) else {}


def _is_model(state: Any) -> bool:
    return isinstance(state, type) and issubclass(state, BaseModel)


def _has_aliases(state: Any) -> bool:
    return _is_model(state) and any(one.alias or one.validation_alias for one in state.model_fields.values())


def _fields(schema: Any) -> Mapping[str, Any]:
    fields = schema.get("properties") if isinstance(schema, Mapping) else None
    return fields if isinstance(fields, Mapping) else {}


def _words(schema: Any) -> dict[str, Any]:
    return {name: schema[name] for name in _WORDS if name in schema} if isinstance(schema, Mapping) else {}


def _without_unused_definitions(schema: dict[str, Any]) -> dict[str, Any]:
    definitions = schema.pop("$defs", {})
    used: dict[str, Any] = {}
    found = list(_references(schema))
    while found:
        name = found.pop().rpartition("/")[2]
        if name in definitions and name not in used:
            used[name] = definitions[name]
            found += _references(definitions[name])
    return schema | ({"$defs": used} if used else {})


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if name == "$ref" and isinstance(inner, str):
                yield inner
            else:
                yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)
