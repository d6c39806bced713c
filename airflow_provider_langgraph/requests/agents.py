"""``agents`` of ``MultiAgentOperator``: mappings, one for each agent of a task, and one for its orchestrator."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_langgraph.exceptions import SettingsError
from airflow_provider_langgraph.requests.agent_config import (
    FREE_VALUES,
    NAME_KEYS,
    AgentSettings,
    check_settings,
    read_one_of_several,
)
from airflow_provider_langgraph.requests.budget import check_budget
from airflow_provider_langgraph.requests.given_names import check_name
from airflow_provider_langgraph.requests.json_input import as_json, as_name
from airflow_provider_langgraph.requests.orchestration import AGENTS_KEY, ENDS, RESULTS_KEY, Mode, PlannedAgent
from airflow_provider_langgraph.requests.topics import is_still_to_come
from workflow_events.models import RunConfig
from workflow_events.nearest_name import nearest_name

ORCHESTRATOR_KEYS = ("name", "type", "graph", "input_data", "assistant", "context", "budget", *RunConfig.model_fields)
KEYS = (*ORCHESTRATOR_KEYS, "previous_as", "description")

NAMES = (*NAME_KEYS, "previous_as")
"""Keys whose values are names, which are text in every DAG."""

_GRAPH_KEYS = ("type", "graph")
_ORCHESTRATOR = "orchestrator"
_NAME = re.compile(r"[^\W_][\w.-]{0,63}")
_EXAMPLE = "such as {'type': 'vision', 'input_data': {...}}"
_RENDERED = "A template renders to text: write the list with templates inside"


_FREE = FREE_VALUES.replace("agent_config['context']", "'context'").replace(
    "agent_config['configurable']", "'configurable'"
)

_OF_THE_TASK = (
    *("timeout", "execution_timeout", "retries", "retry_delay", "on_retry", "on_clear", "check_graph", "fleet"),
    *("kafka_config_id", "defer_after", "deferrable", "result_format", "policy", "quorum", "max_rounds"),
)
"""Arguments of the operator that an author may take for keys of an agent."""

_OF_A_SINGLE_AGENT = {
    name: (
        "No agent among several can have it: run the agent in a task of its own, "
        f"LangGraphTriggerOperator(..., {name}=...)"
    )
    for name in (
        *("thread_id", "on_interrupt", "output_schema", "wait_for_completion", "workflow_id", "assigned_users"),
        *("answer_timeout", "on_answer_timeout", "rejection", "subject"),
    )
}
_IN_ITS_MAPPING = "It stands in the mapping of each agent: write agents=[{'type': ...}]"

_ELSEWHERE = {
    "input": "An agent's input is its key 'input_data'",
    "config": "Write the keys of config into the agent's mapping itself",
    **_OF_A_SINGLE_AGENT,
}

ARGUMENTS_ELSEWHERE = {
    **dict.fromkeys(
        ("input", "input_data"),
        "It stands in the mapping of each agent: write agents=[{'type': ..., 'input_data': ...}]",
    ),
    **dict.fromkeys(("graph", "assistant", "context", "config", "agent_config", "model"), _IN_ITS_MAPPING),
    "mode": "Write orchestration_mode=...",
    **_OF_A_SINGLE_AGENT,
}
"""Arguments of operators for one agent -> where they stand if there are several."""


@dataclass(frozen=True, slots=True)
class Agent:
    """One agent of a task, as its author describes it.

    :param place: where its mapping stands, for errors.
    :param name: its own; of the graph, if the author gave it none. Empty if it is not rendered yet.
    :param graph_key: the key that names its graph.
    """

    place: str
    name: str
    settings: AgentSettings
    input_data: Any
    previous_as: Any
    description: Any
    budget: Any
    graph_key: str = "type"

    def planned(self) -> PlannedAgent:
        """What the coordination needs of it.

        :raises SettingsError: its input has no JSON form.
        """
        given = None if self.input_data is None else as_json(self.input_data, f"{self.place}.input_data")
        description = None if self.description is None else str(self.description)
        return PlannedAgent(self.name, given, self.previous_as, description)

    @property
    def author_names(self) -> dict[str, str]:
        """What the author wrote for an argument of a request, for errors."""
        return {
            "input": f"{self.place}.input_data",
            "budget": "budget" if self.budget is None else f"{self.place}.budget",
            "config": self.place,
            "graph": f"{self.place}.{self.graph_key}",
            "assistant": f"{self.place}.assistant",
            "context": f"{self.place}.context",
            "thread_id": "thread_id of a LangGraphTriggerOperator, in a task of its own",
        }


@dataclass(frozen=True, slots=True)
class AgentTeam:
    """The agents of a task, and in ``supervisor`` mode the one that routes."""

    agents: tuple[Agent, ...]
    orchestrator: Agent | None = None

    @property
    def all(self) -> tuple[Agent, ...]:
        """All of them, the orchestrator last."""
        return self.agents if self.orchestrator is None else (*self.agents, self.orchestrator)


def check_agents(agents: Any, orchestrator: Any, mode: Mode) -> None:
    """Check what is known of them when the DAG file is parsed; templates are checked by :func:`read_agents`.

    :raises SettingsError: names the agent, the key, and the remedy.
    """
    parts = agents if isinstance(agents, list | tuple) else ()
    if not any(map(is_still_to_come, (agents, orchestrator, *parts))):
        read_agents(agents, orchestrator, mode)


def read_agents(agents: Any, orchestrator: Any, mode: Mode) -> AgentTeam:
    """The agents that the arguments of an operator stand for.

    :raises SettingsError: as :func:`check_agents`.
    """
    if not isinstance(agents, Sequence) or isinstance(agents, str | bytes):
        remedy = f". {_RENDERED}" if isinstance(agents, str) else ""
        raise SettingsError(f"agents must be a list of mappings, {_EXAMPLE}, not {agents!r}{remedy}")
    if not agents:
        raise SettingsError(f"agents is empty: give a mapping for each agent, {_EXAMPLE}")
    team = AgentTeam(
        tuple(_agent(f"agents[{number}]", agent, KEYS) for number, agent in enumerate(agents)),
        None if orchestrator is None else _agent(_ORCHESTRATOR, orchestrator, ORCHESTRATOR_KEYS),
    )
    _require_different_names(team)
    _require_right_mode(team, mode)
    return team


def _agent(place: str, agent: Any, keys: tuple[str, ...]) -> Agent:
    if not isinstance(agent, Mapping):
        raise SettingsError(f"{place} must be a mapping, {_EXAMPLE}, not {agent!r}")
    for key in agent:
        if key not in keys:
            raise _unknown(place, key, keys)
    for key in _GRAPH_KEYS:
        check_name(f"{place}.{key}", agent.get(key))
    settings = read_one_of_several({key: value for key, value in agent.items() if key != "name"}, place)
    if settings.graph is None:
        raise SettingsError(f"{place} names no graph: write 'type', the graph's name in the workers' langgraph.json")
    found = Agent(
        place,
        _name(place, agent, settings),
        settings,
        agent.get("input_data"),
        agent.get("previous_as"),
        agent.get("description"),
        agent.get("budget"),
        next(key for key in _GRAPH_KEYS if agent.get(key) is not None),
    )
    check_settings(agent, place, found.author_names)
    check_budget(found.budget, f"{place}.budget")
    _require_right_keys(found)
    return found


def _name(place: str, agent: Mapping[str, Any], settings: AgentSettings) -> str:
    given = agent.get("name")
    if given is None:
        given = _ORCHESTRATOR if place == _ORCHESTRATOR else settings.graph
    if is_still_to_come(given):
        return ""
    name = as_name(given)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise SettingsError(
            f"{place}: the agent's name {name!r} cannot be used: it must begin with a letter or a digit, and go on "
            "with letters, digits, '_', '-' and '.', 64 characters at most. Give the agent another 'name'"
        )
    return name


def _require_right_keys(agent: Agent) -> None:
    given = agent.previous_as
    if given is None or is_still_to_come(given):
        return
    if not isinstance(given, str) or not given:
        raise SettingsError(f"{agent.place}: previous_as must be the name of a key of its input, not {given!r}")
    if not isinstance(agent.input_data, Mapping | None) and not is_still_to_come(agent.input_data):
        raise SettingsError(
            f"{agent.place}: previous_as names a key of its input, and input_data is no mapping but "
            f"{agent.input_data!r}. Make input_data a mapping, or leave previous_as out"
        )


def _require_different_names(team: AgentTeam) -> None:
    places: dict[str, str] = {}
    for agent in team.all:
        before = places.setdefault(agent.name, agent.place) if agent.name else agent.place
        if before != agent.place:
            raise SettingsError(
                f"{before} and {agent.place} are both named {agent.name!r}. Give one of them another 'name': without "
                "one, an agent has its graph's"
            )


def _require_right_mode(team: AgentTeam, mode: Mode) -> None:
    if mode == "supervisor":
        _require_supervisor(team)
        return
    if team.orchestrator is not None:
        raise SettingsError(
            f"orchestrator: with orchestration_mode={mode!r} no graph routes. Leave it out, or set "
            "orchestration_mode='supervisor'"
        )
    without = team.agents if mode == "parallel" else team.agents[:1]
    for agent in without:
        if agent.previous_as is not None:
            why = "agents that run in parallel get" if mode == "parallel" else "the first agent gets"
            raise SettingsError(f"{agent.place}: {why} no result of another one. Leave previous_as out")


def _require_supervisor(team: AgentTeam) -> None:
    if team.orchestrator is None:
        raise SettingsError(
            "orchestrator is missing: orchestration_mode='supervisor' needs the graph that names the next agent, "
            "such as orchestrator={'type': 'router'}"
        )
    for agent in team.agents:
        if agent.name in ENDS:
            raise SettingsError(
                f"{agent.place}: the name {agent.name!r} ends a task with an orchestrator. Give the agent another "
                "'name'"
            )
    given = team.orchestrator.input_data
    if given is None or is_still_to_come(given):
        return
    if not isinstance(given, Mapping):
        raise SettingsError(
            f"orchestrator: input_data must be a mapping, to which {AGENTS_KEY!r} and {RESULTS_KEY!r} are added, not "
            f"{given!r}"
        )
    taken = [key for key in (AGENTS_KEY, RESULTS_KEY) if key in given]
    if taken:
        raise SettingsError(
            f"orchestrator: input_data has {' and '.join(map(repr, taken))}, which the task adds itself: the agents, "
            "and what they have answered. Rename it"
        )


def _unknown(place: str, key: Any, keys: tuple[str, ...]) -> SettingsError:
    where = f"{place}: unknown key {key!r}."
    if key in _ELSEWHERE:
        return SettingsError(f"{where} {_ELSEWHERE[key]}")
    if key in _OF_THE_TASK:
        return SettingsError(f"{where} It counts for the whole task: write MultiAgentOperator(..., {key}=...)")
    nearest = nearest_name(str(key), keys)
    allowed = f"Allowed are {', '.join(keys)}"
    return SettingsError(f"{where} Did you mean {nearest!r}? {allowed}" if nearest else f"{where} {allowed}. {_FREE}")
