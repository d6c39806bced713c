"""A task asks a person: what it shows, what it keeps while it holds no slot, and what it does with the answer."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk.exceptions import TaskAwaitingInput, TaskDeferred
from airflow.sdk.execution_time import task_runner

from airflow_provider_langgraph.airflow_compat.versions import TaskDeferralTimeout
from airflow_provider_langgraph.exceptions import (
    AnswerTimeoutError,
    FinalRunInterrupted,
    KafkaError,
    MessageRefusedError,
    PublishError,
)
from airflow_provider_langgraph.operators.langgraph import LangGraphTriggerOperator
from airflow_provider_langgraph.operators.resume import LangGraphResumeOperator
from airflow_provider_langgraph.requests.handle import RequestHandle
from tests.support.answered_forms import TIMED_OUT, KeptForms, answered
from tests.support.asking_task import TI_ID, Hook, context, packed, reply
from workflow_events.codec import encode
from workflow_events.identity import correlation_id
from workflow_events.models import EventType

HOUR = timedelta(hours=1)
SOON = timedelta(seconds=5)

CALL = {
    "action_requests": [{"name": "buy", "args": {"lot": 10}}],
    "review_configs": [{"action_name": "buy", "allowed_decisions": ["approve", "edit", "reject"]}],
}
APPROVED = {"decisions": [{"type": "approve"}]}


@pytest.fixture(autouse=True)
def named_deployment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__LANGGRAPH__DEPLOYMENT", "test-airflow")


@pytest.fixture(autouse=True)
def hook(monkeypatch: pytest.MonkeyPatch) -> Hook:
    hook = Hook()
    monkeypatch.setattr("airflow_provider_langgraph.hooks.kafka.KafkaHook", hook.make)
    return hook


@pytest.fixture(autouse=True)
def forms(monkeypatch: pytest.MonkeyPatch) -> KeptForms:
    forms = KeptForms()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", forms, raising=False)
    return forms


class Task:
    """One try of a task, from one part in its slot to the next.

    :ivar kept: what Airflow keeps while the task waits.
    """

    def __init__(self, operator: Any = None, **fields: Any) -> None:
        self.operator = operator or LangGraphTriggerOperator(
            **{"task_id": "agent", "on_interrupt": "ask", "defer_after": 0, "timeout": HOUR} | fields
        )
        self.context = context()
        self.xcoms: dict[str, Any] = {}
        self.begin_try(TI_ID)

    def begin_try(self, id_: Any, try_number: int = 1) -> None:
        ti = self.context["ti"]
        ti.id, ti.try_number = id_, try_number
        self.xcoms.clear()
        ti.xcom_push = lambda key, value: self.xcoms.__setitem__(key, value)
        ti.xcom_pull = lambda task_ids, key, map_indexes: self.xcoms.get(key)

    def publish(self) -> TaskDeferred:
        with pytest.raises(TaskDeferred) as deferred:
            self.operator.execute(self.context)
        return deferred.value

    def asks(self, value: Any = CALL, *, round: int = 0, deadline: datetime | None = None, **fields: Any) -> Any:  # noqa: A002
        """The graph of this round's request asks; what the task then waits with."""
        result = self.result("interrupted", round, interrupts=[{"id": "i1", "value": value}], **fields)
        kwargs = {"handle": self.handle(round, deadline)} if deadline or round else {}
        with pytest.raises(TaskAwaitingInput) as awaiting:
            self.operator.execute_complete(self.context, packed(result), **kwargs)
        return self.keep(awaiting.value)

    def result(self, status: str, round: int = 0, **fields: Any) -> Any:  # noqa: A002
        one = reply(status, **{"thread_id": "t"} | fields)
        return one.model_copy(update={"correlation_id": correlation_id(self.context["ti"].id, round=round)})

    def handle(self, round: int, deadline: datetime | None) -> dict[str, Any]:  # noqa: A002
        """What is kept while the round's request is waited for."""
        return RequestHandle(
            correlation_id=correlation_id(self.context["ti"].id, round=round),
            workflow_id="report",
            workflow_run_id="run_1",
            kafka_config_id="kafka_default",
            events_topic="events",
            results_topic="results",
            cluster="c",
            start_offsets={0: 7},
            deadline=deadline or datetime.now(UTC) + HOUR,
        ).to_dict()

    def keep(self, awaiting: TaskAwaitingInput) -> TaskAwaitingInput:
        self.kept = json.loads(json.dumps(awaiting.kwargs))  # plain JSON, as Airflow's database has it
        return awaiting

    def answer(self, event: dict[str, Any]) -> TaskDeferred:
        """The person's answer is sent, and the task waits for the agent."""
        with pytest.raises(TaskDeferred) as deferred:
            self.operator.resume_execution("answer_complete", {**self.kept, "event": event}, self.context)
        return deferred.value

    def refuse(self, event: dict[str, Any]) -> TaskAwaitingInput:
        """The person's answer is not sent, and the task waits on."""
        with pytest.raises(TaskAwaitingInput) as awaiting:
            self.operator.answer_complete(self.context, event, **self.kept)
        return self.keep(awaiting.value)


