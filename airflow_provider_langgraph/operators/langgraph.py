"""The operator: ask a LangGraph agent over Kafka, free the slot, return its answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_langgraph.exceptions import SettingsError
from airflow_provider_langgraph.requests.arguments import one_of
from airflow_provider_langgraph.requests.build import RequestArguments, build_event
from airflow_provider_langgraph.requests.deadline import as_timedelta
from airflow_provider_langgraph.requests.publish import require_wanted
from airflow_provider_langgraph.requests.result_value import ResultFormat
from airflow_provider_langgraph.tasks.reply_task import OnInterrupt
from airflow_provider_langgraph.tasks.request_task import RequestTask

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_langgraph.operators.agent import LangGraphOperator
    from workflow_events.models import WorkflowEvent

__all__ = ["LangGraphOperator", "LangGraphTriggerOperator"]

_NOTHING_TO_VALIDATE = (
    "output_schema: with wait_for_completion=False the task returns a handle, not a result. Give output_schema to the "
    "LangGraphResultSensor that waits for the handle"
)


class LangGraphTriggerOperator(RequestTask, BaseOperator):
    """Runs a LangGraph graph on a fleet of workers and returns its result.

    The task publishes a request to Kafka, waits a few seconds for an agent that answers soon, and defers: while the
    agent works on, no worker slot is held. The same try never runs the agent twice. Airflow's retry resumes it from its
    last checkpoint; clearing the task starts it afresh.

    :param graph: (templated) the graph's name in the workers' ``langgraph.json``; None: the fleet's default graph.
    :param input: (templated) the graph's input: a mapping of JSON values, or whatever JSON the graph takes. Dates,
        sets, tuples, Decimals, UUIDs, data classes, pydantic models and mapped outputs are converted, as in results.
    :param context: (templated) what the graph's nodes read as ``runtime.context``, a mapping of JSON values.
    :param assistant: (templated) one of the graph's assistants in the workers' ``langgraph.json``.
    :param config: (templated) settings of the run: ``tags``, ``recursion_limit``, ``max_concurrency``, ``model``,
        ``configurable``, ``interrupt_before``, ``interrupt_after``.
    :param thread_id: (templated) a conversation to continue, shared by all tasks that name it; None: a thread of the
        run's own.
    :param workflow_id: (templated) under which name the workers file the run; None: the DAG's id.
    :param timeout: how long the agent may take from publishing on: a timedelta or seconds, 24 hours by default. The
        task's ``execution_timeout`` ends it as well, whichever comes first.
    :param wait_for_completion: False: return as soon as the request is durable in Kafka. The return value is then the
        handle of the request, a mapping with its ``correlation_id``.
    :param defer_after: (templated) how long the task waits in its slot before it defers: a timedelta or seconds. None:
        ``[langgraph] defer_after`` of Airflow's configuration, 5 seconds by default. 0: it defers at once.
    :param deferrable: False: wait in the worker slot instead. The default is True on purpose, and ``[operators]
        default_deferrable`` does not change it: this operator is there so that no slot is held.
    :param kafka_config_id: the Airflow connection, of type ``kafka``.
    :param fleet: (templated) the fleet of workers to ask. Its name, such as ``"risk"``; or a mapping of ``name``,
        ``events``, ``results``, ``control`` and ``progress`` to names, where single topics are named differently. None:
        the fleet of Airflow's configuration, ``[langgraph]``.
    :param on_retry: ``resume`` continues from the last checkpoint, ``restart`` begins anew.
    :param on_clear: ``restart`` begins anew, ``resume`` continues what did not succeed.
    :param result_format: ``json`` returns the result as plain values; one of which Airflow would make objects, or that
        it cannot keep, fails the task. ``text`` returns its JSON text, whatever it holds.
    :param output_schema: what the result must be: a pydantic model class, or another type of which pydantic makes a
        validator; or its dotted path, such as ``"my_package.models.Report"``. The task returns the validated value as
        JSON; a result that does not fit fails it, and the error names the field.
    :param on_interrupt: what becomes of the task whose graph asks a person: ``fail`` fails it at once, without retries;
        ``return`` returns the question, a mapping that
        :class:`~airflow_provider_langgraph.operators.resume.LangGraphResumeOperator` answers.
    :returns: the graph's final state as JSON.
    :raises RunError: (a subclass) the agent failed, was refused, timed out, was cancelled or waits for a person, or its
        result cannot be returned; it is an ``AirflowFailException`` too where Airflow's retry cannot help.
    :raises KafkaError: Kafka cannot be used; retried.
    :raises SettingsError: an argument or the rendered input is wrong; not retried.
    """

    template_fields: Sequence[str] = (
        "graph",
        "input",
        "context",
        "assistant",
        "config",
        "thread_id",
        "workflow_id",
        "fleet",
        "defer_after",
    )
    template_fields_renderers = {"input": "json", "context": "json", "config": "json"}  # noqa: RUF012 - as Airflow declares it
    name_fields: Sequence[str] = ("graph", "assistant", "thread_id", "workflow_id", "fleet")
    ui_color = "#d6e9d2"

    def __init__(
        self,
        *,
        graph: str | None = None,
        input: Any = None,  # noqa: A002 - LangGraph's own word
        context: dict[str, Any] | None = None,
        assistant: str | None = None,
        config: dict[str, Any] | None = None,
        thread_id: str | None = None,
        workflow_id: str | None = None,
        timeout: timedelta | float | None = None,
        wait_for_completion: bool = True,
        defer_after: timedelta | float | str | None = None,
        deferrable: bool = True,
        kafka_config_id: str = "kafka_default",
        fleet: str | dict[str, str] | None = None,
        on_retry: Literal["resume", "restart"] = "resume",
        on_clear: Literal["restart", "resume"] = "restart",
        result_format: ResultFormat = "json",
        output_schema: Any = None,
        on_interrupt: OnInterrupt = "fail",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.graph = graph
        self.input = input
        self.context = context
        self.assistant = assistant
        self.config = config
        self.thread_id = thread_id
        self.workflow_id = workflow_id
        self.timeout = as_timedelta(timeout)
        self.wait_for_completion = wait_for_completion
        self._init_wait(
            defer_after=defer_after,
            deferrable=deferrable,
            result_format=result_format,
            output_schema=output_schema,
            on_interrupt=on_interrupt,
        )
        if output_schema is not None and not wait_for_completion:
            raise SettingsError(_NOTHING_TO_VALIDATE)
        self._init_fleet(kafka_config_id, fleet)
        self.on_retry = one_of("on_retry", on_retry, ("resume", "restart"))
        self.on_clear = one_of("on_clear", on_clear, ("restart", "resume"))

    def _execute(self, context: Context) -> Any:
        """Publish the request; then return, or wait in the slot, and defer if the agent is still at work."""
        handle = self._publish(context)
        if not self.wait_for_completion:
            require_wanted(handle.correlation_id, context["ti"], self._kill, self._canceller)
            return handle.to_dict()
        return self._wait(handle, context)

    def _event(self, context: Context) -> WorkflowEvent:
        return build_event(
            RequestArguments(
                graph=self.graph,
                input=self.input,
                context=self.context,
                assistant=self.assistant,
                config=self.config,
                thread_id=self.thread_id,
                workflow_id=self.workflow_id,
                timeout=self.timeout,
                execution_timeout=self.execution_timeout,
                on_retry=self.on_retry,
                on_clear=self.on_clear,
                names=self._author_names,
            ),
            context,
        )

    @property
    def _author_names(self) -> Mapping[str, str]:
        """What the author calls an argument, where a form of this operator has another name for it; for errors."""
        return {}


def __getattr__(name: str) -> Any:
    """``LangGraphOperator``, whose module builds on this one: so it is imported when it is asked for."""
    if name != "LangGraphOperator":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from airflow_provider_langgraph.operators.agent import LangGraphOperator

    return LangGraphOperator
