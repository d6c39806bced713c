"""The operator: ask a LangGraph agent over Kafka, free the slot, return its answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_langgraph.airflow_compat.native_rendering import renders_a_none
from airflow_provider_langgraph.exceptions import SettingsError
from airflow_provider_langgraph.requests.arguments import one_of, truth
from airflow_provider_langgraph.requests.ask_settings import OnAnswerTimeout
from airflow_provider_langgraph.requests.build import RequestArguments, build_event
from airflow_provider_langgraph.requests.deadline import as_timedelta
from airflow_provider_langgraph.requests.given_config import check_config, check_context
from airflow_provider_langgraph.requests.given_names import check_name
from airflow_provider_langgraph.requests.graph_check import check_check_graph
from airflow_provider_langgraph.requests.publish import require_wanted
from airflow_provider_langgraph.requests.result_value import ResultFormat
from airflow_provider_langgraph.requests.thread_name import check_thread_name
from airflow_provider_langgraph.tasks.asking_task import AskingTask
from airflow_provider_langgraph.tasks.reply_task import OnInterrupt

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_langgraph.operators.agent import LangGraphOperator
    from workflow_events.models import WorkflowEvent

__all__ = ["LangGraphOperator", "LangGraphTriggerOperator"]

_NOTHING_TO_VALIDATE = (
    "output_schema: with wait_for_completion=False the task returns a handle, not a result. Give output_schema to the "
    "LangGraphResultSensor that waits for the handle"
)
_NOBODY_WAITS = (
    "on_interrupt: with wait_for_completion=False the task does not wait for the agent, so it cannot ask a person, and "
    "returns no question. Leave wait_for_completion out; or set on_interrupt='fail' here, and 'return' at the "
    "LangGraphResultSensor that waits"
)


class LangGraphTriggerOperator(AskingTask, BaseOperator):
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
    :param budget: (templated) what the run may spend, over its retries and the answers to its questions: a mapping of
        one or more of ``tokens``, ``cost_usd``, ``steps`` (supersteps) and ``seconds`` (of running) to numbers; and
        ``dag_run``, such a mapping for what all runs of the DAG run spend together. The lower of this and of the
        graph's entry in ``langgraph.json`` holds. A run that is over it fails for good.
    :param thread_id: (templated) a conversation to continue, shared by all tasks that name it; None: a thread of the
        run's own. A template with a value that is None is refused: it would be one conversation of all that lack it.
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
        ``events``, ``results``, ``control``, ``progress`` and ``graphs`` to names, where topics are named differently.
        None: the fleet of Airflow's configuration, ``[langgraph]``.
    :param on_retry: ``resume`` continues from the last checkpoint, ``restart`` begins anew.
    :param on_clear: ``restart`` begins anew, ``resume`` continues what did not succeed.
    :param result_format: ``json`` returns the result as plain values; one of which Airflow would make objects, or that
        it cannot keep, fails the task. ``text`` returns its JSON text, whatever it holds.
    :param output_schema: what the result must be: a pydantic model class, or another type of which pydantic makes a
        validator; or its dotted path, such as ``"my_package.models.Report"``. The task returns the validated value as
        JSON; a result that does not fit fails it, and the error names the field.
    :param on_interrupt: what becomes of the task whose graph asks a person: ``fail`` fails it at once, without retries;
        ``return`` returns the question, a mapping that
        :class:`~airflow_provider_langgraph.operators.resume.LangGraphResumeOperator` answers; ``ask`` makes it a
        required action in Airflow, holds no slot, and gives the person's answer to the agent, as often as it asks. The
        agent gets the time that it had left. The next five are for ``ask`` only.
    :param assigned_users: who may answer: Airflow users as ``{"id": ..., "name": ...}``, or their ids, as Airflow's
        auth manager has them. None: everyone who may edit the DAG run.
    :param answer_timeout: how long one question waits for a person: a timedelta or seconds, 7 days by default.
    :param on_answer_timeout: ``fail`` fails the task then; ``reject`` rejects what the agent wants to do, and fails
        the task if it cannot be rejected. Nothing is ever approved by it.
    :param rejection: with ``reject``, the answer that rejects a question of the graph's own, such as ``"no"``. One
        that may be read as a yes is refused. A decision about a tool needs none.
    :param subject: (templated) the headline of the required action.
    :param check_graph: True: before anything is published, compare graph, assistant, context and input with what the
        workers announce; what does not fit fails the task at once. None: ``[langgraph] check_graphs`` of Airflow's
        configuration, False by default.
    :returns: the graph's final state as JSON.
    :raises RunError: (a subclass) the agent failed, was refused, timed out, was cancelled or waits for a person, or its
        result cannot be returned; it is an ``AirflowFailException`` too where Airflow's retry cannot help.
    :raises KafkaError: Kafka cannot be used; retried.
    :raises SettingsError: an argument or the rendered input is wrong; not retried. With ``check_graph`` it is a
        :class:`~airflow_provider_langgraph.exceptions.GraphCheckError` if the workers announce no such graph, or
        another input.
    """

    template_fields: Sequence[str] = (
        "graph",
        "input",
        "context",
        "assistant",
        "config",
        "budget",
        "thread_id",
        "workflow_id",
        "fleet",
        "defer_after",
        "subject",
    )
    template_fields_renderers = {  # noqa: RUF012 - as Airflow declares it
        "input": "json",
        "context": "json",
        "config": "json",
        "budget": "json",
    }
    name_fields: Sequence[str] = ("graph", "assistant", "thread_id", "workflow_id", "fleet", "subject")
    ui_color = "#d6e9d2"
    _thread_id_lacks_a_value = False

    def __init__(
        self,
        *,
        graph: str | None = None,
        input: Any = None,  # noqa: A002 - LangGraph's own word
        context: dict[str, Any] | None = None,
        assistant: str | None = None,
        config: dict[str, Any] | None = None,
        budget: Mapping[str, Any] | str | None = None,
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
        assigned_users: Any = None,
        answer_timeout: timedelta | float | None = None,
        on_answer_timeout: OnAnswerTimeout = "fail",
        rejection: Any = None,
        subject: str | None = None,
        check_graph: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_name("graph", graph)
        self.graph = graph
        self.input = input
        check_context(context, "context")
        self.context = context
        check_name("assistant", assistant)
        self.assistant = assistant
        check_config(config, {})
        self.config = config
        self._init_budget(budget)
        check_thread_name(thread_id)
        self.thread_id = thread_id
        self.workflow_id = workflow_id
        self.timeout = as_timedelta(timeout)
        self.wait_for_completion = truth("wait_for_completion", wait_for_completion)
        self._init_wait(
            defer_after=defer_after,
            deferrable=deferrable,
            result_format=result_format,
            output_schema=output_schema,
            on_interrupt=on_interrupt,
        )
        self._init_ask(
            assigned_users=assigned_users,
            answer_timeout=answer_timeout,
            on_answer_timeout=on_answer_timeout,
            rejection=rejection,
            subject=subject,
        )
        if output_schema is not None and not wait_for_completion:
            raise SettingsError(_NOTHING_TO_VALIDATE)
        if on_interrupt != "fail" and not wait_for_completion:
            raise SettingsError(_NOBODY_WAITS)
        self._init_fleet(kafka_config_id, fleet)
        self.on_retry = one_of("on_retry", on_retry, ("resume", "restart"))
        self.on_clear = one_of("on_clear", on_clear, ("restart", "resume"))
        self.check_graph = check_check_graph(check_graph)

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
                budget=self.budget,
                thread_id=self.thread_id,
                thread_id_lacks_a_value=self._thread_id_lacks_a_value,
                workflow_id=self.workflow_id,
                timeout=self.timeout,
                execution_timeout=self.execution_timeout,
                on_retry=self.on_retry,
                on_clear=self.on_clear,
                names=self._author_names,
            ),
            context,
        )

    def _do_render_template_fields(
        self, parent: Any, template_fields: Iterable[str], context: Context, *arguments: Any, **named: Any
    ) -> None:
        template = self.thread_id
        super()._do_render_template_fields(parent, template_fields, context, *arguments, **named)
        if parent is self and self.thread_id is not None:
            # Refused when the request is made, not here: a resumed task is rendered again, and has a result to return.
            self._thread_id_lacks_a_value = renders_a_none(self, template, context)


def __getattr__(name: str) -> Any:
    """``LangGraphOperator``, whose module builds on this one: so it is imported when it is asked for."""
    if name != "LangGraphOperator":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from airflow_provider_langgraph.operators.agent import LangGraphOperator

    return LangGraphOperator
