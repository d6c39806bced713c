"""The topics of a request: those of the operator's ``fleet``, else those of Airflow's configuration.

For each topic, the first of these that is given counts:

1. the topic in the operator's ``fleet``, if that is a mapping;
2. the fleet that the operator names;
3. ``[langgraph] events_topic``, ``results_topic``, ``control_topic``, ``progress_topic`` or ``graphs_topic``;
4. the fleet that ``[langgraph] fleet`` names;
5. the topics of the fleet without a name.

An operator that names a fleet (2) never uses 3: the single topics of the configuration belong to another fleet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import conf

from airflow_provider_langgraph.exceptions import SettingsError
from workflow_events.topics import Fleet

if TYPE_CHECKING:
    from airflow_provider_langgraph.requests.handle import RequestHandle

FleetArgument = str | Mapping[str, str] | None
"""The name of a fleet; or a mapping of ``name`` and single topics to names, all of them optional; or None."""

PURPOSES = ("events", "results", "control", "progress")
_TOPICS = (*PURPOSES, "graphs")
KEYS = ("name", *_TOPICS)

_REMEDY = (
    f"Give the name of a fleet, such as 'risk', or a mapping with the keys {', '.join(KEYS)}, such as "
    "{'name': 'risk', 'results': 'shared-results'}"
)
_TEMPLATE_MARKS = ("{{", "{%", "{#")


def check_fleet(fleet: Any) -> None:
    """Check an operator's ``fleet`` when the DAG file is parsed. A value that is rendered later is not checked here.

    :raises SettingsError: the fleet is wrong. The message names the key, the allowed keys and the remedy.
    """
    if is_still_to_come(fleet):
        return
    entries = _entries(fleet)
    if entries.get("name") and not any(is_still_to_come(value) for value in entries.values()):
        topics_of(entries)  # reads no configuration, because the fleet has a name


def topics_of(fleet: FleetArgument) -> Fleet:
    """The topics that a rendered ``fleet`` stands for; empty names count as not given.

    :raises SettingsError: the fleet or the configuration is wrong. The message says what, and how to correct it.
    """
    entries = {key: value for key, value in _entries(fleet).items() if value}
    name = entries.pop("name", "")
    base = _named(name, "fleet") if name else _configured()
    return _with_topics(base, entries, "fleet")


def with_configured_topics(handle: RequestHandle) -> RequestHandle:
    """A handle with all of its topics. A handle of an older version may lack some: they are the configured ones."""
    if handle.control_topic and handle.progress_topic:
        return handle
    topics = _configured()
    return replace(
        handle,
        control_topic=handle.control_topic or topics.control,
        progress_topic=handle.progress_topic or topics.progress,
    )


def fleet_of(handle: RequestHandle) -> dict[str, str]:
    """The fleet that a handle with all of its topics names, as an operator's argument."""
    return {purpose: getattr(handle, f"{purpose}_topic") for purpose in PURPOSES}


def _configured() -> Fleet:
    base = _named(_option("fleet"), "[langgraph] fleet of Airflow's configuration")
    topics = {purpose: _option(f"{purpose}_topic") for purpose in _TOPICS}
    given = {purpose: topic for purpose, topic in topics.items() if topic}
    return _with_topics(base, given, "[langgraph] of Airflow's configuration")


def _option(name: str) -> str:
    return str(conf.get("langgraph", name, fallback="")).strip()


def _named(name: str, where: str) -> Fleet:
    try:
        return Fleet.named(name)
    except ValueError as error:
        raise SettingsError(f"{where}: {error}") from error


def _with_topics(base: Fleet, topics: Mapping[str, str], where: str) -> Fleet:
    try:
        return replace(base, **topics)
    except ValueError as error:
        raise SettingsError(f"{where}: {error}. Give each purpose a topic of its own") from error


def _entries(fleet: Any) -> dict[str, Any]:
    """A ``fleet`` as a mapping whose keys and types are right."""
    if fleet is None:
        return {}
    entries = {"name": fleet} if isinstance(fleet, str) else fleet
    if not isinstance(entries, Mapping):
        raise SettingsError(f"fleet must be a string or a mapping, not {type(fleet).__name__}. {_REMEDY}")
    for key, value in entries.items():
        if key not in KEYS:
            raise SettingsError(f"fleet: unknown key {key!r}, allowed are {', '.join(KEYS)}. {_REMEDY}")
        if value is not None and not isinstance(value, str) and not is_still_to_come(value):
            raise SettingsError(f"fleet: {key!r} must be a string, not {type(value).__name__}. {_REMEDY}")
    return {key: value for key, value in entries.items() if value is not None}


def is_still_to_come(value: Any) -> bool:
    """Whether Airflow gives this its value when the task runs: a template, or another task's output."""
    if isinstance(value, str):
        return any(mark in value for mark in _TEMPLATE_MARKS)
    return hasattr(value, "resolve")
