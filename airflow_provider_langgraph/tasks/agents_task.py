"""What a task with several agents does: ask the first of them, wait in the slot, defer once, and return all results."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from airflow_provider_langgraph.airflow_compat.native_rendering import name_as_text
from airflow_provider_langgraph.airflow_compat.single_process import is_dags_test
from airflow_provider_langgraph.airflow_compat.trace_context import traceparent_of
from airflow_provider_langgraph.exceptions import RunCancelled, SettingsError
from airflow_provider_langgraph.requests.agent_outcome import return_values
from airflow_provider_langgraph.requests.agent_work import AgentWork, require_small
from airflow_provider_langgraph.requests.agents import NAMES, AgentTeam, read_agents
from airflow_provider_langgraph.requests.build import RequestArguments, build_events
from airflow_provider_langgraph.requests.cancel import KILLED, CancellerOfAll
from airflow_provider_langgraph.requests.deadline import deferral_timeout
from airflow_provider_langgraph.requests.early_resume import earliest_resume
from airflow_provider_langgraph.requests.given_names import require_values_in_names
from airflow_provider_langgraph.requests.graph_check import CHECK_SECONDS, GraphCheck, is_wanted, read_fleet
from airflow_provider_langgraph.requests.orchestration import (
    AgentPlan,
    Mode,
    Policy,
    next_move,
    possible_steps,
)
from airflow_provider_langgraph.requests.outcome import ended_deferral
from airflow_provider_langgraph.requests.publish import publish_requests, require_wanted
from airflow_provider_langgraph.requests.slot_time import defer_after_seconds, slot_seconds
from airflow_provider_langgraph.requests.usage import push_usage
from airflow_provider_langgraph.task_log.agent_log import AgentLog
from airflow_provider_langgraph.tasks.reply_task import DAGS_TEST
from airflow_provider_langgraph.tasks.request_task import RequestTask
from airflow_provider_langgraph.triggers.multi_agent import NOT_NEEDED, MultiAgentTrigger
from airflow_provider_langgraph.waiting.blocking_wait import BlockingWait
from workflow_events.identity import correlation_id
from workflow_events.results import ModelUsage

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_langgraph.requests.agent_replies import AgentReplies
    from airflow_provider_langgraph.requests.handle import RequestHandle
    from airflow_provider_langgraph.waiting.agents_run import AgentsRun
    from workflow_events.models import WorkflowEvent

UNLIMITED_BYTES = 2**63


class AgentsTask(RequestTask):
    """A task that asks several agents. A class that mixes it in has the arguments."""

    agents: Any
    orchestrator: Any
    orchestration_mode: Mode
    policy: Policy
    quorum: int
    max_rounds: int
    timeout: timedelta
    on_retry: Literal["resume", "restart"]
    on_clear: Literal["restart", "resume"]

    operator_extra_links = ()  # a link names one run, and a task has one for each of its agents

    def _execute(self, context: Context) -> Any:
        """Ask; then return, or wait in the slot, and defer if agents are still at work."""
        seconds = defer_after_seconds(self.defer_after)
        work = self._ask(context)
        if is_dags_test():
            self.log.info(DAGS_TEST, work.first.kafka_config_id)
        if not self.deferrable:
            return self._finish(self._wait_in_slot(work), context)
        work, replies, asked = self._look_in_slot(work, slot_seconds(seconds, work.first.deadline))
        if replies is None:
            canceller = CancellerOfAll(self._canceller, lambda: [handle.correlation_id for handle in asked])
            require_wanted(work.first.correlation_id, context["ti"], self._kill, canceller)
            self._defer_once(work)
        return self._finish(replies, context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Called by Airflow when the trigger has fired."""
        return self._finish(event, context)

    def _ended(self, error: Exception, context: Context) -> Exception:
        steps = possible_steps(self._plan(self._team()))
        ids = [correlation_id(context["ti"].id, step) for step in steps]
        return ended_deferral(error, ids[0], CancellerOfAll(self._canceller, lambda: ids))

    def _ask(self, context: Context) -> AgentWork:
        """Publish the first requests. What is known to stand in the way of one that is asked later costs no agent."""
        require_values_in_names(self._lacking)
        work = self._work(context)
        steps = next_move(work.plan, {}).steps
        if self.deferrable and work.plan.mode != "parallel":
            require_small(work.to_json())
        known = work.known_events()
        client = self._connect()
        by_input = {agent.author_names["input"]: known[agent.name] for agent in self._team().all}
        client.require_fits(by_input, client.topics.events, traceparent=work.traceparent)
        if is_wanted(self.check_graph):
            self._check(known, {step.agent for step in steps})
        events = {step.name: known[step.agent] for step in steps}
        handles = publish_requests(
            client,
            [(event, AgentLog(self.log, name)) for name, event in events.items()],
            self._kill,
            self._canceller,
            work.traceparent,
        )
        return work.published(dict(zip(events, handles, strict=True)))

    def _check(self, events: Mapping[str, WorkflowEvent], first: Collection[str]) -> None:
        """Compare all agents with what the workers announce.

        :param first: the agents that are asked first. The whole input of the others is not known yet.
        :raises GraphCheckError: names the agent.
        """
        fleet = read_fleet(self._connect(CHECK_SECONDS), self.log)
        for agent in self._team().all:
            check = GraphCheck(agent.author_names, AgentLog(self.log, agent.name), has_input=agent.name in first)
            check.check(fleet, events[agent.name])

    def _work(self, context: Context) -> AgentWork:
        team = self._team()
        plan = self._plan(team)
        arguments = {
            agent.name: RequestArguments(
                graph=agent.settings.graph,
                input=agent.input_data,  # checked now, whenever it is sent
                context=agent.settings.context,
                assistant=agent.settings.assistant,
                config=agent.settings.config,
                budget=self.budget if agent.budget is None else agent.budget,
                timeout=self.timeout,
                execution_timeout=self.execution_timeout,
                on_retry=self.on_retry,
                on_clear=self.on_clear,
                names=agent.author_names,
            )
            for agent in team.all
        }
        events = build_events(arguments, context)
        left_out = {"event_id", "timestamp", "payload"}
        requests = {
            name: event.model_dump(mode="json", exclude=left_out, exclude_none=True) for name, event in events.items()
        }
        return AgentWork(plan, requests, traceparent=traceparent_of(context["ti"]))

    def _team(self) -> AgentTeam:
        return read_agents(self.agents, self.orchestrator, self.orchestration_mode)

    def _plan(self, team: AgentTeam) -> AgentPlan:
        """:raises SettingsError: there are not as many agents as have to succeed."""
        self._require_quorum(len(team.agents))
        return AgentPlan(
            self.orchestration_mode,
            tuple(agent.planned() for agent in team.agents),
            self.policy,
            self.quorum,
            None if team.orchestrator is None else team.orchestrator.planned(),
            self.max_rounds,
        )

    def _require_quorum(self, agents: int) -> None:
        raise NotImplementedError

    def _wait_in_slot(self, work: AgentWork) -> AgentReplies:
        from airflow_provider_langgraph.waiting.agents_run import AgentsRun

        run = AgentsRun(work, self.log, is_first=True, most_bytes=UNLIMITED_BYTES)
        return self._blocked(run, None)  # type: ignore[return-value] # it has no limit of time

    def _look_in_slot(
        self, work: AgentWork, seconds: float
    ) -> tuple[AgentWork, AgentReplies | None, Collection[RequestHandle]]:
        """Wait for so many seconds at most: what is published by then; the replies, None if some are to come; and what
        may be at work.
        """
        if seconds <= 0:
            return work, None, work.handles.values()
        from airflow_provider_langgraph.waiting.agents_run import AgentsRun
        from airflow_provider_langgraph.waiting.reply_wait import look_for_reply

        run = AgentsRun(work, self.log, is_first=True, wait=look_for_reply, most_bytes=UNLIMITED_BYTES)
        replies = self._blocked(run, seconds)
        if replies is None:
            self.log.info("Not all agents have answered within %.1f s: the task defers, which frees its slot", seconds)
        return run.work, replies, run.left_over()

    def _blocked(self, run: AgentsRun, seconds: float | None) -> AgentReplies | None:
        """The outcome of a run in this process; None if it has none in so many seconds. A kill ends what it asked."""
        wait = BlockingWait(run.work.first)
        self._kill.stop_with(wait.kill)
        try:
            replies = asyncio.run(wait.run(run.run() if seconds is None else run.run_within(seconds)))
        except (RunCancelled, KeyboardInterrupt):  # the latter: Ctrl-C in `airflow dags test`
            self._cancel_requests(run, KILLED)
            raise
        if replies is not None:
            self._cancel_requests(run, NOT_NEEDED)
        return replies

    def _cancel_requests(self, run: AgentsRun, reason: str) -> None:
        self._canceller.cancel_all([handle.correlation_id for handle in run.left_over()], reason)

    def _finish(self, event: Mapping[str, Any], context: Context) -> Any:
        if self.do_xcom_push:
            usage = {model: ModelUsage.model_validate(used) for model, used in event.get("usage", {}).items()}
            push_usage(usage, context, self.log)
        return return_values(
            event,
            self.result_format,
            self._events_topic(),
            context,
            self._canceller,
            lambda agent: AgentLog(self.log, agent),
            self._names_of_agents(),
        )

    def _names_of_agents(self) -> dict[str, dict[str, str]]:
        """By agent, what its author calls the arguments of its request. None, if the DAG has changed and is wrong: the
        results matter more.
        """
        try:
            return {agent.name: agent.author_names for agent in self._team().all}
        except SettingsError:
            return {}

    def _defer_once(self, work: AgentWork) -> NoReturn:
        now = datetime.now(UTC)
        self.defer(
            trigger=MultiAgentTrigger(work=work.to_json(), not_before=earliest_resume(now).isoformat()),
            method_name="execute_complete",
            timeout=deferral_timeout(work.first.deadline, now),
        )

    def _do_render_template_fields(
        self, parent: Any, template_fields: Iterable[str], context: Context, *arguments: Any, **named: Any
    ) -> None:
        agents, orchestrator = self.agents, self.orchestrator
        super()._do_render_template_fields(parent, template_fields, context, *arguments, **named)
        if parent is not self:
            return
        self.orchestrator = self._with_names(orchestrator, self.orchestrator, context, "orchestrator")
        if (
            isinstance(agents, list | tuple)
            and isinstance(self.agents, list | tuple)
            and len(agents) == len(self.agents)
        ):
            self.agents = [
                self._with_names(template, rendered, context, f"agents[{number}]")
                for number, (template, rendered) in enumerate(zip(agents, self.agents, strict=True))
            ]

    def _with_names(self, template: Any, rendered: Any, context: Context, place: str) -> Any:
        """An agent's mapping, in which names are text, also where Airflow renders native objects."""
        if not isinstance(template, Mapping) or not isinstance(rendered, Mapping):
            return rendered
        names = {key: value for key, value in rendered.items() if key in NAMES}
        names = name_as_text(self, template, names, context)
        self._note_what_lacks(template, names, context, place)
        return {**rendered, **names}
