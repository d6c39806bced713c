"""What a task with several agents asks: the plan, the requests, and what of them is published."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from airflow_provider_langgraph.exceptions import SettingsError
from airflow_provider_langgraph.requests.arguments import describe_problem
from airflow_provider_langgraph.requests.handle import RequestHandle
from airflow_provider_langgraph.requests.orchestration import (
    AgentPlan,
    Step,
    agent_of,
    next_move,
    possible_steps,
    step_chains,
)
from workflow_events.identity import correlation_id
from workflow_events.models import WorkflowEvent

MOST_BYTES = 1024 * 1024
"""How much JSON a trigger keeps for the agents that are asked later. Airflow stores it, encrypted, in its database."""


@dataclass(frozen=True, slots=True)
class AgentWork:
    """The agents of one try of a task.

    :param requests: by agent, its request as JSON, without input and name of the step.
    :param handles: by step, those that are published; never empty once the task has asked.
    :param traceparent: the trace of the task, for each message's header; None: it has none.
    """

    plan: AgentPlan
    requests: Mapping[str, Mapping[str, Any]]
    handles: Mapping[str, RequestHandle] = field(default_factory=dict)
    traceparent: str | None = None

    @property
    def first(self) -> RequestHandle:
        """The handle of the first request. All have its topics, its deadline and its start offsets."""
        return next(iter(self.handles.values()))

    def event(self, step: Step) -> WorkflowEvent:
        """The request of a step: the same whenever it is made.

        :raises SettingsError: what is handed on cannot be sent.
        """
        request = dict(self.requests[step.agent])
        attempt = {**request["attempt"], "agent": step.name}
        own = {
            "event_id": correlation_id(attempt["id"], step.name),
            "attempt": attempt,
            "timestamp": datetime.now(UTC),
            "payload": {"data": step.input},
        }
        try:
            return WorkflowEvent.model_validate({**request, **own})
        except ValidationError as error:
            raise SettingsError(describe_problem(error, {})) from error

    def known_events(self) -> dict[str, WorkflowEvent]:
        """By agent, its first request, with what is known of its input before any agent has answered.

        :raises SettingsError: as :meth:`event`.
        """
        first = {step.agent: step for step in next_move(self.plan, {}).steps}
        agents = [*self.plan.agents, *([self.plan.orchestrator] if self.plan.orchestrator else [])]
        steps = [first.get(agent.name) or Step(agent.name, agent.name, agent.known_input) for agent in agents]
        return {step.agent: self.event(step) for step in steps}

    def request_id(self, step: str) -> UUID:
        """The correlation id of a step, also of one that is not published."""
        return correlation_id(next(iter(self.requests.values()))["attempt"]["id"], step)

    def handle_of(self, step: str) -> RequestHandle:
        """The handle of a step. For one that is not known to be published: where its reply would lie if it were."""
        return self.handles.get(step) or replace(self.first, correlation_id=self.request_id(step))

    def steps(self) -> Iterator[str]:
        """The names of all steps that may be published."""
        return possible_steps(self.plan)

    def chains(self, ended: Collection[str] = ()) -> list[list[RequestHandle]]:
        """The handles of all steps that may be published, in chains: of each, a step is published only once the one
        before it has been answered.

        :param ended: steps that are left out.
        """
        chains = [[self.handle_of(step) for step in chain if step not in ended] for chain in step_chains(self.plan)]
        return [chain for chain in chains if chain]

    def published(self, handles: Mapping[str, RequestHandle]) -> AgentWork:
        """The same, with more that is published."""
        return replace(self, handles={**self.handles, **handles})

    def to_json(self) -> str:
        """For a trigger; what is published already goes without its input.

        A text: of some keys that an input may have, Airflow would make objects.
        """
        later = [step for step in self.steps() if step not in self.handles]
        agents = {agent_of(step) for step in later}
        kept = {
            "plan": (self.plan if later else self.plan.without_inputs()).to_dict(),
            # One is needed in any case: it has the attempt's id.
            "requests": {
                name: request
                for number, (name, request) in enumerate(self.requests.items())
                if name in agents or not number
            },
            "handles": {step: handle.to_dict() for step, handle in self.handles.items()},
            "traceparent": self.traceparent,
        }
        return json.dumps(kept)

    @classmethod
    def from_json(cls, text: str) -> AgentWork:
        """Read :meth:`to_json` back."""
        data = json.loads(text)
        handles = {step: RequestHandle.from_dict(handle) for step, handle in data["handles"].items()}
        return cls(AgentPlan.from_dict(data["plan"]), data["requests"], handles, data.get("traceparent"))


def require_small(work: str) -> None:
    """Check that a trigger can keep what is asked later.

    :param work: :meth:`AgentWork.to_json`.
    :raises SettingsError: it is too large.
    """
    size = len(work.encode())
    if size > MOST_BYTES:
        raise SettingsError(
            f"agents: their input_data, which the trigger keeps until they are asked, has {size:,} bytes, and "
            f"{MOST_BYTES:,} are allowed. Pass references to large data, or set deferrable=False"
        )
