"""From an operator's arguments and its task's context to the event that asks the agent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from pydantic import ValidationError

from airflow_provider_langgraph.airflow_compat.task_weight import effective_weight
from airflow_provider_langgraph.exceptions import SettingsError
from airflow_provider_langgraph.requests.arguments import describe_problem
from airflow_provider_langgraph.requests.asked_question import AskedQuestion
from airflow_provider_langgraph.requests.budget import budget_of
from airflow_provider_langgraph.requests.deadline import DEFAULT_TIMEOUT, deadline
from airflow_provider_langgraph.requests.given_question import GivenQuestion
from airflow_provider_langgraph.requests.json_input import as_json, as_name
from airflow_provider_langgraph.requests.rounds import round_id
from airflow_provider_langgraph.requests.task_identity import attempt_of
from airflow_provider_langgraph.requests.thread_name import thread_name
from workflow_events.identity import correlation_id
from workflow_events.models import EventSource, EventType, WorkflowEvent

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


@dataclass(frozen=True, slots=True)
class RequestArguments:
    """What an author says of a request, rendered; the operator explains each of them.

    :param thread_id_lacks_a_value: a template in it has rendered to None.
    :param timeout: how long the agent may take from now on.
    :param execution_timeout: the task's own limit, from its start; it ends the agent as well.
    :param names: what the author calls an argument, where it is not the argument's own name; for errors.
    """

    graph: str | None = None
    input: Any = None
    context: Any = None
    assistant: str | None = None
    config: Any = None
    budget: Any = None
    thread_id: str | None = None
    thread_id_lacks_a_value: bool = False
    workflow_id: str | None = None
    timeout: timedelta = DEFAULT_TIMEOUT
    execution_timeout: timedelta | None = None
    on_retry: Literal["resume", "restart"] = "resume"
    on_clear: Literal["restart", "resume"] = "restart"
    names: Mapping[str, str] = field(default_factory=dict)

    def json_of(self, argument: str) -> Any:
        """An argument as JSON; its errors name it as the author does."""
        return as_json(getattr(self, argument), self.names.get(argument, argument))


def request_id(context: Context) -> UUID:
    """The correlation id of a task's request: the same for the same try, whenever it is asked for."""
    return correlation_id(context["ti"].id)


def build_event(arguments: RequestArguments, context: Context) -> WorkflowEvent:
    """The request of a task.

    :raises SettingsError: an argument cannot be sent; names it, the place in it and the remedy.
    """
    return _validated(_asked(arguments, _who_asks(context, arguments), context), arguments.names)


def build_events(arguments: Mapping[str, RequestArguments], context: Context) -> dict[str, WorkflowEvent]:
    """The requests of a task with several agents, by agent. They have one attempt and one deadline.

    :param arguments: by agent, at least one; all with the same limits.
    :raises SettingsError: as :func:`build_event`.
    """
    who = _who_asks(context, next(iter(arguments.values())))
    events = {}
    for agent, one in arguments.items():
        own = {
            "event_id": correlation_id(context["ti"].id, agent),
            "attempt": who["attempt"].model_copy(update={"agent": agent}),
        }
        events[agent] = _validated(_asked(one, {**who, **own}, context), one.names)
    return events


def _asked(arguments: RequestArguments, who: Mapping[str, Any], context: Context) -> dict[str, Any]:
    return {
        **who,
        "event_type": EventType.WORKFLOW_TRIGGERED,
        "workflow_id": as_name(arguments.workflow_id) or context["ti"].dag_id,
        "payload": {"data": {} if arguments.input is None else arguments.json_of("input")},
        "graph": as_name(arguments.graph),
        "assistant": as_name(arguments.assistant),
        "context": arguments.json_of("context"),
        "thread_id": thread_name(arguments.thread_id, lacks_a_value=arguments.thread_id_lacks_a_value),
        "config": {} if arguments.config is None else arguments.json_of("config"),
        "budget": budget_of(arguments.budget, arguments.names.get("budget", "budget")),
    }


def build_answer(
    question: GivenQuestion,
    answers: Mapping[str, Any],
    answered_by: str | None,
    limits: RequestArguments,
    context: Context,
) -> WorkflowEvent:
    """A task's answer to what another one has asked. It needs no graph and no thread: the run that asked has both.

    :param answers: by interrupt id, as JSON.
    :param limits: how long the agent may take from now on, and what it may spend.
    :raises SettingsError: an answer cannot be sent.
    """
    given = [{"interrupt_id": one, "value": value, "answered_by": answered_by} for one, value in answers.items()]
    fields = {
        **_who_asks(context, limits),
        "event_type": EventType.WORKFLOW_RESUMED,
        "workflow_id": context["ti"].dag_id,
        "round": 1,
        "answers_to": question.answers_to,
        "answers": given,
        "budget": budget_of(limits.budget),
        "payload": {"data": {}},
    }
    return _validated(fields, {})


def build_next_answer(
    question: AskedQuestion,
    first_round: int,
    answers: Mapping[str, Any],
    answered_by: str,
    limits: RequestArguments,
    context: Context,
) -> WorkflowEvent:
    """A person's answer to what the task's own graph asks: the next round of the same try.

    :param first_round: the ``round`` of the event that the try began with.
    :param answers: by interrupt id, as JSON.
    :param limits: how long the agent may take from now on, and under which name the workers file the run.
    :raises SettingsError: an answer cannot be sent.
    """
    number = question.round + 1
    given = [{"interrupt_id": one, "value": value, "answered_by": answered_by} for one, value in answers.items()]
    fields = {
        **_who_asks(context, limits),
        "event_id": round_id(context["ti"].id, number),
        "event_type": EventType.WORKFLOW_RESUMED,
        "workflow_id": as_name(limits.workflow_id) or context["ti"].dag_id,
        "round": first_round + number,
        "answers_to": question.answers_to,
        "answers": given,
        "payload": {"data": {}},
    }
    return _validated(fields, {})


def _who_asks(context: Context, arguments: RequestArguments) -> dict[str, Any]:
    ti = context["ti"]
    now = datetime.now(UTC)
    return {
        "event_id": request_id(context),
        "source": EventSource.AIRFLOW,
        "workflow_run_id": ti.run_id,
        "attempt": attempt_of(context, on_retry=arguments.on_retry, on_clear=arguments.on_clear),
        "deadline": deadline(arguments.timeout, arguments.execution_timeout, now, ti.start_date or now),
        "priority": effective_weight(context),
    }


def _validated(fields: Mapping[str, Any], names: Mapping[str, str]) -> WorkflowEvent:
    try:
        return WorkflowEvent.model_validate(fields)
    except ValidationError as error:
        raise SettingsError(describe_problem(error, names)) from error