def test_the_question_becomes_a_required_action_and_frees_the_slot(forms, capsys):
    task = Task(subject="Trade of today", assigned_users={"id": "7", "name": "Ann"}, answer_timeout=HOUR)
    awaiting = task.asks()

    assert awaiting.method_name == "answer_complete"
    assert HOUR - SOON < awaiting.timeout <= HOUR
    [form] = forms.written
    assert (form.ti_id, form.subject) == (TI_ID, "Trade of today")
    assert form.options == ["Approve", "Edit", "Reject", "Answer"]
    assert form.defaults is None  # Airflow itself answers nothing when the time is over
    assert [(user.id, user.name) for user in form.assigned_users] == [("7", "Ann")]
    code = form.params["code"]["value"]
    assert code in form.body
    assert task.xcoms["question"]["code"] == code
    assert task.xcoms["question"]["questions"][0]["interrupt_id"] == "i1"
    logged = capsys.readouterr().out
    assert "The graph asks: " in logged
    assert f"The question has the code {code}. Answer it in Airflow" in logged
    assert "publish this event" not in logged


def test_what_is_kept_while_it_waits_has_no_value_of_the_question_but_what_is_shown(forms):
    task = Task()
    task.asks({"question": "Buy?", "options": ["yes", "no"], "__type": "evil", "__classname__": "evil"})
    assert "evil" not in json.dumps(task.kept["asked"])
    assert task.kept["form"]["body"] == forms.written[0].body


def test_an_approval_is_published_with_the_person_and_what_it_answers(hook, forms):
    task = Task()
    task.asks()
    deferred = task.answer(forms.pressed("Approve"))

    [event] = hook.events
    assert event.event_id == correlation_id(TI_ID, round=1)
    assert (event.event_type, event.round) == (EventType.WORKFLOW_RESUMED, 1)
    assert event.answers_to == correlation_id(TI_ID)
    assert [(one.interrupt_id, one.value, one.answered_by) for one in event.answers] == [("i1", APPROVED, "Ann (7)")]
    assert event.attempt.id == TI_ID
    assert deferred.method_name == "execute_complete"
    assert deferred.kwargs == {"handle": deferred.trigger.handle}
    assert deferred.trigger.handle["correlation_id"] == str(event.event_id)
    assert deferred.trigger.handle["deadline"] == event.deadline.isoformat()


@pytest.mark.parametrize(
    ("button", "answer", "decision"),
    [
        ("Edit", '{"lot": 5}', {"type": "edit", "edited_action": {"name": "buy", "args": {"lot": 5}}}),
        ("Reject", "too dear", {"type": "reject", "message": "too dear"}),
    ],
)
def test_an_edit_and_a_rejection_with_a_reason(hook, forms, button, answer, decision):
    task = Task()
    task.asks()
    task.answer(forms.pressed(button, answer=answer))
    assert hook.events[0].answers[0].value == {"decisions": [decision]}


def test_the_result_of_the_run_that_goes_on_is_returned(forms):
    task = Task()
    task.asks()
    deferred = task.answer(forms.pressed("Approve"))
    done = packed(task.result("success", 1))
    assert task.operator.execute_complete(task.context, done, **deferred.kwargs) == {"answer": 42}


