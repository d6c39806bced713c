"""The operator: ask a LangGraph agent over Kafka, free the slot, return its answer."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.common.compat.sdk import BaseOperator, conf
from pydantic import ValidationError

from airflow_provider_langgraph.attempt import attempt_of, note_returned
from airflow_provider_langgraph.deadline import GRACE, as_timedelta, deadline, settled
from airflow_provider_langgraph.exceptions import (
    KafkaError,
    KafkaSettingsError,
    RunTimedOut,
    SettingsError,
    WaitError,
    error_for,
)
from airflow_provider_langgraph.handle import RequestHandle
from airflow_provider_langgraph.operators.blocking import BlockingWait
from airflow_provider_langgraph.triggers.result import WorkflowResultTrigger
from airflow_provider_langgraph.version_compat import TaskDeferralError, TaskDeferralTimeout
from workflow_events.errors import EncodeError, MessageTooLargeError
from workflow_events.identity import correlation_id
from workflow_events.models import EventSource, EventType, WorkflowEvent
from workflow_events.results import ResultStatus, WorkflowResultEvent
from workflow_events.topics import Fleet

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_langgraph.hooks.kafka import KafkaHook

SAFETY_NET = timedelta(minutes=5)
"""How long after the trigger's own limit Airflow ends the deferral: only a trigger that never ran gets there."""


