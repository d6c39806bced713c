"""The operator for several agents in one task: side by side, one after the other, or routed by one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_langgraph.exceptions import SettingsError
from airflow_provider_langgraph.requests.agents import ARGUMENTS_ELSEWHERE, check_agents
from airflow_provider_langgraph.requests.arguments import one_of
from airflow_provider_langgraph.requests.deadline import as_timedelta
from airflow_provider_langgraph.requests.graph_check import check_check_graph
from airflow_provider_langgraph.requests.orchestration import MODES, POLICIES, Mode
from airflow_provider_langgraph.requests.result_value import ResultFormat
from airflow_provider_langgraph.tasks.agents_task import AgentsTask

__all__ = ["MultiAgentOperator"]

MAX_ROUNDS = 10
MOST_ROUNDS = 50


class MultiAgentOperator(AgentsTask, BaseOperator):
    """Runs several agents in one task, with one deferral and one trigger, and returns their results by name.

    Each agent is a request of its own, with an id that is the same for the same try. So neither a killed worker nor a
    killed triggerer loses or repeats an agent, and Airflow's retry pays for no agent that has succeeded.

    :param agents: (templated) a list of mappings, one for each agent. ``type`` (or ``graph``) is the graph's name in
        the workers' ``langgraph.json``; ``name`` is the agent's own name, by default its graph's, and different for
        each; ``input_data`` is the graph's input. ``assistant``, ``context`` and the settings of the run are as in
        ``agent_config`` of :class:`~airflow_provider_langgraph.operators.agent.LangGraphOperator`. ``previous_as``: the
        key of the input that gets what is handed on; without it the keys of that lie under those of ``input_data``.
        ``description`` is what an orchestrator reads of the agent.
    :param orchestration_mode: ``parallel`` asks all agents at once. ``sequential`` hands the result of each on to the
        next. ``supervisor`` asks the orchestrator again and again which agent is next.
    :param orchestrator: (templated) with ``supervisor``: the graph that routes, a mapping as for an agent. Its input is
        its ``input_data`` with ``agents``, their names and descriptions, and ``results``, a list of what they have
        answered. Its result names the agent under ``next``, and may give it an ``input``; ``FINISH``, ``__end__`` or
        None ends.
    :param max_rounds: with ``supervisor``: how many times an agent is asked at most: 1 to 50, 10 by default.
    :param policy: ``fail_fast``, the default: the first agent that fails fails the task, and the others are cancelled.
        ``all_done``: all are waited for, and the task succeeds if at least one does; with ``supervisor`` the
        orchestrator is given the error, and decides: an agent has succeeded if one of its calls has.
    :param quorum: with ``parallel``, instead of a policy: the task is over as soon as so many agents have succeeded, or
        cannot any more. The others are cancelled.
    :param budget: (templated) what each agent may spend, of all its tries: as for the other operators. An agent's own
        ``budget`` stands in its mapping, and comes first. Each call by an orchestrator counts by itself.
    :param check_graph: as for ``LangGraphTriggerOperator``: of every agent, before the first one is asked.
    :param timeout: how long all agents together may take: a timedelta or seconds, 24 hours by default. The task's
        ``execution_timeout`` ends them as well, whichever comes first.
    :param defer_after: (templated) as for the other operators, and so are ``deferrable``, ``kafka_config_id``,
        ``fleet``, ``on_retry``, ``on_clear`` and ``result_format``.
    :returns: a mapping of agents' names to their results: of those that succeeded, in the order of ``agents``; with
        ``supervisor`` of each the last that succeeded, and the orchestrator's own. With Airflow's
        ``multiple_outputs=True`` each of them is an XCom of its own as well: ``task.output["name"]``.
    :raises RunError: (a subclass) too many agents failed; its text names them. The XCom ``errors`` has the reasons.
    :raises KafkaError: Kafka cannot be used; retried.
    :raises SettingsError: an argument or the rendered input is wrong; not retried.
    """

    template_fields: Sequence[str] = ("agents", "orchestrator", "budget", "fleet", "defer_after")
    template_fields_renderers = {"agents": "json", "orchestrator": "json", "budget": "json"}  # noqa: RUF012 - as Airflow declares it
    name_fields: Sequence[str] = ("fleet",)
    ui_color = "#d6e9d2"
    arguments_elsewhere = ARGUMENTS_ELSEWHERE

    def __init__(
        self,
        *,
        agents: Any,
        orchestration_mode: Mode = "parallel",
        orchestrator: Mapping[str, Any] | None = None,
        max_rounds: int | None = None,
        policy: Literal["fail_fast", "all_done"] | None = None,
        quorum: int | None = None,
        budget: Mapping[str, Any] | str | None = None,
        check_graph: bool | None = None,
        timeout: timedelta | float | None = None,
        defer_after: timedelta | float | str | None = None,
        deferrable: bool = True,
        kafka_config_id: str = "kafka_default",
        fleet: str | dict[str, str] | None = None,
        on_retry: Literal["resume", "restart"] = "resume",
        on_clear: Literal["restart", "resume"] = "restart",
        result_format: ResultFormat = "json",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.orchestration_mode = one_of("orchestration_mode", orchestration_mode, MODES)
        check_agents(agents, orchestrator, self.orchestration_mode)
        self.agents = agents
        self.orchestrator = orchestrator
        self.max_rounds = _rounds(max_rounds, self.orchestration_mode)
        _require_meaning(self.orchestration_mode, policy, quorum)
        self.policy = "quorum" if quorum is not None else one_of("policy", policy or "fail_fast", POLICIES)
        self.quorum = quorum or 0
        if isinstance(agents, Sequence) and not isinstance(agents, str):
            self._require_quorum(len(agents))
        self._init_budget(budget)
        self.check_graph = check_check_graph(check_graph)
        self.timeout = as_timedelta(timeout)
        self._init_wait(
            defer_after=defer_after,
            deferrable=deferrable,
            result_format=result_format,
            output_schema=None,
            on_interrupt="fail",
        )
        self._init_fleet(kafka_config_id, fleet)
        self.on_retry = one_of("on_retry", on_retry, ("resume", "restart"))
        self.on_clear = one_of("on_clear", on_clear, ("restart", "resume"))

    def _require_quorum(self, agents: int) -> None:
        if self.policy == "quorum" and self.quorum > agents:
            raise SettingsError(
                f"quorum: {self.quorum} agents cannot succeed, as there are {agents}. Lower it, or add agents"
            )


def _rounds(max_rounds: int | None, mode: Mode) -> int:
    if max_rounds is None:
        return MAX_ROUNDS if mode == "supervisor" else 0
    if mode != "supervisor":
        raise SettingsError(
            f"max_rounds: with orchestration_mode={mode!r} each agent is asked once. Leave it out, or set "
            "orchestration_mode='supervisor'"
        )
    if not isinstance(max_rounds, int) or isinstance(max_rounds, bool) or not 1 <= max_rounds <= MOST_ROUNDS:
        raise SettingsError(f"max_rounds must be a whole number from 1 to {MOST_ROUNDS}, not {max_rounds!r}")
    return max_rounds


def _require_meaning(mode: Mode, policy: Any, quorum: Any) -> None:
    """Check that policy and quorum say one thing, which the mode can do."""
    if quorum is not None:
        if not isinstance(quorum, int) or isinstance(quorum, bool) or quorum < 1:
            raise SettingsError(f"quorum must be a whole number above 0, not {quorum!r}")
        if policy is not None:
            raise SettingsError(f"quorum={quorum} and policy={policy!r} contradict each other. Leave one of them out")
        if mode != "parallel":
            raise SettingsError(
                f"quorum: with orchestration_mode={mode!r} agents run one after the other, so none can be left out. "
                "Leave it out, or set orchestration_mode='parallel'"
            )
    if policy == "all_done" and mode == "sequential":
        raise SettingsError(
            "policy='all_done': with orchestration_mode='sequential' an agent needs the result of the one before it. "
            "Leave it out, or set orchestration_mode='parallel'"
        )
