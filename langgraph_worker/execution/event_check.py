"""What an event asks of its graph, compared with what events may: a message never grants power (rule 13).

LangGraph and LangChain give some JSON a meaning of their own. ``{"__overwrite__": ...}`` replaces what a reducer has
gathered, ``{"role": "remove", ...}`` deletes messages of a conversation, and a name in ``configurable`` can choose the
server that a model's key is sent to.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NoReturn

from langgraph.pregel import Pregel

from langgraph_worker.domain import faults
from langgraph_worker.execution.command_check import require_known_places
from langgraph_worker.execution.graph_context import context_names
from langgraph_worker.execution.power_names import moves_power, words_of
from langgraph_worker.execution.run_fault import RunFaultError
from langgraph_worker.graphs.event_rights import EventRights
from workflow_events.json_places import Place, names_of, parts_of
from workflow_events.models import WorkflowEvent

_OVERWRITE = "__overwrite__"

# LangChain's models take one also with a prefix: init_chat_model(config_prefix="first") makes it first_model.
_MODELS = re.compile(r"(^|_)((model|llm)(_name|_id)?(?P<several>s)?|azure_deployment|deployment_name)$")


def require_allowed(event: WorkflowEvent, name: str, rights: EventRights, models: Collection[str]) -> None:
    """Check what an event sets for a graph, before any code of the graph reads it: a factory may use it at once.

    :param name: the graph's name in ``langgraph.json``.
    :param models: those that events may choose.
    :raises RunFaultError: ``config_not_allowed`` or ``input_not_allowed``; its text names the field, and how to allow
        it.
    """
    _require_names(event, name, rights, models)
    if event.payload.command is not None and not rights.command:
        text = (
            "field 'payload.command': it can change what the thread holds, and skip nodes. Send payload.data instead, "
            f"or, if events of this graph may do that, write {_entry(name, command=True)}"
        )
        raise RunFaultError(faults.INPUT_NOT_ALLOWED, text)
    if event.fork is not None and not rights.fork:
        text = (
            "field 'fork': nodes behind its checkpoint run again, also such as a person had approved. Send the input "
            f"anew, or, if events of this graph may do that, write {_entry(name, fork=True)}"
        )
        raise RunFaultError(faults.INPUT_NOT_ALLOWED, text)
    if rights.overwrite:
        return
    asked: dict[str, Any] = {"payload.data": event.payload.data, **_values(event)}
    if event.payload.command is not None:
        asked["payload.command"] = event.payload.command.model_dump(mode="json")
    asked |= {f"answers.{number}.value": answer.value for number, answer in enumerate(event.answers)}
    for place, what in _controls(asked):
        text = (
            f"field '{place}': {what}, as LangGraph obeys it instead of storing it. Leave it out, or, if events of "
            f"this graph may do that, write {_entry(name, overwrite=True)}"
        )
        raise RunFaultError(faults.INPUT_NOT_ALLOWED, text)


def require_fitting(event: WorkflowEvent, name: str, graph: Pregel[Any], rights: EventRights) -> None:
    """Check what an event sets and names against the graph itself.

    :raises RunFaultError: ``config_not_allowed``: the graph's context schema does not have a name, and its entry asks
        for that. ``bad_input``: a command names what the graph does not have.
    """
    if rights.configurable == "declared":
        declared = context_names(graph) or frozenset()
        for field, values in _values(event).items():
            for key in sorted(values.keys() - declared):
                why = f"the context schema of graph {name!r} does not have it"
                has = ", ".join(sorted(declared)) or "none"
                _refuse_name(f"{field}.{key}", why, f"add it to the schema, which has: {has}")
    if event.payload.command is not None:
        require_known_places(event.payload.command, name, graph)


def _require_names(event: WorkflowEvent, name: str, rights: EventRights, models: Collection[str]) -> None:
    for field, values in _values(event).items():
        for key, value in values.items():
            place = f"{field}.{key}"
            if isinstance(rights.configurable, frozenset):
                if key not in rights.configurable:
                    why = f"events may not set it for graph {name!r}"
                    _refuse_name(place, why, _add_to_rights(rights.configurable))
                continue
            for inside, inner, one in _inner_names(place, key, value):
                _require_no_power(inside, inner, one, models, _entry(name, configurable=[key]))


def _values(event: WorkflowEvent) -> dict[str, Mapping[str, Any]]:
    return {"config.configurable": event.config.configurable, "context": event.context or {}}


def _inner_names(place: str, key: str, value: Any) -> Iterator[tuple[str, str, Any]]:
    """A name and those inside of its value: a graph may hand a value to a client whole."""
    yield place, key, value
    for inside, part in parts_of(place, value):
        for inner, one in part.items() if isinstance(part, dict) else ():
            yield _text((inside, inner)), inner, one


def _require_no_power(place: str, key: str, value: Any, models: Collection[str], entry: str) -> None:
    """:param entry: what allows it."""
    if moves_power(key, value):
        why = "it may name an endpoint, a key, a provider, a command or another graph, which an event does not choose"
        _refuse_name(place, why, f"if events of this graph may choose it, write {entry}")
    model = _MODELS.search("_".join(words_of(key)))
    several = value if model and model["several"] and isinstance(value, list) else [value]
    if model and not all(isinstance(one, str) and one in models for one in several):
        why = f"model {value!r} is not allowed here (allowed: {', '.join(sorted(models)) or 'none'})"
        _refuse_name(place, why, f"add it to LANGGRAPH_WORKER_ALLOWED_MODELS; if it is no model, write {entry}")


def _add_to_rights(names: Collection[str]) -> str:
    listed = ", ".join(sorted(names)) or "none"
    return f"add it to 'events.configurable' in its entry in langgraph.json, which lists: {listed}"


def _refuse_name(place: str, why: str, remedy: str) -> NoReturn:
    raise RunFaultError(faults.CONFIG_NOT_ALLOWED, f"field '{place}': {why}. Leave it out, or {remedy}")


def _entry(name: str, **rights: Any) -> str:
    return f"{json.dumps({'events': rights})} in the entry of graph {name!r} in langgraph.json"


def _controls(asked: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Each place in JSON that LangGraph would obey, and what it would do."""
    for whole, value in asked.items():
        for place, part in parts_of(whole, value):
            if not isinstance(part, dict):
                continue
            if _OVERWRITE in part or part.get("type") == _OVERWRITE:
                yield _text(place), "it replaces what a reducer has gathered"
            elif _removes_message(part):
                yield _text(place), "it removes messages"


def _text(place: Place) -> str:
    return ".".join(str(name) for name in names_of(place))


def _removes_message(value: dict[str, Any]) -> bool:
    named = value.get("id")
    if value.get("lc") == 1 and isinstance(named, list) and named[-1:] == ["RemoveMessage"]:
        return True
    # Also of what has "lc": LangChain takes a constructor that it cannot use for an ordinary message.
    return "remove" in (value.get("role"), value.get("type")) and "id" in value and "content" in value