class LangGraphTriggerOperator(BaseOperator):
    """Runs a LangGraph graph on a fleet of workers and returns its result.

    The task publishes a request to Kafka and defers: while the agent works, no worker slot is held. The same try never
    runs the agent twice. Airflow's retry resumes it from its last checkpoint; clearing the task starts it afresh.

    :param graph: (templated) the graph's name in the workers' ``langgraph.json``; None: the fleet's default graph.
    :param input: (templated) the graph's input, a mapping of JSON values.
    :param config: (templated) settings of the run: ``tags``, ``recursion_limit``, ``model``, ``configurable``.
    :param thread_id: (templated) a conversation to continue, shared by all tasks that name it; None: a thread of the
        run's own.
    :param workflow_id: (templated) under which name the workers file the run; None: the DAG's id.
    :param timeout: how long the agent may take from publishing on: a timedelta or seconds, 24 hours by default. The
        task's ``execution_timeout`` ends it as well, whichever comes first.
    :param wait_for_completion: False: return as soon as the request is durable in Kafka. The return value is then the
        handle of the request, a mapping with its ``correlation_id``.
    :param deferrable: False: wait in the worker slot instead. On purpose True by default, whatever ``[operators]
        default_deferrable`` says: holding a slot is what this operator is there to avoid.
    :param kafka_config_id: the Airflow connection, of type ``kafka``.
    :param events_topic: where requests go; None: ``[langgraph] events_topic``.
    :param results_topic: where results come; None: ``[langgraph] results_topic``.
    :param control_topic: where a newer try says that it exists; None: ``[langgraph] control_topic``.
    :param on_retry: ``resume`` continues from the last checkpoint, ``restart`` begins anew.
    :param on_clear: ``restart`` begins anew, ``resume`` continues what did not succeed.
    :returns: the graph's final state as JSON.
    :raises RunError: (a subclass) the agent failed, was refused, timed out, was cancelled or waits for a person; it is
        an ``AirflowFailException`` too where Airflow's retry cannot help.
    :raises KafkaError: Kafka cannot be used; retried.
    :raises SettingsError: an argument or the rendered input is wrong; not retried.
    """

    template_fields: Sequence[str] = ("graph", "input", "config", "thread_id", "workflow_id")
    template_fields_renderers = {"input": "json", "config": "json"}  # noqa: RUF012 - as Airflow declares it
    ui_color = "#d6e9d2"

    def __init__(
        self,
        *,
        graph: str | None = None,
        input: dict[str, Any] | None = None,  # noqa: A002 - LangGraph's own word
        config: dict[str, Any] | None = None,
        thread_id: str | None = None,
        workflow_id: str | None = None,
        timeout: timedelta | float | None = None,
        wait_for_completion: bool = True,
        deferrable: bool = True,
        kafka_config_id: str = "kafka_default",
        events_topic: str | None = None,
        results_topic: str | None = None,
        control_topic: str | None = None,
        on_retry: Literal["resume", "restart"] = "resume",
        on_clear: Literal["restart", "resume"] = "restart",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.graph = graph
        self.input = input
        self.config = config
        self.thread_id = thread_id
        self.workflow_id = workflow_id
        self.timeout = as_timedelta(timeout)
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.kafka_config_id = kafka_config_id
        self.events_topic = events_topic
        self.results_topic = results_topic
        self.control_topic = control_topic
        self.on_retry = _one_of("on_retry", on_retry, ("resume", "restart"))
        self.on_clear = _one_of("on_clear", on_clear, ("restart", "resume"))
        self._blocking: BlockingWait | None = None
        self._killed = False

    def execute(self, context: Context) -> Any:
        """Publish the request; then return, defer, or wait."""
        handle = self._publish(context)
        if not self.wait_for_completion:
            return handle.to_dict()
        if self.deferrable:
            now = datetime.now(UTC)
            self.defer(
                trigger=WorkflowResultTrigger(handle=handle.to_dict(), not_before=settled(now).isoformat()),
                method_name="execute_complete",
                timeout=handle.deadline + GRACE + SAFETY_NET - now,
            )
        self._blocking = BlockingWait(handle)
        if self._killed:
            self._blocking.kill()
        try:
            return self._finish(context, self._blocking.result(self.log))
        except TimeoutError:
            raise self._silence(str(handle.correlation_id)) from None

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Called by Airflow when the trigger has fired."""
        match event["kind"]:
            case "result":
                return self._finish(context, WorkflowResultEvent.model_validate_json(event["result"]))
            case "silence":
                raise self._silence(str(correlation_id(context["ti"].id)))
            case "refused":
                raise KafkaSettingsError(event["error"])
            case _:
                raise WaitError(event["error"])

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Called by Airflow when the deferral is over, also when its trigger crashed or never ran."""
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except TaskDeferralTimeout as error:
            raise RunTimedOut(
                f"no triggerer has looked for the reply to request {correlation_id(context['ti'].id)} by its deadline: "
                f"is a triggerer running?"
            ) from error
        except TaskDeferralError as error:
            raise WaitError(f"the trigger that waited for the reply failed: {error}; its log says more") from error

    def on_kill(self) -> None:
        """Called by Airflow when the task's process is told to end."""
        self._killed = True
        if self._blocking is not None:
            self._blocking.kill()

    def _publish(self, context: Context) -> RequestHandle:
        from airflow_provider_langgraph.hooks.kafka import KafkaHook

        hook = KafkaHook(self.kafka_config_id)
        events = self.events_topic or conf.get("langgraph", "events_topic", fallback=Fleet().events)
        results = self.results_topic or conf.get("langgraph", "results_topic", fallback=Fleet().results)
        event = self._event(context)
        hook.require_topics(events)
        # Before the request is out: the reply cannot lie before these, however fast the agent is.
        ends = hook.end_offsets(results)
        try:
            hook.publish(event, events)
        except (MessageTooLargeError, EncodeError) as error:
            raise SettingsError(f"input: {error}") from error
        self._announce(hook, event)
        self.log.info(
            "Asked graph %s as request %s until %s (task %s, thread %s)",
            event.graph or "(the default)",
            event.event_id,
            event.deadline,
            event.attempt.task[:12] if event.attempt else "-",
            event.thread_id or "of its own",
        )
        return RequestHandle(
            correlation_id=event.event_id,
            workflow_id=event.workflow_id,
            workflow_run_id=event.workflow_run_id,
            kafka_config_id=self.kafka_config_id,
            events_topic=events,
            results_topic=results,
            cluster=ends.cluster,
            start_offsets=ends.offsets,
            deadline=event.deadline or datetime.now(UTC),
        )

    def _announce(self, hook: KafkaHook, event: WorkflowEvent) -> None:
        """A full fleet takes no request in and would not hear of this try: what an older one left would go on."""
        if event.attempt is None or event.attempt.try_number < 2:
            return
        control = self.control_topic or conf.get("langgraph", "control_topic", fallback=Fleet().control)
        try:
            hook.require_topics(control)
            hook.announce(event.attempt, control)
        except KafkaError as error:
            self.log.warning(
                "An older try may run until this one is accepted, as its workers could not be told: %s", error
            )

    def _event(self, context: Context) -> WorkflowEvent:
        ti = context["ti"]
        now = datetime.now(UTC)
        fields = {
            "event_id": correlation_id(ti.id),
            "event_type": EventType.WORKFLOW_TRIGGERED,
            "source": EventSource.AIRFLOW,
            "workflow_id": self.workflow_id or ti.dag_id,
            "workflow_run_id": ti.run_id,
            "payload": {"data": {} if self.input is None else self.input},
            "graph": self.graph,
            "thread_id": self.thread_id,
            "attempt": attempt_of(context, on_retry=self.on_retry, on_clear=self.on_clear),
            "deadline": deadline(self.timeout, self.execution_timeout, now, ti.start_date or now),
            "config": {} if self.config is None else self.config,
        }
        try:
            return WorkflowEvent.model_validate(fields)
        except ValidationError as error:
            raise SettingsError(_describe(error)) from error

    def _finish(self, context: Context, result: WorkflowResultEvent) -> Any:
        if result.status is not ResultStatus.SUCCESS:
            raise error_for(result)
        note_returned(context)
        self.log.info(
            "Request %s succeeded: thread %s, worker %s, attempts %d, usage %s",
            result.correlation_id,
            result.thread_id,
            result.worker_id,
            result.attempts,
            {model: usage.total_tokens for model, usage in result.usage.items()} or "none",
        )
        return result.result

    def _silence(self, request: str) -> RunTimedOut:
        return RunTimedOut(
            f"no reply to request {request} came by its deadline and {GRACE.total_seconds():.0f} s more: is a "
            f"langgraph-worker running for this events topic? Its log, or the dead-letter topic, says more"
        )


def _one_of(name: str, value: Any, allowed: tuple[str, ...]) -> Any:
    if value not in allowed:
        raise SettingsError(f"{name} must be one of {', '.join(allowed)}, not {value!r}")
    return value


# The wire's names of what the author calls by the operator's.
_ARGUMENTS = {("payload", "data"): "input"}


def _describe(error: ValidationError) -> str:
    """The first problem in the operator's words: which argument, where in it, what, and the remedy."""
    first = error.errors(include_url=False, include_input=False)[0]
    place = [str(part) for part in first["loc"] if not str(part).startswith(("dict[", "list[", "nullable"))]
    for wire, argument in _ARGUMENTS.items():
        if tuple(place[: len(wire)]) == wire:
            place = [argument, *place[len(wire) :]]
    remedy = ""
    if place == ["input"]:
        remedy = (
            ". It must be a mapping. A template renders to text: pass another task's output as it is, or a mapping "
            "with templates inside"
        )
    elif place and place[0] == "input":
        remedy = ". It must be JSON: convert dates and numbers of numpy, make lists of tuples and of mapped outputs"
    return f"{'.'.join(place) or 'the request'}: {first['msg']}{remedy}"
