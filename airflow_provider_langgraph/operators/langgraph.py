"""The operator: ask a LangGraph agent over Kafka, free the slot, return its answer."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from airflow.providers.common.compat.sdk import BaseOperator
from pydantic import ValidationError

from airflow_provider_langgraph.attempt import attempt_of, note_returned
from airflow_provider_langgraph.deadline import GRACE, as_timedelta, deadline, settled
from airflow_provider_langgraph.exceptions import (
    KafkaError,
    KafkaSettingsError,
    PublishError,
    RunCancelled,
    RunTimedOut,
    SettingsError,
    WaitError,
    error_for,
)
from airflow_provider_langgraph.fleet import configured_topic
from airflow_provider_langgraph.handle import RequestHandle
from airflow_provider_langgraph.operators.arguments import described, one_of
from airflow_provider_langgraph.operators.blocking import BlockingWait
from airflow_provider_langgraph.task_state import state_in
from airflow_provider_langgraph.triggers.cancel import KILLED
from airflow_provider_langgraph.triggers.result import WorkflowResultTrigger, record_in
from airflow_provider_langgraph.version_compat import TaskDeferralError, TaskDeferralTimeout
from workflow_events.codec import Record, decode_result
from workflow_events.errors import DecodeError, EncodeError, MessageTooLargeError
from workflow_events.identity import correlation_id
from workflow_events.models import EventSource, EventType, WorkflowEvent
from workflow_events.results import ResultStatus, WorkflowResultEvent

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_langgraph.hooks.kafka import KafkaHook

CANCEL_SECONDS = 4.0
"""How long a task tries to tell the workers that it has given up: five seconds after SIGTERM comes SIGKILL."""

CANNOT_WAIT = "its reply cannot be waited for"

# States that somebody has given to a task that is running. Unfinished ones are Airflow's own affair.
_ENDED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed", "restarting"})

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
    :param control_topic: where a killed task's run is ended, and a newer try says that it exists; None: ``[langgraph]
        control_topic``.
    :param progress_topic: where runs tell what they do, for the task's log; None: ``[langgraph] progress_topic``.
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
        progress_topic: str | None = None,
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
        self.progress_topic = progress_topic
        self.on_retry = one_of("on_retry", on_retry, ("resume", "restart"))
        self.on_clear = one_of("on_clear", on_clear, ("restart", "resume"))
        self._blocking: BlockingWait | None = None
        self._hook: KafkaHook | None = None
        self._killed = False

    def execute(self, context: Context) -> Any:
        """Publish the request; then return, defer, or wait."""
        handle = self._publish(context)
        if self.deferrable or not self.wait_for_completion:
            self._require_wanted(context, handle)
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
            return self._finish(context, self._decoded(self._blocking.reply(self.log)))
        except TimeoutError as error:
            raise self._silence(handle.correlation_id, str(error)) from None
        except RunCancelled:
            if self._killed:
                self._cancel(handle.correlation_id, KILLED)
            raise
        except KafkaError:
            self._cancel(handle.correlation_id, CANNOT_WAIT)
            raise

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Called by Airflow when the trigger has fired."""
        request = correlation_id(context["ti"].id)
        match event["kind"]:
            case "result":
                return self._finish(context, self._decoded(record_in(event)))
            case "silence":
                raise self._silence(request, event.get("error", ""))
            case "refused":
                self._cancel(request, CANNOT_WAIT)
                raise KafkaSettingsError(event["error"])
            case _:
                self._cancel(request, CANNOT_WAIT)
                raise WaitError(event["error"])

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Called by Airflow when the deferral is over, also when its trigger crashed or never ran."""
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except (TaskDeferralTimeout, TaskDeferralError) as error:
            request = correlation_id(context["ti"].id)
            self._cancel(request, "nobody waits for its reply any more")
            if isinstance(error, TaskDeferralTimeout):
                raise RunTimedOut(
                    f"no triggerer has looked for the reply to request {request} by its deadline: is a triggerer "
                    f"running?"
                ) from error
            raise WaitError(f"the trigger that waited for the reply failed: {error}; its log says more") from error

    def on_kill(self) -> None:
        """Called by Airflow when the task's process is told to end; :meth:`execute` goes on meanwhile."""
        self._killed = True
        if self._hook is not None:
            self._hook.abandon()
        if self._blocking is not None:
            self._blocking.kill()

    def _require_wanted(self, context: Context, handle: RequestHandle) -> None:
        """A task that was killed between publishing and deferring has no trigger yet that could end its agent.

        :raises RunCancelled: it was; the run is cancelled.
        """
        if self._killed or self._state(context["ti"]) in _ENDED:
            self._cancel(handle.correlation_id, KILLED)
            raise RunCancelled(f"the task was killed before it waited for request {handle.correlation_id}")

    def _state(self, ti: Any) -> str | None:
        """The state that Airflow has for this task by now; None if it does not say."""
        map_index = -1 if ti.map_index is None else ti.map_index
        try:
            found = ti.get_task_states(ti.dag_id, map_index=map_index, task_ids=[ti.task_id], run_ids=[ti.run_id])
        except Exception as error:  # noqa: BLE001 - then on_kill alone tells of a kill
            self.log.debug("Cannot ask for the task's state: %s", error)
            return None
        return state_in(found, ti)

    def _cancel(self, request: UUID, reason: str) -> None:
        from airflow_provider_langgraph.hooks.kafka import KafkaHook

        try:
            hook = KafkaHook(self.kafka_config_id, timeout=CANCEL_SECONDS)
            hook.cancel(request, configured_topic("control", self.control_topic), reason=reason)
        except Exception as error:  # noqa: BLE001 - why the task ends matters more
            self.log.warning("Request %s could not be cancelled, it runs to its deadline at most: %s", request, error)
        else:
            self.log.info("Cancelled request %s: %s", request, reason)

    def _decoded(self, record: Record) -> WorkflowResultEvent:
        try:
            return decode_result(record)
        except DecodeError as error:
            raise WaitError(f"the reply cannot be read: {error}") from error

    def _publish(self, context: Context) -> RequestHandle:
        from airflow_provider_langgraph.hooks.kafka import KafkaHook

        hook = self._hook = KafkaHook(self.kafka_config_id)
        events = configured_topic("events", self.events_topic)
        results = configured_topic("results", self.results_topic)
        event = self._event(context)
        hook.require_topics(events)
        # Before the request is out: the reply cannot lie before these, however fast the agent is.
        ends = hook.end_offsets(results)
        if self._killed:
            raise RunCancelled("the task was killed before it asked")
        try:
            hook.publish(event, events)
        except (MessageTooLargeError, EncodeError) as error:
            raise SettingsError(f"input: {error}") from error
        except PublishError:
            if self._killed and event.event_id is not None:  # the broker may have it all the same
                self._cancel(event.event_id, KILLED)
            raise
        if not self._killed:
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
            results_topic_id=ends.topic_id,
            control_topic=configured_topic("control", self.control_topic),
            progress_topic=configured_topic("progress", self.progress_topic),
            asked_at=event.timestamp,
            thread_id=event.thread_id,
        )

    def _announce(self, hook: KafkaHook, event: WorkflowEvent) -> None:
        """A full fleet takes no request in and would not hear of this try: what an older one left would go on."""
        if event.attempt is None or event.attempt.try_number < 2:
            return
        control = configured_topic("control", self.control_topic)
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
            raise SettingsError(described(error)) from error

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

    def _silence(self, request: UUID, why: str) -> RunTimedOut:
        self._cancel(request, "no reply came by its deadline")
        cause = f" Its results could not be read: {why}." if why else ""
        return RunTimedOut(
            f"no reply to request {request} came by its deadline and {GRACE.total_seconds():.0f} s more.{cause} Is a "
            f"langgraph-worker running for this events topic? Its log, or the dead-letter topic, says more"
        )
