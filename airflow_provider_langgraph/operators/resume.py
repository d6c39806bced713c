"""The operator that answers a graph's question."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_langgraph.airflow_compat.native_rendering import name_as_text
from airflow_provider_langgraph.exceptions import SettingsError
from airflow_provider_langgraph.requests.build import RequestArguments, build_answer, request_id
from airflow_provider_langgraph.requests.cancel import Canceller
from airflow_provider_langgraph.requests.client import CALL_SECONDS
from airflow_provider_langgraph.requests.deadline import as_timedelta
from airflow_provider_langgraph.requests.given_question import answers_for, check_question, question_in
from airflow_provider_langgraph.requests.output_schema import OutputSchema
from airflow_provider_langgraph.requests.publish import publish_request
from airflow_provider_langgraph.requests.result_value import ResultFormat
from airflow_provider_langgraph.requests.slot_time import defer_after_seconds
from airflow_provider_langgraph.requests.topics import check_fleet, topics_of
from airflow_provider_langgraph.tasks.reply_task import OnInterrupt, ReplyTask

if TYPE_CHECKING:
    from uuid import UUID

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_langgraph.hooks.kafka import KafkaHook
    from workflow_events.models import WorkflowEvent

__all__ = ["LangGraphResumeOperator"]

_ONE_OF_BOTH = (
    "give either answer, for a graph that asks one question, or answers, a mapping of interrupt ids to answers, and "
    "not both"
)
_NAMES = ("answered_by", "fleet")
_NOT_GIVEN: Any = object()


class LangGraphResumeOperator(ReplyTask, BaseOperator):
    """Answers the question of a graph that another task has asked, and returns the result of the run that goes on.

    The other task is any operator of this provider with ``on_interrupt="return"``; its return value is the question.
    The answer names the run and the question that it answers: it is never applied to another one. What is answered
    already, or asked no more, is refused with the reason. A retry of this task does not answer anew. The graph may ask
    again: then ``on_interrupt`` decides.

    :param question: (templated) the question: what the other task has returned, or its XCom ``question``, as a mapping
        or as its text.
    :param answer: (templated) what ``interrupt()`` returns in the graph, any JSON value; for one question.
    :param answers: (templated) instead of it, for several questions: a mapping of interrupt ids to answers.
    :param answered_by: (templated) the person who answered, which is kept with the answer.
    :param timeout: how long the agent may take from the answer on: a timedelta or seconds, 24 hours by default.
    :param defer_after: (templated) as for the other operator, and so are ``deferrable``, ``result_format``,
        ``output_schema`` and ``on_interrupt``.
    :param kafka_config_id: the Airflow connection, of type ``kafka``.
    :param fleet: (templated) the fleet that was asked, as for the other operator.
    :returns: the graph's final state as JSON; with ``on_interrupt="return"`` the next question, if it asks again.
    :raises RunError: (a subclass) as from the other operator; ``FinalRunRejected`` where the question is not open.
    :raises KafkaError: Kafka cannot be used; retried.
    :raises SettingsError: an argument is wrong, or ``question`` is none; not retried.
    """

    template_fields: Sequence[str] = ("question", "answer", "answers", "answered_by", "fleet", "defer_after")
    template_fields_renderers = {"question": "json", "answer": "json", "answers": "json"}  # noqa: RUF012 - as Airflow declares it
    ui_color = "#d6e9d2"

    def __init__(
        self,
        *,
        question: Any,
        answer: Any = _NOT_GIVEN,
        answers: Any = None,
        answered_by: str | None = None,
        timeout: timedelta | float | None = None,
        defer_after: timedelta | float | str | None = None,
        deferrable: bool = True,
        result_format: ResultFormat = "json",
        output_schema: Any = None,
        on_interrupt: OnInterrupt = "fail",
        kafka_config_id: str = "kafka_default",
        fleet: str | dict[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if (answer is _NOT_GIVEN) == (answers is None):
            raise SettingsError(_ONE_OF_BOTH)
        check_question(question)
        self.question = question
        self.answer = None if answer is _NOT_GIVEN else answer
        self.answers = answers
        self.answered_by = answered_by
        self.timeout = as_timedelta(timeout)
        self._init_wait(
            defer_after=defer_after,
            deferrable=deferrable,
            result_format=result_format,
            output_schema=output_schema,
            on_interrupt=on_interrupt,
        )
        self.kafka_config_id = kafka_config_id
        check_fleet(fleet)
        self.fleet = fleet

    def _execute(self, context: Context) -> Any:
        """Publish the answer; then return, or wait in the slot, and defer if the agent is still at work."""
        defer_after_seconds(self.defer_after)
        OutputSchema.of(self.output_schema)
        handle = publish_request(self._connect(), self._event(context), self._kill, self._canceller, self.log)
        return self._wait(handle, context)

    def _event(self, context: Context) -> WorkflowEvent:
        question = question_in(self.question)
        answers = answers_for(question, self.answer, self.answers)
        limits = RequestArguments(timeout=self.timeout, execution_timeout=self.execution_timeout)
        return build_answer(question, answers, self.answered_by, limits, context)

    def _do_render_template_fields(
        self, parent: Any, template_fields: Iterable[str], context: Context, *arguments: Any, **named: Any
    ) -> None:
        templates = {name: getattr(self, name) for name in _NAMES}
        super()._do_render_template_fields(parent, template_fields, context, *arguments, **named)
        if parent is self:
            for name, template in templates.items():
                setattr(self, name, name_as_text(self, template, getattr(self, name), context))

    def _request_id(self, context: Context) -> UUID:
        return request_id(context)

    def _events_topic(self) -> str:
        return topics_of(self.fleet).events

    def _connect(self, timeout: float = CALL_SECONDS) -> KafkaHook:
        from airflow_provider_langgraph.hooks.kafka import KafkaHook

        return KafkaHook(self.kafka_config_id, fleet=self.fleet, timeout=timeout)

    @property
    def _canceller(self) -> Canceller:
        return Canceller(self._connect, self.log)
