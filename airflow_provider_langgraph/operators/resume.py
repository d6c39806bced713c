"""The operator that answers a graph's question."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_langgraph.exceptions import SettingsError
from airflow_provider_langgraph.requests.build import RequestArguments, build_answer
from airflow_provider_langgraph.requests.deadline import as_timedelta
from airflow_provider_langgraph.requests.given_question import answers_for, check_question, question_in
from airflow_provider_langgraph.requests.result_value import ResultFormat
from airflow_provider_langgraph.tasks.reply_task import OnInterrupt
from airflow_provider_langgraph.tasks.request_task import RequestTask

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from workflow_events.models import WorkflowEvent

__all__ = ["LangGraphResumeOperator"]

_ONE_OF_BOTH = (
    "give either answer, for a graph that asks one question, or answers, a mapping of interrupt ids to answers, and "
    "not both"
)
_NOT_GIVEN: Any = object()


class LangGraphResumeOperator(RequestTask, BaseOperator):
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
    name_fields: Sequence[str] = ("answered_by", "fleet")
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
        self._init_fleet(kafka_config_id, fleet)

    def _execute(self, context: Context) -> Any:
        """Publish the answer; then return, or wait in the slot, and defer if the agent is still at work."""
        return self._wait(self._publish(context), context)

    def _event(self, context: Context) -> WorkflowEvent:
        question = question_in(self.question)
        answers = answers_for(question, self.answer, self.answers)
        limits = RequestArguments(timeout=self.timeout, execution_timeout=self.execution_timeout)
        return build_answer(question, answers, self.answered_by, limits, context)
