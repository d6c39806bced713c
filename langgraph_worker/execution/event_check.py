"""What an event asks of its graph, compared with what events may: a message never grants power (rule 13).

LangGraph and LangChain give some JSON a meaning of their own. ``{"__overwrite__": ...}`` replaces what a reducer has
gathered, ``{"role": "remove", ...}`` deletes messages of a conversation, and a name in ``configurable`` can choose the
server that a model's key is sent to.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from typing import Any

from langgraph.pregel import Pregel

from langgraph_worker.domain import faults
from langgraph_worker.execution.thread_position import RunFaultError
from langgraph_worker.graphs.event_rights import EventRights
from workflow_events.json_places import shortened, values_in
from workflow_events.models import WorkflowEvent

_OVERWRITE = "__overwrite__"

# LangChain's models take these as options of a call, with or without a prefix: init_chat_model(config_prefix="first")
# makes it first_base_url. Compared in lower case, with _ for each other sign.
_POWERS = re.compile(
    r"(^|_)(base_url|api_url|api_base|endpoint|proxy|host|(api|access|secret|private)_?key|secret|password|credentials?"
    r"|authorization|access_token|api_token|auth_token|provider|headers|[a-z]*_?kwargs|extra_body|default_query"
    r"|(http|async)_(async_)?client)$"
)
_MODELS = re.compile(r"(^|_)model(_name|_id)?$")


def require_allowed(
    event: WorkflowEvent, name: str, graph: Pregel[Any], rights: EventRights, models: Collection[str]
) -> None:
    """Check what an event sets for a graph.

    :param name: the graph's name in ``langgraph.json``.
    :param models: those that events may choose.
    :raises RunFaultError: ``config_not_allowed`` or ``input_not_allowed``; its text names the field, and how to allow
        it.
    """
    for key, value in event.config.configurable.items():
        _require_name(key, value, name, graph, rights, models)
    if rights.overwrite:
        return
    asked: dict[str, Any] = {"payload.data": event.payload.data, "config.configurable": event.config.configurable}
    asked |= {f"answers.{number}.value": answer.value for number, answer in enumerate(event.answers)}
    for place, what in _controls(asked):
        text = (
            f"field '{place}': {what}, as LangGraph obeys it instead of storing it. Leave it out, or, if events of "
            f"this graph may do that, write {_entry(name, overwrite=True)}"
        )
        raise RunFaultError(faults.INPUT_NOT_ALLOWED, text)


def _require_name(
    key: str, value: Any, name: str, graph: Pregel[Any], rights: EventRights, models: Collection[str]
) -> None:
    field = f"field 'config.configurable.{key}'"
    if isinstance(rights.configurable, frozenset):
        if key not in rights.configurable:
            listed = ", ".join(sorted(rights.configurable)) or "none"
            text = f"{field}: events may not set it for graph {name!r} (its entry in langgraph.json lists: {listed})"
            raise RunFaultError(faults.CONFIG_NOT_ALLOWED, text)
        return
    plain = re.sub(r"\W", "_", key).lower()
    allow = f"Leave it out, or, if events of this graph may choose it, write {_entry(name, configurable=[key])}"
    if _POWERS.search(plain):
        text = f"{field}: it may name an endpoint, a key or a provider, which an event does not choose. {allow}"
        raise RunFaultError(faults.CONFIG_NOT_ALLOWED, text)
    if _MODELS.search(plain) and not (isinstance(value, str) and value in models):
        text = (
            f"{field}: model {value!r} is not allowed here (allowed: {', '.join(sorted(models)) or 'none'}). Add it to "
            f"LANGGRAPH_WORKER_ALLOWED_MODELS; if it is no model, write {_entry(name, configurable=[key])}"
        )
        raise RunFaultError(faults.CONFIG_NOT_ALLOWED, text)
    if rights.configurable == "declared" and key not in _declared(graph):
        known = ", ".join(sorted(_declared(graph))) or "none"
        text = f"{field}: the context schema of graph {name!r} does not have it (it has: {known})"
        raise RunFaultError(faults.CONFIG_NOT_ALLOWED, text)


def _entry(name: str, **rights: Any) -> str:
    return f"{json.dumps({'events': rights})} in the entry of graph {name!r} in langgraph.json"


def _declared(graph: Pregel[Any]) -> frozenset[str]:
    schema = graph.context_schema
    fields = getattr(schema, "model_fields", None) or getattr(schema, "__annotations__", {})
    return frozenset(fields)


def _controls(asked: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Each place in JSON that LangGraph would obey, and what it would do."""
    for field, whole in asked.items():
        for keys, value in values_in(whole):
            if not isinstance(value, dict):
                continue
            if _OVERWRITE in value or value.get("type") == _OVERWRITE:
                yield shortened(".".join((field, *map(str, keys)))), "it replaces what a reducer has gathered"
            elif _removes_message(value):
                yield shortened(".".join((field, *map(str, keys)))), "it removes messages"


def _removes_message(value: dict[str, Any]) -> bool:
    if value.get("lc") == 1 and value.get("type") == "constructor":
        named = value.get("id")
        return isinstance(named, list) and named[-1:] == ["RemoveMessage"]
    return "remove" in (value.get("role"), value.get("type")) and "id" in value and "content" in value
