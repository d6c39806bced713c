"""The operator that answers a graph's question."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_langgraph.airflow_compat.native_rendering import lost_values
from airflow_provider_langgraph.exceptions import SettingsError
from airflow_provider_langgraph.requests.ask_settings import OnAnswerTimeout
from airflow_provider_langgraph.requests.build import RequestArguments, build_answer
from airflow_provider_langgraph.requests.deadline import as_timedelta
from airflow_provider_langgraph.requests.given_question import (
    answers_for,
    check_answers,
    check_question,
    question_in,
    require_meant,
)
from airflow_provider_langgraph.requests.result_value import ResultFormat
from airflow_provider_langgraph.tasks.asking_task import AskingTask
from airflow_provider_langgraph.tasks.reply_task import OnInterrupt

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from workflow_events.models import WorkflowEvent

__all__ = ["LangGraphResumeOperator"]

_ONE_OF_BOTH = (
    "give either answer, for a graph that asks one question, or answers, a mapping of interrupt ids to answers, and "
    "not both"
)
_NOT_GIVEN: Any = object()


class LangGraphResumeOperator(AskingTask, BaseOperator):
    """Answers the question of a graph that another task has asked, and returns the result of the run that goes on.

    The other task is any operator of this provider with ``on_interrupt="return"``; its return value is the question.
    The answer names the run and the question that it answers: it is never applied to another one. What is answered
    already, or asked no more, is refused with the reason. A retry of this task does not answer anew. The graph may ask
    again: then ``on_interrupt`` decides.

    :param question: (templated) the question: what the other task has returned, or its XCom ``question``, as a mapping
        or as its text.
    :param answer: (templated) what ``interrupt()`` returns in the graph, any JSON value; for one question. A template
        that makes a text of None, or of what is false, is refused.
    :param answers: (templated) instead of it, for several questions: a mapping of interrupt ids to answers.
    :param answered_by: (templated) the person who answered, which is kept with the answer.
    :param budget: (templated) what the run may spend, what it spent before it asked included: as for the other
        operator. The lower of this, of the budget of the request that asked and of the graph's entry holds.
    :param timeout: how long the agent may take from the answer on: a timedelta or seconds, 24 hours by default.
    :param defer_after: (templated) as for the other operator, and so are ``deferrable``, ``result_format``,
        ``output_schema``, ``on_interrupt``, and what is for ``ask``: ``assigned_users``, ``answer_timeout``,
        ``on_answer_timeout``, ``rejection`` and ``subject``.
    :param kafka_config_id: the Airflow connection, of type ``kafka``.
    :param fleet: (templated) the fleet that was asked, as for the other operator.
    :returns: the graph's final state as JSON; with ``on_interrupt="return"`` the next question, if it asks again.
    :raises RunError: (a subclass) as from the other operator; ``FinalRunRejected`` where the question is not open.
    :raises KafkaError: Kafka cannot be used; retried.
    :raises SettingsError: an argument is wrong, or ``question`` is none; not retried.
    """

    template_fields: Sequence[str] = (
        "question",
        "answer",
        "answers",
        "answered_by",
        "budget",
        "fleet",
        "defer_after",
        "subject",
    )
    template_fields_renderers = {  # noqa: RUF012 - as Airflow declares it
        "question": "json",
        "answer": "json",
        "answers": "json",
        "budget": "json",
    }
    name_fields: Sequence[str] = ("answered_by", "fleet", "subject")
    ui_color = "#d6e9d2"
    first_round = 1
    _lost_values: Sequence[tuple[str, Any]] = ()

    def __init__(
        self,
        *,
        question: Any,
        answer: Any = _NOT_GIVEN,
        answers: Any = None,
        answered_by: str | None = None,
        budget: Mapping[str, Any] | str | None = None,
        timeout: timedelta | float | None = None,
        defer_after: timedelta | float | str | None = None,
        deferrable: bool = True,
        result_format: ResultFormat = "json",
        output_schema: Any = None,
        on_interrupt: OnInterrupt = "fail",
        assigned_users: Any = None,
        answer_timeout: timedelta | float | None = None,
        on_answer_timeout: OnAnswerTimeout = "fail",
        rejection: Any = None,
        subject: str | None = None,
        kafka_config_id: str = "kafka_default",
        fleet: str | dict[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if (answer is _NOT_GIVEN) == (answers is None):
            raise SettingsError(_ONE_OF_BOTH)
        check_question(question)
        check_answers(answers)
        self.question = question
        self.answer = None if answer is _NOT_GIVEN else answer
        self.answers = answers
        self.answered_by = answered_by
        self._init_budget(budget)
        self.timeout = as_timedelta(timeout)
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
        self._init_fleet(kafka_config_id, fleet)

    def _execute(self, context: Context) -> Any:
        """Publish the answer; then return, or wait in the slot, and defer if the agent is still at work."""
        return self._wait(self._publish(context), context)

    def _event(self, context: Context) -> WorkflowEvent:
        require_meant(self._lost_values)
        question = question_in(self.question)
        answers = answers_for(question, self.answer, self.answers)
        limits = RequestArguments(budget=self.budget, timeout=self.timeout, execution_timeout=self.execution_timeout)
        return build_answer(question, answers, self.answered_by, limits, context)

    def _do_render_template_fields(
        self, parent: Any, template_fields: Iterable[str], context: Context, *arguments: Any, **named: Any
    ) -> None:
        templates = {name: getattr(self, name) for name in ("answer", "answers", "answered_by")}
        super()._do_render_template_fields(parent, template_fields, context, *arguments, **named)
        if parent is self:
            # Refused when the answer is sent, not here: a resumed task is rendered again, and has a result to return.
            self._lost_values = [
                lost
                for name, template in templates.items()
                for lost in lost_values(self, template, getattr(self, name), context, name)
            ]