class TestTime:
    """The time in which a person decides is not the agent's."""

    def test_the_agent_gets_what_it_had_left(self, hook, forms):
        now = datetime.now(UTC)
        task = Task()
        task.asks(deadline=now + timedelta(minutes=20), finished_at=now - timedelta(minutes=10))
        task.answer(forms.pressed("Approve"))
        left = hook.events[0].deadline - datetime.now(UTC)
        assert timedelta(minutes=30) - SOON < left <= timedelta(minutes=30)

    def test_in_each_round_anew(self, hook, forms):
        now = datetime.now(UTC)
        task = Task()
        task.asks(deadline=now + timedelta(minutes=30), finished_at=now)
        deferred = task.answer(forms.pressed("Approve"))
        deadline = datetime.fromisoformat(deferred.kwargs["handle"]["deadline"])
        task.asks("Sure?", round=1, deadline=deadline, finished_at=deadline - timedelta(minutes=3))
        code = task.kept["asked"]["code"]
        task.answer(answered("Answer", code=code, answer="yes"))
        left = hook.events[1].deadline - datetime.now(UTC)
        assert timedelta(minutes=2) < left <= timedelta(minutes=30)

    def test_a_minute_at_least(self, hook, forms):
        now = datetime.now(UTC)
        task = Task()
        task.asks(deadline=now - HOUR, finished_at=now)
        task.answer(forms.pressed("Approve"))
        assert hook.events[0].deadline > datetime.now(UTC) + timedelta(seconds=55)

    def test_a_worker_whose_clock_is_ahead_takes_none_of_it(self, hook, forms):
        now = datetime.now(UTC)
        task = Task()
        task.asks(deadline=now + HOUR, finished_at=now + timedelta(minutes=50))
        task.answer(forms.pressed("Approve"))
        assert hook.events[0].deadline > datetime.now(UTC) + timedelta(minutes=59)

    def test_an_unusable_answer_does_not_extend_the_time_of_the_person(self, forms):
        task = Task(answer_timeout=HOUR)
        task.asks()
        task.kept["asked"]["until"] = (datetime.now(UTC) + timedelta(minutes=5)).isoformat()
        assert task.refuse(forms.pressed("Edit")).timeout <= timedelta(minutes=5)


