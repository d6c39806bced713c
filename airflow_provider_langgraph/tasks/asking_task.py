"""What a task does whose graph asks a person in Airflow: ask, leave its slot, and send the answer.

Any number of questions may follow one another. Each answer is a request of its own, the next round of the same try.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_langgraph.airflow_compat import human_input
from airflow_provider_langgraph.airflow_compat.single_process import is_dags_test
from airflow_provider_langgraph.airflow_compat.trace_context import traceparent_of
from airflow_provider_langgraph.exceptions import AnswerTimeoutError, FinalRunInterrupted, SettingsError
from airflow_provider_langgraph.requests.answer_form import CODE_FIELD, MOST_PARTS, AnswerForm, answer_form
from airflow_provider_langgraph.requests.ask_settings import AskSettings, OnAnswerTimeout, ask_settings
from airflow_provider_langgraph.requests.asked_question import AskedQuestion, question_code
from airflow_provider_langgraph.requests.build import RequestArguments, build_next_answer
from airflow_provider_langgraph.requests.deadline import time_left
from airflow_provider_langgraph.requests.handle import RequestHandle
from airflow_provider_langgraph.requests.outcome import ended_deferral, result_in
from airflow_provider_langgraph.requests.persons_answer import PersonsAnswer, Refusal, persons_answer, rejections
from airflow_provider_langgraph.requests.publish import nothing_was_sent, publish_request
from airflow_provider_langgraph.requests.question import (
    asked_round,
    log_questions,
    log_whole,
    push_question,
    show_questions,
)
from airflow_provider_langgraph.requests.question_parts import parts_with_text
from airflow_provider_langgraph.requests.rounds import MOST_ROUNDS, round_id, round_of
from airflow_provider_langgraph.requests.task_identity import answers_given, note_answers
from airflow_provider_langgraph.tasks.request_task import RequestTask
from workflow_events.log_words import in_utc, short_id
from workflow_events.plain_text import indented

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from workflow_events.results import WorkflowResultEvent

_ASKED = "The question has the code %s. Answer it in Airflow, where this task has a required action, until %s"
_ASKED_IN_PART = (
    "The form does not show all of the question: the whole is above. Read it. Its code is %s: put it into the field "
    "'code' of this task's required action in Airflow, and answer there until %s"
)
_DAGS_TEST = (
    "This is `airflow dags test`: to answer, start `airflow api-server` with the same database, and open this task's "
    "required action there. Nothing but the answer ends the wait"
)
_NOBODY = "nobody has answered within {waited}"
_TOO_EARLY = (
    "An answer was not given to the agent: it came while the agent was at work, so it is to an earlier question. The "
    "task waits on"
)


class AskingTask(RequestTask):
    """A task with ``on_interrupt="ask"``, or without it a :class:`RequestTask`.

    :cvar first_round: the ``round`` of the event that the task itself publishes.
    """

    interrupt_choices = ("fail", "return", "ask")
    first_round = 0
    timeout: timedelta
    subject: str | None
    ask_settings: AskSettings

    def _init_ask(
        self,
        *,
        assigned_users: Any,
        answer_timeout: timedelta | float | None,
        on_answer_timeout: OnAnswerTimeout,
        rejection: Any,
        subject: str | None,
    ) -> None:
        """Keep, and check, the arguments that say how a person is asked; behind :meth:`_init_wait`."""
        self.ask_settings = ask_settings(
            self.on_interrupt,
            assigned_users=assigned_users,
            answer_timeout=answer_timeout,
            on_answer_timeout=on_answer_timeout,
            rejection=rejection,
            subject=subject,
        )
        self.subject = subject

    def execute_complete(self, context: Context, event: dict[str, Any], handle: dict[str, Any] | None = None) -> Any:
        """Called by Airflow when the trigger has fired.

        :param handle: of the request whose reply it is; None where the task was to ask nobody when it deferred.
        """
        if handle is None:
            return super().execute_complete(context, event)
        request = RequestHandle.from_dict(handle)
        if "kind" not in event:  # from 3.3 on Airflow resumes a deferred task for an answer, too
            self.log.warning(_TOO_EARLY)
            return self._wait(request, context)
        return self._return(result_in(event, request.correlation_id, self._canceller), context, request.deadline)

    def answer_complete(
        self, context: Context, event: dict[str, Any], asked: dict[str, Any], form: dict[str, Any]
    ) -> Any:
        """Called by Airflow when a person has answered, or nobody has in time.

        :param asked: the question, see :class:`AskedQuestion`.
        :param form: how it was shown, see :class:`AnswerForm`.
        """
        question, shown = AskedQuestion.from_dict(asked), AnswerForm.from_dict(form)
        if "error" in event and event.get("error_type") == "timeout":
            handle = self._publish_answer(question, self._timed_out(question), context)
        elif "error" in event:  # Airflow's own check of the fields, before 3.3
            self._ask_again(question, shown, str(event["error"]), context)
        else:
            given = persons_answer(question, event)
            if isinstance(given, Refusal):
                self._ask_again(question, shown, given.reason, context)
            try:
                handle = self._publish_answer(question, given, context)
            except SettingsError as error:  # it is too large, or no JSON; nothing is published
                self._ask_again(question, shown, str(error), context)
        return self._wait(handle, context)

    def _kept(self, handle: RequestHandle, context: Context) -> dict[str, Any] | None:
        return {"handle": handle.to_dict()} if self.on_interrupt == "ask" else None

    def _may_be_resumed(self, handle: RequestHandle, context: Context) -> bool:
        # A form of an earlier try, or one that nobody has answered in time, stays open.
        is_first = context["ti"].try_number == 1 and handle.correlation_id == self._request_id(context)
        return self.on_interrupt == "ask" and human_input.waits_without_trigger and not is_first

    @property
    def _stays_in_slot(self) -> bool:
        # There Airflow drops what a deferred task keeps, and frees no slot by a deferral.
        return super()._stays_in_slot or (self.on_interrupt == "ask" and is_dags_test())

    def _ended(self, error: Exception, context: Context) -> Exception:
        if self.on_interrupt != "ask":
            return super()._ended(error, context)
        latest = asked_round(context) + 1  # Airflow does not say in which round the deferral was
        return ended_deferral(error, round_id(context["ti"].id, latest), self._canceller)

    def _interrupted(self, result: WorkflowResultEvent, context: Context, deadline: datetime | None) -> Any:
        if self.on_interrupt == "ask":
            self._begin_to_ask(result, context, deadline)
        return super()._interrupted(result, context, deadline)

    def _begin_to_ask(self, result: WorkflowResultEvent, context: Context, deadline: datetime | None) -> NoReturn:
        parts = parts_with_text(result.interrupts)
        now, number = datetime.now(UTC), round_of(context["ti"].id, result.correlation_id)
        self._require_askable(result, number, len(parts), context)
        question = AskedQuestion(
            answers_to=result.correlation_id,
            round=number,
            code=question_code(result, answers_given(context, number)),
            parts=tuple(part for part, _ in parts),
            left=time_left(deadline, result.finished_at, now) if deadline else self.timeout,
            until=now + self.ask_settings.answer_timeout,
        )
        form = answer_form(
            parts,
            question.code,
            subject=self.subject or f"{context['ti'].task_id} asks",
            whole="this task's log",
            users=self.ask_settings.assigned_users,
        )
        log_questions(result, self.log)
        push_question(result, context, self.log, code=question.code, round=question.round)
        if not form.is_whole:
            log_whole(parts, self.log)
        self._ask(question, form, context)

    def _require_askable(self, result: WorkflowResultEvent, number: int, count: int, context: Context) -> None:
        """:param number: of the round that asks."""
        why = ""
        if not 0 < count <= MOST_PARTS:
            why = f"it asks {count} things at once, and one form has place for {MOST_PARTS}"
        elif len({one.id for one in result.interrupts}) < len(result.interrupts):
            why = "two of its questions have the same id, so no answer can say which it is for"
        elif number >= MOST_ROUNDS:
            why = f"it has asked {MOST_ROUNDS} times, and a task answers no more often"
        elif is_dags_test() and not human_input.waits_without_trigger:
            why = "in `airflow dags test` Airflow before 3.3 forgets which question was asked"
        if why:
            show_questions(result, self._events_topic(), context, self.log)
            raise FinalRunInterrupted(
                f"the graph asks a person, who cannot be asked in Airflow: {why} (request {result.correlation_id})",
                result,
            )

    def _ask(self, question: AskedQuestion, form: AnswerForm, context: Context, *, is_in_log: bool = False) -> NoReturn:
        """Show the form, and leave the slot until it is answered.

        :param is_in_log: the log has the form's text.
        """
        ti_id = context["ti"].id
        kept = human_input.write_form(
            ti_id,
            subject=form.subject,
            body=form.body,
            options=form.options,
            params=form.params,
            users=form.users,
        )
        self._log_form(question, form, kept, is_in_log)
        mine = [user["id"] for user in form.users]
        if kept and sorted(kept["assigned_users"]) != sorted(mine):
            question = question.only_for(mine)
            self.log.warning(
                "Airflow keeps the first form of this task, which is for %s, and the task asks %s now: only an answer "
                "of a user who is among both counts",
                ", ".join(map(indented, kept["assigned_users"])) or "everyone",
                ", ".join(mine) or "everyone",
            )
        human_input.wait_for_person(
            self,
            ti_id=ti_id,
            options=form.options,
            params=form.params,
            until=question.until,
            method_name="answer_complete",
            kwargs={"asked": question.to_dict(), "form": form.to_dict()},
        )

    def _log_form(self, question: AskedQuestion, form: AnswerForm, kept: Mapping[str, Any], is_in_log: bool) -> None:
        shown = kept["params"].get(CODE_FIELD) if kept else form.code
        if is_dags_test():
            self.log.info(_DAGS_TEST)
        if shown == form.code:
            self.log.info(
                _ASKED if form.is_whole else _ASKED_IN_PART,
                question.code,
                in_utc(question.until),
            )
            return
        if form.is_whole and not is_in_log:  # nobody sees this form: here is where the question is read
            self.log.info("The present question:\n    %s", indented(form.body))
        self.log.warning(
            "Airflow still shows the form of an earlier question, which has the code %s. The present question is the "
            "one above: its code is %s. Answer it in that form, and put this code into its field %r, until %s",
            indented(str(shown or "(none)")),
            question.code,
            CODE_FIELD,
            in_utc(question.until),
        )

    def _ask_again(self, question: AskedQuestion, form: AnswerForm, reason: str, context: Context) -> NoReturn:
        self.log.warning("An answer was not given to the agent: %s", indented(reason))
        self.log.info("The question again, with the code %s:\n%s", question.code, indented(form.body))
        self._ask(question, form, context, is_in_log=True)

    def _timed_out(self, question: AskedQuestion) -> PersonsAnswer:
        """The answer that rejects what nobody has answered.

        :raises AnswerTimeoutError: it is not to be rejected, or cannot be.
        """
        settings = self.ask_settings
        nobody = _NOBODY.format(waited=settings.answer_timeout)
        more = ""
        if settings.on_answer_timeout == "reject":
            answers = rejections(question, settings.rejection, nobody)
            if not isinstance(answers, Refusal):
                return PersonsAnswer(
                    answers, f"nobody, within {settings.answer_timeout}", ("reject",) * len(question.parts)
                )
            more = f", and {answers.reason}"
        raise AnswerTimeoutError(
            f"{nobody}{more}. The question with the code {question.code} is still open: a LangGraphResumeOperator can "
            f"answer it with this task's XCom 'question', or clear the task (request {question.answers_to})"
        )

    def _publish_answer(self, question: AskedQuestion, given: PersonsAnswer, context: Context) -> RequestHandle:
        """Publish the answer. When this returns, it is durable."""
        limits = RequestArguments(timeout=question.left, workflow_id=getattr(self, "workflow_id", None))
        event = build_next_answer(question, self.first_round, given.answers, given.answered_by, limits, context)
        trace = traceparent_of(context["ti"])
        given_before = answers_given(context, question.round)
        note_answers(context, given_before + 1)  # before it is sent: what follows it must not have its code
        try:
            handle = publish_request(self._connect(), event, self._kill, self._canceller, self.log, trace)
        except Exception as error:
            if nothing_was_sent(error):
                note_answers(context, given_before)
            raise
        self.log.info(
            "Answered by %s: %s (question %s, request %s)",
            given.answered_by,
            ", ".join(given.decisions),
            question.code,
            short_id(handle.correlation_id),
        )
        return handle
