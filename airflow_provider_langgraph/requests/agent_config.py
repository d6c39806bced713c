"""``agent_config`` of ``LangGraphOperator``: one mapping that names a graph and holds the settings of its run."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_langgraph.exceptions import SettingsError
from airflow_provider_langgraph.requests.given_config import RUN_KEYS, check_config, check_context
from airflow_provider_langgraph.requests.given_names import check_name
from airflow_provider_langgraph.requests.topics import is_still_to_come
from workflow_events.nearest_name import nearest_name

GRAPH_KEYS = ("graph", "type", "name")
"""Each of them names the graph."""

NAME_KEYS = (*GRAPH_KEYS, "assistant", "model")
"""Their values are names, which are text in every DAG."""

KEYS = (*GRAPH_KEYS, "assistant", "context", *RUN_KEYS)

FREE_VALUES = (
    "A value that only the graph knows belongs into agent_config['context'], which its nodes read as runtime.context, "
    "or into agent_config['configurable']"
)


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """What an ``agent_config`` and a ``model`` say, as arguments of ``LangGraphTriggerOperator``."""

    graph: Any
    assistant: Any
    context: Any
    config: dict[str, Any]


@dataclass(frozen=True, slots=True)
class OperatorArguments:
    """The names of arguments that an author may take for keys of ``agent_config``.

    :param own: of the operator itself; a misspelt one is recognised.
    :param inherited: those that every operator has.
    :param moved: those that stand elsewhere in this form of the operator -> where.
    """

    own: Collection[str]
    inherited: Collection[str]
    moved: Mapping[str, str]


def check_agent_config(agent_config: Any, model: Any, arguments: OperatorArguments) -> None:
    """Check what is known of them when the DAG file is parsed: the keys, the settings of the run, and that they do not
    contradict each other.

    Templates and other tasks' outputs are compared once they are rendered, in :func:`read_agent_config`.

    :raises SettingsError: names the key, what was probably meant, and the remedy.
    """
    if not is_still_to_come(agent_config):
        entries = _entries(agent_config, model, arguments)
        for key in GRAPH_KEYS:
            check_name(f"agent_config.{key}", entries.get(key))
        check_settings(entries, "agent_config", author_names(agent_config))
    check_name("model", model)


def check_settings(entries: Mapping[str, Any], place: str, names: Mapping[str, str]) -> None:
    """Check what is known of the values of a mapping that describes an agent, without its graph.

    :param place: where it stands, for errors.
    :param names: what the author calls an argument of ``LangGraphTriggerOperator``.
    :raises SettingsError: a value can never be right; names the key, the problem and the remedy.
    """
    check_name(f"{place}.assistant", entries.get("assistant"))
    check_context(entries.get("context"), names["context"])
    check_config({key: entries[key] for key in RUN_KEYS if key in entries}, names)


def read_agent_config(agent_config: Any, model: Any, arguments: OperatorArguments) -> AgentSettings:
    """The settings that a rendered ``agent_config`` stands for.

    :param model: the operator's own argument.
    :raises SettingsError: as :func:`check_agent_config`.
    """
    entries = _entries(agent_config, model, arguments)
    if model is not None:
        entries["model"] = model
    return _settings(entries)


def read_one_of_several(agent: Mapping[str, Any], place: str) -> AgentSettings:
    """The settings of a mapping that stands among others, whose keys were checked. Templates are not compared.

    :param place: where it stands, for errors: ``agents[0]``.
    :raises SettingsError: two keys contradict each other.
    """
    entries = {key: value for key, value in agent.items() if value is not None}
    _require_one_graph(entries, place)
    _require_one_model(entries, None, place)
    return _settings(entries)


def _settings(entries: Mapping[str, Any]) -> AgentSettings:
    return AgentSettings(
        graph=next((entries[key] for key in GRAPH_KEYS if key in entries), None),
        assistant=entries.get("assistant"),
        context=entries.get("context"),
        config={key: entries[key] for key in RUN_KEYS if key in entries},
    )


def with_defaults(agent_config: Any, model: Any, defaults: Mapping[str, Any]) -> Any:
    """An ``agent_config`` with what a DAG's ``default_args`` say of the arguments that stand in it. Its own keys win.

    :param model: the operator's own argument, which wins over the model of a default ``config``.
    :param defaults: default arguments of ``LangGraphTriggerOperator``, by name.
    :raises SettingsError: they cannot be put together, as one of them is known only when the task runs.
    """
    given = [name for name in ("graph", "assistant", "context", "config") if defaults.get(name) is not None]
    if not given:
        return agent_config
    for place, value in (("agent_config", agent_config), ("that config", defaults.get("config"))):
        if value is not None and not isinstance(value, Mapping):
            raise SettingsError(
                f"agent_config: the default_args have {' and '.join(given)}, whose place it is, but {place} is no "
                "mapping when the DAG is parsed. Write one, with templates inside, or leave them out of default_args"
            )
    entries = {key: value for key, value in (agent_config or {}).items() if value is not None}
    settings = {key: value for key, value in (defaults.get("config") or {}).items() if key != "model" or model is None}
    named_already = "graph" if any(key in entries for key in GRAPH_KEYS) else None
    names = {name: defaults[name] for name in given if name not in ("config", named_already)}
    return {**settings, **names, **entries}


def author_names(agent_config: Any) -> dict[str, str]:
    """Arguments of ``LangGraphTriggerOperator`` -> what the author of an ``agent_config`` wrote for them."""
    graph = next((key for key in GRAPH_KEYS if isinstance(agent_config, Mapping) and key in agent_config), "type")
    return {
        "input": "input_data",
        "config": "agent_config",
        "graph": f"agent_config.{graph}",
        "assistant": "agent_config.assistant",
        "context": "agent_config.context",
    }


def _entries(agent_config: Any, model: Any, arguments: OperatorArguments) -> dict[str, Any]:
    """The keys that have a value."""
    if agent_config is None:
        return {}
    if not isinstance(agent_config, Mapping):
        raise SettingsError(
            f"agent_config must be a mapping, such as {{'type': 'vision'}}, not {agent_config!r}. A template renders "
            "to text: write a mapping with templates inside"
        )
    for key in agent_config:
        if key not in KEYS:
            raise _unknown(key, arguments)
    entries = {key: value for key, value in agent_config.items() if value is not None}
    _require_one_graph(entries)
    _require_one_model(entries, model)
    return entries


def _require_one_graph(entries: Mapping[str, Any], place: str = "agent_config") -> None:
    named = {key: entries[key] for key in GRAPH_KEYS if key in entries and not is_still_to_come(entries[key])}
    if len({str(value) for value in named.values()}) > 1:
        given = " and ".join(f"{key!r} is {value!r}" for key, value in named.items())
        raise SettingsError(f"{place}: {given}, but each of them names the graph. Keep one of them")


def _require_one_model(entries: Mapping[str, Any], model: Any, place: str = "agent_config") -> None:
    places = {
        "the operator's argument model": model,
        f"{place}['model']": entries.get("model"),
        **{
            f"{place}['{key}']['model']": entries[key].get("model")
            for key in ("context", "configurable")
            if isinstance(entries.get(key), Mapping)
        },
    }
    given = [where for where, value in places.items() if value is not None]
    if len(given) > 1:
        raise SettingsError(f"model is given twice: by {' and by '.join(given)}. Keep one of them")


def _unknown(key: Any, arguments: OperatorArguments) -> SettingsError:
    where = f"agent_config: unknown key {key!r}"
    if key in arguments.moved:
        return SettingsError(f"{where}: {arguments.moved[key]}")
    if key in arguments.own or key in arguments.inherited:
        return SettingsError(f"{where}. It is an argument of the operator: write LangGraphOperator(..., {key}=...)")
    allowed = f"Allowed are {', '.join(KEYS)}"
    nearest = nearest_name(str(key), (*KEYS, *arguments.own))
    if nearest is None:
        return SettingsError(f"{where}. {allowed}. {FREE_VALUES}")
    kind = "" if nearest in KEYS else "the operator's argument "
    return SettingsError(f"{where}. Did you mean {kind}{nearest!r}? {allowed}")