class TestTheRightQuestion:
    """Airflow 3.1 to 3.3 show the first form for every later question of the task."""

    def test_a_later_question_is_not_approved_by_the_form_of_the_first(self, hook, forms, capsys):
        task = Task()
        task.asks()
        task.answer(forms.pressed("Approve"))
        task.asks(CALL | {"more": "of it"}, round=1)
        first, present = forms.kept.params["code"]["value"], task.xcoms["question"]["code"]
        assert first != present
        warned = capsys.readouterr().out
        assert f"Airflow still shows the form of an earlier question, which has the code {first}" in warned
        assert f"its code is {present}" in warned

        task.refuse(forms.pressed("Approve"))
        assert len(hook.events) == 1
        said = capsys.readouterr().out
        assert f"An answer was not given to the agent: it has the code '{first}', which is of another question" in said
        assert "The question again, with the code" in said
        assert "#### The agent wants to call a tool" in said

        task.answer(forms.pressed("Approve", code=present))
        assert hook.events[1].answers_to == correlation_id(TI_ID, round=1)
        assert hook.events[1].event_id == correlation_id(TI_ID, round=2)
        assert hook.events[1].round == 2

    def test_the_log_shows_what_the_form_of_a_later_question_would(self, forms, capsys):
        task = Task()
        task.asks()
        task.answer(forms.pressed("Reject"))
        capsys.readouterr()
        args = {"memo": "m" * 5_000, "to": "eve"}
        task.asks(CALL | {"action_requests": [{"name": "buy", "args": args}]}, round=1)
        read, _, _ = capsys.readouterr().out.partition("Airflow still shows the form of an earlier question")
        assert '\n      "to": "eve"' in read.replace("\\n", "\n").replace('\\"', '"')

    def test_the_same_words_behind_an_answer_are_another_question(self, forms):
        task = Task()
        task.asks()
        first = task.kept["asked"]["code"]
        task.answer(forms.pressed("Approve"))
        task.asks(round=1)
        second = task.kept["asked"]["code"]
        assert first != second
        task.begin_try("019a0000-0000-7000-8000-000000000002", 2)
        task.asks()
        assert task.kept["asked"]["code"] == second  # the same question, asked again by a retry

    def test_a_retry_asks_the_same_question_again_and_the_first_form_serves(self, hook, forms):
        task = Task()
        task.asks()
        later = "019a0000-0000-7000-8000-000000000002"
        task.begin_try(later, 2)
        task.asks()
        task.answer(forms.pressed("Approve"))
        assert hook.events[0].answers_to == correlation_id(later)

    def test_a_clear_asks_another_question(self, hook, forms):
        task = Task()
        task.asks()
        task.begin_try("019a0000-0000-7000-8000-000000000002", 2)
        task.asks(thread_id="u")
        task.refuse(forms.pressed("Approve"))
        assert hook.events == []

    def test_an_airflow_that_replaces_the_form_shows_the_present_question(self, monkeypatch, hook):
        forms = KeptForms(keeps_first=False)
        monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", forms)
        task = Task()
        task.asks()
        task.answer(forms.pressed("Approve"))
        task.asks({"question": "Sure?", "options": ["yes", "no"]}, round=1)
        task.answer(forms.pressed("yes"))
        assert hook.events[1].answers[0].value == "yes"

    def test_a_form_of_another_shape_can_answer(self, hook, forms):
        task = Task()
        task.asks()
        task.answer(forms.pressed("Reject"))
        task.asks({"question": "Sell?", "options": ["yes", "no"]}, round=1)
        task.answer(forms.pressed("Answer", code=task.kept["asked"]["code"], answer="no"))
        assert hook.events[1].answers[0].value == "no"

    def test_when_airflow_does_not_say_what_it_shows_the_code_still_decides(self, monkeypatch, hook):
        monkeypatch.setattr(forms := KeptForms(), "send", lambda msg: None)
        monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", forms)
        task = Task()
        task.asks()
        task.refuse(answered("Approve", code="kkkkk-kkkkk"))
        task.answer(answered("Approve", code=task.kept["asked"]["code"]))
        assert len(hook.events) == 1


LONG = {
    "action_requests": [{"name": "pay", "args": {"memo": "m" * 30_000 + "\nEND", "to": "eve"}, "description": "Pay?"}],
    "review_configs": [{"action_name": "pay", "allowed_decisions": ["approve", "reject"]}],
}


class TestAQuestionThatHasNoRoom:
    """It is answered with the code that stands in the log, behind the whole."""

    def test_its_whole_is_in_the_log_and_then_the_code(self, forms, capsys):
        task = Task()
        task.asks(LONG)
        code = task.kept["asked"]["code"]
        assert code not in json.dumps(task.kept["form"])
        logged = capsys.readouterr().out
        assert logged.count("m" * 500) >= 50
        before, _, behind = logged.rpartition("The form does not show all of the question: the whole is above")
        assert all(text in before for text in ("The whole of 1 of 1", r"m\nEND", '"to": "eve"', "    Pay?"))
        assert code not in before
        assert f"Its code is {code}" in behind

    def test_only_with_the_code_it_is_approved(self, forms, hook):
        task = Task()
        task.asks(LONG)
        task.refuse(forms.pressed("Answer", answer="approve"))
        assert hook.events == []
        task.answer(forms.pressed("Answer", answer="approve", code=task.kept["asked"]["code"]))
        assert hook.events[0].answers[0].value == APPROVED

    def test_the_button_of_an_earlier_form_does_not_approve_it(self, forms, hook):
        task = Task()
        task.asks()
        task.answer(forms.pressed("Reject"))
        task.asks(LONG, round=1)
        task.refuse(forms.pressed("Approve"))
        task.refuse(forms.pressed("Approve", code=""))
        assert len(hook.events) == 1

    def test_behind_it_the_log_has_the_code_of_the_next(self, forms, capsys):
        task = Task()
        task.asks(LONG)
        task.answer(forms.pressed("Answer", answer="reject", code=task.kept["asked"]["code"]))
        task.asks(round=1)
        said = capsys.readouterr().out
        assert "an earlier question, which has the code (none)" in said
        assert f"its code is {task.kept['asked']['code']}" in said


