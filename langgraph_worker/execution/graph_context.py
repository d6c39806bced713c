"""A run's context: what its graph's nodes read as ``runtime.context``, built from the graph's context schema.

LangGraph would build it from a mapping, too, but its server drops a name that the schema does not have, and lets a
dataclass take a value of any type: an event with a misspelt name would run with a default.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NoReturn, get_type_hints

from langchain_core.runnables import RunnableConfig
from langgraph.pregel import Pregel
from pydantic import BaseModel, TypeAdapter, ValidationError

from langgraph_worker.domain import faults
from langgraph_worker.execution.run_fault import RunFaultError
from langgraph_worker.execution.run_values import Layer


@dataclasses.dataclass(frozen=True, slots=True)
class _Given:
    value: Any
    place: str


def context_names(graph: Pregel[Any]) -> frozenset[str] | None:
    """The names in a graph's context schema; None if it has no schema, or one that takes every name."""
    schema: Any = graph.context_schema
    if schema is None:
        return None
    if dataclasses.is_dataclass(schema):  # its annotations lack what it inherits
        return frozenset(field.name for field in dataclasses.fields(schema) if field.init)
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        if schema.model_config.get("extra") == "allow":
            return None
        fields = schema.model_fields
        aliases = {field.validation_alias for field in fields.values()} | {field.alias for field in fields.values()}
        return frozenset(fields) | {alias for alias in aliases if isinstance(alias, str)}
    return frozenset(getattr(schema, "__annotations__", {}))


def build_context(graph: Pregel[Any], layers: tuple[Layer, ...], name: str) -> Any:
    """The context of one run.

    :param layers: the run's values. Those of ``configurable`` count where the schema has their names; without a schema,
        all of them.
    :param name: the graph's name, for errors.
    :returns: an instance of the schema, with its defaults; a mapping if it is a ``TypedDict`` or if there is no schema,
        and None if nothing of that is set.
    :raises RunFaultError: ``invalid_context``, with the field.
    """
    own: RunnableConfig = graph.config or {}
    known = context_names(graph)
    given: dict[str, _Given] = {}
    if graph.context_schema is not None:
        layers = (Layer(None, own.get("configurable") or {}), *layers)
    for layer in layers:
        given |= _named(layer, graph, known, name)
    schema: Any = graph.context_schema
    if dataclasses.is_dataclass(schema):
        _require_all(schema, given, name)
        return _made(schema, _checked(schema, given), name)
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        return _validated(schema, given, name)
    if not given and all(layer.context is None for layer in layers):
        return None
    return {field: one.value for field, one in given.items()} if schema is None else _checked(schema, given)


def _named(layer: Layer, graph: Pregel[Any], known: frozenset[str] | None, name: str) -> dict[str, _Given]:
    """What a layer sets of a context."""
    names = layer.configurable if known is None else known.intersection(layer.configurable)
    found = {one: _Given(layer.configurable[one], f"{layer.configurable_at}{one}'") for one in names}
    for one, value in (layer.context or {}).items():
        place = f"{layer.context_at}{one}'"
        if known is not None and one not in known:
            _refuse(place, f"the context schema of graph {name!r} has no {one!r}. It has: {_listed(known)}")
        found[one] = _Given(value, place)
    return found


def _require_all(schema: Any, given: Mapping[str, _Given], name: str) -> None:
    missing = [
        field.name
        for field in dataclasses.fields(schema)
        if field.init and field.name not in given and field.default is field.default_factory is dataclasses.MISSING
    ]
    if missing:
        _refuse_missing(missing, name)


def _checked(schema: Any, given: Mapping[str, _Given]) -> dict[str, Any]:
    """The values, each as its annotation has it; those whose annotation pydantic cannot use stay as they are."""
    adapters = _adapters(schema)
    values: dict[str, Any] = {}
    for field, one in given.items():
        adapter = adapters.get(field)
        try:
            values[field] = one.value if adapter is None else adapter.validate_python(one.value)
        except ValidationError as error:
            _refuse_value(one.place, error)
    return values


@lru_cache(maxsize=256)  # a factory may make a class for each run
def _adapters(schema: Any) -> dict[str, TypeAdapter[Any]]:
    try:
        hints = get_type_hints(schema, include_extras=True)
    except Exception:  # noqa: BLE001 - a name that is only there for type checkers, or any other expression
        return {}
    adapters: dict[str, TypeAdapter[Any]] = {}
    for field, hint in hints.items():
        try:
            adapters[field] = TypeAdapter(hint)
        except Exception:  # noqa: BLE001 - pydantic, or the annotated class, has no schema for it
            continue
    return adapters


def _made(schema: Any, values: dict[str, Any], name: str) -> Any:
    try:
        return schema(**values)
    except Exception as error:  # noqa: BLE001 - the class's own __post_init__
        _refuse("field 'context'", f"the context schema of graph {name!r} raises {type(error).__name__}", error)


def _validated(schema: type[BaseModel], given: Mapping[str, _Given], name: str) -> BaseModel:
    try:
        return schema.model_validate({field: one.value for field, one in given.items()})
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False)
        missing = [str(one["loc"][0]) for one in problems if one["type"] == "missing" and len(one["loc"]) == 1]
        if missing:
            _refuse_missing(missing, name)
        field = str(problems[0]["loc"][0]) if problems[0]["loc"] else ""
        _refuse_value(given[field].place if field in given else "field 'context'", error, skip=1)
    except Exception as error:  # noqa: BLE001 - a validator of the class's own
        _refuse("field 'context'", f"the context schema of graph {name!r} raises {type(error).__name__}", error)


def _refuse_missing(missing: list[str], name: str) -> NoReturn:
    text = f"the context schema of graph {name!r} requires it. Set it in the event, or in the graph's entry"
    _refuse(f"field 'context.{missing[0]}'", text + (f"; and also {', '.join(missing[1:])}" if missing[1:] else ""))


def _refuse_value(place: str, error: ValidationError, skip: int = 0) -> NoReturn:
    first = error.errors(include_url=False, include_input=False)[0]
    inner = ".".join(str(part) for part in first["loc"][skip:])
    _refuse(place, f"{inner + ': ' if inner else ''}{first['msg']}", error)


def _refuse(place: str, text: str, error: Exception | None = None) -> NoReturn:
    raise RunFaultError(faults.INVALID_CONTEXT, f"{place}: {text}") from error


def _listed(names: frozenset[str]) -> str:
    return ", ".join(sorted(names)) or "none"