class TestUsers:
    def test_users_who_were_assigned_later_are_checked_here(self, forms, hook, capsys):
        Task(assigned_users="ann").asks()
        task = Task(assigned_users="bob")
        task.asks()
        assert (
            "Airflow keeps the first form of this task, which is for ann, and the task asks bob now"
            in capsys.readouterr().out
        )
        task.refuse(forms.pressed("Approve", {"id": "ann", "name": "ann"}))
        task.answer(forms.pressed("Approve", {"id": "bob", "name": "bob"}))
        assert hook.events[0].answers[0].answered_by == "bob"

    def test_whom_airflow_has_checked_by_its_own_rules_is_not_checked_again(self, forms, hook):
        task = Task(assigned_users="traders")
        task.asks()
        task.answer(forms.pressed("Approve", {"id": "ann", "name": "ann"}))
        assert len(hook.events) == 1

    def test_an_answer_of_no_person_is_refused(self, forms, hook):
        task = Task()
        task.asks()
        task.refuse(forms.pressed("Approve", None) | {"timedout": True})
        assert hook.events == []


class TestAFormThatStaysOpen:
    """That of an earlier try, or of a question that nobody has answered in time. From 3.3 on Airflow resumes a deferred
    task when such a form is answered."""

    def test_its_answer_is_not_given_to_the_agent_and_the_task_waits_on(self, hook, forms, capsys):
        task = Task()
        task.asks()
        task.begin_try("019a0000-0000-7000-8000-000000000002", 2)
        first = task.publish()
        with pytest.raises(TaskDeferred) as again:
            task.operator.execute_complete(task.context, forms.pressed("Approve"), **first.kwargs)
        assert again.value.trigger.handle == first.trigger.handle
        assert again.value.kwargs == first.kwargs
        assert len(hook.events) == 1
        assert "it came while the agent was at work, so it is to an earlier question" in capsys.readouterr().out

    def test_its_trigger_takes_a_task_that_goes_on_for_no_killed_one(self, forms):
        task = Task(on_answer_timeout="reject")
        assert not task.publish().trigger.may_be_resumed
        task.asks()
        assert task.answer(TIMED_OUT).trigger.may_be_resumed
        task.begin_try("019a0000-0000-7000-8000-000000000002", 2)
        assert task.publish().trigger.serialize()[1]["may_be_resumed"] is True
        plain = Task(on_interrupt="fail")
        plain.begin_try("019a0000-0000-7000-8000-000000000002", 2)
        assert "may_be_resumed" not in plain.publish().trigger.serialize()[1]


class TestWhatCannotBeSent:
    def test_is_refused_and_asked_again(self, forms, hook, capsys):
        task = Task()
        task.asks("Which?")
        task.refuse(forms.pressed("Answer", answer="1e999"))
        assert hook.events == []
        assert "An answer was not given to the agent: answers.0.value" in capsys.readouterr().out

    def test_airflows_own_check_of_the_fields_too(self, hook, capsys):
        task = Task()
        task.asks()
        task.refuse({"error": "Invalid input for param answer", "error_type": "validation"})
        assert "An answer was not given to the agent: Invalid input for param answer" in capsys.readouterr().out

    def test_kafka_that_is_away_is_retried_by_airflow(self, forms, hook, monkeypatch):
        def fail(event, topic, **_):
            raise PublishError("no acknowledgement")

        monkeypatch.setattr(hook, "publish", fail)
        task = Task()
        task.asks()
        with pytest.raises(PublishError) as raised:
            task.operator.answer_complete(task.context, forms.pressed("Approve"), **task.kept)
        assert not isinstance(raised.value, AirflowFailException)


class TestAnAnswerThatKafkaDidNotTake:
    """The count behind the code follows what was sent, and in doubt an answer was."""

    @pytest.fixture
    def task(self, forms, hook) -> Task:
        task = Task()
        task.asks()
        task.first_code = task.kept["asked"]["code"]
        return task

    @staticmethod
    def fails(task: Task, forms: KeptForms, error: type[Exception]) -> str:
        """The code of the same question in the next try."""
        with pytest.raises(error):
            task.operator.answer_complete(task.context, forms.pressed("Approve"), **task.kept)
        task.begin_try("019a0000-0000-7000-8000-000000000002", 2)
        task.asks()
        return task.kept["asked"]["code"]

    def test_is_given_once_more_with_the_same_code(self, task, forms, hook):
        hook.missing = ["workflow-events"]
        assert self.fails(task, forms, KafkaError) == task.first_code
        hook.missing = []
        task.answer(forms.pressed("Approve"))
        assert hook.events[0].answers[0].value == APPROVED

    @pytest.mark.parametrize(
        ("error", "is_the_same"), [(MessageRefusedError("too large"), True), (PublishError("none"), False)]
    )
    def test_unless_it_may_have_taken_it(self, task, forms, hook, monkeypatch, error, is_the_same):
        def fail(*_, **__):
            raise error

        monkeypatch.setattr(hook, "publish", fail)
        assert (self.fails(task, forms, type(error)) == task.first_code) is is_the_same

    def test_one_that_is_too_large_changes_no_code(self, task, forms, hook, monkeypatch):
        monkeypatch.setattr(hook, "publish", lambda *_, **__: encode(reply("success"), max_bytes=10))
        task.refuse(forms.pressed("Reject", answer="x"))
        task.begin_try("019a0000-0000-7000-8000-000000000002", 2)
        task.asks()
        assert task.kept["asked"]["code"] == task.first_code

    def test_a_process_that_ends_behind_the_sending_leaves_another_code(self, task, forms, hook, monkeypatch):
        monkeypatch.setattr(hook, "end_offsets", lambda topic: _killed())
        assert self.fails(task, forms, SystemExit) != task.first_code


def _killed() -> None:
    raise SystemExit


class TestNobodyAnswers:
    def test_fails_and_is_not_retried(self, hook):
        task = Task(answer_timeout=HOUR)
        task.asks()
        with pytest.raises(
            AnswerTimeoutError, match=r"nobody has answered within 1:00:00\. The question with the code "
        ):
            task.operator.answer_complete(task.context, TIMED_OUT, **task.kept)
        assert issubclass(AnswerTimeoutError, AirflowFailException)
        assert hook.events == []

    def test_rejects_where_the_author_says_so(self, hook):
        task = Task(answer_timeout=HOUR, on_answer_timeout="reject")
        task.asks()
        task.answer(TIMED_OUT)
        [given] = hook.events[0].answers
        assert given.value == {"decisions": [{"type": "reject", "message": "nobody has answered within 1:00:00"}]}
        assert given.answered_by == "nobody, within 1:00:00"

    def test_fails_where_nothing_rejects(self, hook):
        task = Task(on_answer_timeout="reject")
        task.asks("Which account?")
        with pytest.raises(
            AnswerTimeoutError, match=r"and the question has no decisions, and the task has no rejection="
        ):
            task.operator.answer_complete(task.context, TIMED_OUT, **task.kept)
        assert hook.events == []


class TestWhatCannotBeAsked:
    @pytest.mark.parametrize(
        ("interrupts", "says"),
        [
            ([], "it asks 0 things at once"),
            ([{"id": f"i{number}", "value": "?"} for number in range(21)], "it asks 21 things at once"),
            ([{"id": "i", "value": "a"}, {"id": "i", "value": "b"}], "two of its questions have the same id"),
        ],
    )
    def test_fails_the_task(self, forms, interrupts, says):
        task = Task()
        with pytest.raises(FinalRunInterrupted, match=f"who cannot be asked in Airflow: {says}"):
            task.operator.execute_complete(task.context, packed(task.result("interrupted", interrupts=interrupts)))
        assert forms.written == []


def test_two_questions_share_a_form(hook, forms):
    task = Task()
    result = task.result("interrupted", interrupts=[{"id": "i1", "value": CALL}, {"id": "i2", "value": "Which?"}])
    with pytest.raises(TaskAwaitingInput) as awaiting:
        task.operator.execute_complete(task.context, packed(result))
    task.keep(awaiting.value)
    task.answer(forms.pressed("Answer", answer="approve", answer_2="ACC-1"))
    assert {one.interrupt_id: one.value for one in hook.events[0].answers} == {"i1": APPROVED, "i2": "ACC-1"}


def test_a_task_that_answers_another_ones_question_asks_too(hook, forms):
    question = {"answers_to": str(correlation_id(TI_ID, "other")), "questions": [{"interrupt_id": "i9"}]}
    task = Task(LangGraphResumeOperator(task_id="a", question=question, answer=1, on_interrupt="ask", defer_after=0))
    task.publish()
    task.asks()
    task.answer(forms.pressed("Approve"))
    first, second = hook.events
    assert (first.round, second.round) == (1, 2)
    assert first.event_id != second.event_id
    assert second.answers_to == first.event_id


def test_a_deferral_keeps_what_the_next_part_needs(hook):
    deferred = Task().publish()
    assert json.loads(json.dumps(deferred.kwargs)) == {"handle": deferred.trigger.handle}
    assert Task(on_interrupt="fail").publish().kwargs is None


def test_a_wait_that_airflow_ends_cancels_the_round_that_was_waited_for(hook, forms):
    task = Task()
    task.asks()
    task.answer(forms.pressed("Approve"))
    error = task.operator._ended(TaskDeferralTimeout("x"), task.context)
    assert str(correlation_id(TI_ID, round=1)) in str(error)
    assert hook.calls[-1] == ("workflow-control", correlation_id(TI_ID, round=1))


def test_in_dags_test_it_waits_in_its_slot_since_airflow_drops_what_it_keeps(monkeypatch):
    from airflow_provider_langgraph.tasks import asking_task

    monkeypatch.setattr(asking_task, "is_dags_test", lambda: True)
    assert Task().operator._stays_in_slot
    assert not Task(on_interrupt="return").operator._stays_in_slot


def test_in_dags_test_the_log_says_where_to_answer(monkeypatch, capsys, forms):
    from airflow_provider_langgraph.tasks import asking_task

    monkeypatch.setattr(asking_task, "is_dags_test", lambda: True)
    Task().asks()
    assert "to answer, start `airflow api-server` with the same database" in capsys.readouterr().out


def test_in_dags_test_an_older_airflow_cannot_ask(monkeypatch, forms):
    from airflow_provider_langgraph.airflow_compat import human_input
    from airflow_provider_langgraph.tasks import asking_task

    monkeypatch.setattr(asking_task, "is_dags_test", lambda: True)
    monkeypatch.setattr(human_input, "waits_without_trigger", False)
    task = Task()
    event = packed(task.result("interrupted", interrupts=[{"id": "i1", "value": CALL}]))
    with pytest.raises(FinalRunInterrupted, match=r"Airflow before 3\.3 forgets which question was asked"):
        task.operator.execute_complete(task.context, event)
    assert forms.written == []


def test_before_3_3_a_trigger_of_airflow_waits(monkeypatch, forms):
    from airflow_provider_langgraph.airflow_compat import human_input

    monkeypatch.setattr(human_input, "TaskAwaitingInput", None)
    task = Task(answer_timeout=HOUR)
    event = packed(task.result("interrupted", interrupts=[{"id": "i1", "value": CALL}]))
    with pytest.raises(TaskDeferred) as deferred:
        task.operator.execute_complete(task.context, event)
    kept = deferred.value
    path, arguments = kept.trigger.serialize()
    assert path.endswith(".HITLTrigger")
    assert (arguments["ti_id"], arguments["defaults"]) == (TI_ID, None)
    assert arguments["options"] == forms.kept.options
    assert kept.method_name == "answer_complete"
    assert kept.kwargs["form"]["params"]["code"]["value"] == kept.kwargs["asked"]["code"]
