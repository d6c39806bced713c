"""From buttons and fields to what the graph gets; what a person cannot have meant is refused with the remedy."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from airflow_provider_langgraph.requests.asked_question import AskedQuestion, question_code
from airflow_provider_langgraph.requests.persons_answer import PersonsAnswer, Refusal, persons_answer, rejections
from airflow_provider_langgraph.requests.question_parts import QuestionPart
from tests.support.answered_forms import ANN, answered
from tests.support.asking_task import reply
from workflow_events.results import Interrupt

CODE = "abcde-fghjk"
BUY = QuestionPart("i1", "action", ("approve", "edit", "reject", "respond"), "buy", True)
PAY = QuestionPart("i1", "action", ("approve", "reject"), "pay", True)
ALONE = QuestionPart("i1", "action", ("approve", "edit", "reject"), "buy", False)
CHOICE = QuestionPart("i2", "choice", ("yes", "no"))
TEXT = QuestionPart("i3", "text")
STOP = QuestionPart("breakpoint-1", "stop", ("continue",))


def asked(*parts, **fields):
    given = {"answers_to": uuid4(), "round": 0, "code": CODE, "parts": parts, "left": timedelta(hours=1)}
    return AskedQuestion(**given | {"until": datetime.now(UTC)} | fields)


def answers(question, button="Answer", **fields):
    given = persons_answer(question, answered(button, **{"code": CODE} | fields))
    assert isinstance(given, PersonsAnswer), given
    return given.answers


def refusal(question, button="Answer", by=ANN, **fields):
    given = persons_answer(question, answered(button, by, **{"code": CODE} | fields))
    assert isinstance(given, Refusal), given
    return given.reason


@pytest.mark.parametrize(
    ("button", "answer", "decision"),
    [
        ("Approve", None, {"type": "approve"}),
        ("Approve", " ", {"type": "approve"}),
        ("Edit", '{"lot": 5}', {"type": "edit", "edited_action": {"name": "buy", "args": {"lot": 5}}}),
        ("Edit", {"lot": 5}, {"type": "edit", "edited_action": {"name": "buy", "args": {"lot": 5}}}),
        ("Reject", "", {"type": "reject"}),
        ("Reject", " too dear ", {"type": "reject", "message": "too dear"}),
        ("Respond", "sold out", {"type": "respond", "message": "sold out"}),
        ("Answer", "approve", {"type": "approve"}),
        ("Answer", " Reject : too: dear ", {"type": "reject", "message": "too: dear"}),
        ("Answer", 'edit: {"lot": 5}', {"type": "edit", "edited_action": {"name": "buy", "args": {"lot": 5}}}),
    ],
)
def test_one_action(button, answer, decision):
    assert answers(asked(BUY), button, answer=answer) == {"i1": {"decisions": [decision]}}


def test_an_action_that_is_asked_about_alone():
    assert answers(asked(ALONE), "Reject") == {"i1": {"type": "reject"}}


def test_the_actions_of_one_question_are_decided_in_their_order():
    given = answers(asked(BUY, PAY, TEXT), answer="reject: no", answer_2="approve", answer_3="ACC-1")
    assert given == {"i1": {"decisions": [{"type": "reject", "message": "no"}, {"type": "approve"}]}, "i3": "ACC-1"}


def test_a_form_with_one_field_can_answer_several_questions():
    given = answers(asked(BUY, CHOICE, TEXT), answer='["approve", "no", 5]')
    assert given == {"i1": {"decisions": [{"type": "approve"}]}, "i2": "no", "i3": 5}


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ("yes", "yes"),
        ('"yes"', "yes"),
        ("7", 7),
        ('{"a": [1]}', {"a": [1]}),
        ("null", None),
        ("NaN", "NaN"),
        ("-Infinity", "-Infinity"),
        ("{", "{"),
        ("[" * 100_000, "[" * 100_000),
        ("  spaced  ", "  spaced  "),
        (["a"], ["a"]),
    ],
)
def test_a_typed_answer_is_json_where_it_parses_else_text(typed, value):
    assert answers(asked(TEXT), answer=typed) == {"i3": value}


@pytest.mark.parametrize(("button", "fields"), [("no", {}), ("Answer", {"answer": "No "})])
def test_an_option(button, fields):
    assert answers(asked(CHOICE), button, **fields) == {"i2": "no"}


@pytest.mark.parametrize(("button", "fields"), [("Continue", {}), ("Answer", {"answer": "continue"})])
def test_a_breakpoint(button, fields):
    assert answers(asked(STOP), button, **fields) == {"breakpoint-1": "continue"}


@pytest.mark.parametrize(
    ("user", "name"), [(ANN, "Ann (7)"), ({"id": "ann", "name": "ann"}, "ann"), ({"id": "7"}, "7")]
)
def test_the_person_is_named(user, name):
    given = persons_answer(asked(CHOICE), answered("no", user, code=CODE))
    assert (given.answered_by, given.decisions) == (name, ("an option",))


@pytest.mark.parametrize("code", [f" {CODE} ", f"`{CODE}`", CODE.upper()])
def test_a_code_is_copied_as_people_copy(code):
    assert answers(asked(CHOICE), "no", code=code) == {"i2": "no"}


@pytest.mark.parametrize("code", ["", None, "kkkkk-kkkkk", CODE[:-1], 5])
@pytest.mark.parametrize("button", ["Approve", "Answer"])
def test_an_answer_with_another_code_is_refused_and_names_the_right_one(button, code):
    assert f"The present question has the code {CODE}" in refusal(asked(BUY), button, code=code, answer="")


def test_a_form_without_a_code_is_refused():
    given = persons_answer(asked(BUY), answered("Approve"))
    assert given == Refusal(f"its field code is empty. The present question has the code {CODE}")


@pytest.mark.parametrize(
    ("parts", "button", "fields", "says"),
    [
        (
            [BUY],
            "Approve",
            {"answer": '{"lot": 5}'},
            "approved, and there is a text as well.*change the arguments, edit",
        ),
        ([BUY], "Answer", {"answer": "approve: now"}, "approved, and there is a text as well"),
        ([BUY], "Edit", {}, "no new arguments. Give all of them as a JSON object"),
        ([BUY], "Edit", {"answer": "[5]"}, "no new arguments"),
        ([BUY], "Respond", {}, "the response is empty"),
        ([PAY], "Edit", {"answer": "{}"}, "button 'Edit' is not for this question.*press Answer"),
        ([PAY], "Answer", {"answer": "edit: {}"}, "allows approve, reject, and the field begins with 'edit'"),
        ([PAY], "Answer", {"answer": "yes"}, "allows approve, reject, and the field begins with 'yes'"),
        ([BUY], "Answer", {}, "the question has no answer. Write it into the field answer$"),
        ([BUY], "yes", {}, "button 'yes' is not for this question"),
        ([BUY, PAY], "Approve", {}, "button 'Approve' answers one question, and there are 2"),
        (
            [BUY, PAY],
            "Answer",
            {"answer": "approve"},
            "question 2 has no answer. Write it into the field answer_2, or all 2",
        ),
        ([BUY, PAY], "Answer", {"answer": '["approve"]'}, "question 2 has no answer"),
        ([BUY, PAY], "Answer", {"answer": "approve", "answer_2": "edit: {}"}, "question 2 allows approve, reject"),
        ([CHOICE], "yes", {"answer": "no"}, "an option was pressed, and the field answer is filled in too"),
        ([CHOICE], "Answer", {"answer": "maybe"}, "allows yes, no, and not 'maybe'"),
        ([CHOICE], "Approve", {}, "button 'Approve' is not for this question"),
        ([STOP], "Answer", {"answer": "stop"}, "allows continue, and not 'stop'"),
        (
            [TEXT],
            "Answer",
            {"answer": "a", "answer_2": "b"},
            "field 'answer_2' is filled in, and only 1 question is asked",
        ),
    ],
)
def test_what_a_person_cannot_have_meant_is_refused(parts, button, fields, says):
    assert re.search(says, refusal(asked(*parts), button, **fields))


@pytest.mark.parametrize(
    ("parts", "button", "fields"),
    [
        ([BUY], "Edit", {"answer": '{"amount": 1, "amount": 1000}'}),
        ([BUY], "Answer", {"answer": 'edit: {"to": {"amount": 1, "amount": 1}}'}),
        ([TEXT], "Answer", {"answer": '[{"amount": 1, "amount": 1000}]'}),
        ([BUY, TEXT], "Answer", {"answer": 'edit: {"amount": 1, "amount": 1000}', "answer_2": "x"}),
        ([BUY, TEXT], "Answer", {"answer": '["approve", {"amount": 1, "amount": 1000}]'}),
    ],
)
def test_a_key_that_stands_twice_is_refused(parts, button, fields):
    assert "its JSON has the key 'amount' twice" in refusal(asked(*parts), button, **fields)


@pytest.mark.parametrize("chosen", [[], ["Approve", "Reject"], None])
def test_no_button_or_several_are_refused(chosen):
    event = answered("x", code=CODE) | {"chosen_options": chosen}
    assert persons_answer(asked(BUY), event) == Refusal("it has no button, or several. Press one")


@pytest.mark.parametrize("user", [None, {}, {"id": ""}, "ann"])
def test_what_no_person_answered_is_refused(user):
    assert "names no person" in refusal(asked(BUY), "Approve", by=user)


def test_another_person_than_the_assigned_ones_is_refused():
    assert "7 is none of the assigned users, which are bob" in refusal(asked(BUY, users=("bob",)), "Approve")


class TestRejections:
    def test_what_can_be_rejected_is(self):
        given = rejections(asked(BUY, PAY, CHOICE, TEXT), "no", "nobody has answered")
        reject = {"type": "reject", "message": "nobody has answered"}
        assert given == {"i1": {"decisions": [reject, reject]}, "i2": "no", "i3": "no"}

    @pytest.mark.parametrize(
        ("part", "rejection", "says"),
        [
            (QuestionPart("i1", "action", ("approve", "edit"), "buy", True), "no", "allows approve, edit only"),
            (STOP, "no", "it is a breakpoint, and every answer lets the agent go on"),
            (TEXT, None, "the task has no rejection="),
            (CHOICE, "never", "allows yes, no, and rejection is none of them"),
        ],
    )
    def test_what_cannot_be_is_named(self, part, rejection, says):
        given = rejections(asked(PAY, part), rejection, "nobody")
        assert isinstance(given, Refusal)
        assert given.reason.startswith("question 2 ")
        assert says in given.reason


class TestCodes:
    def asks(self, *interrupts, thread="t"):
        return reply(
            "interrupted", thread_id=thread, interrupts=[Interrupt(id=id_, value=value) for id_, value in interrupts]
        )

    def test_the_same_question_has_the_same_code_in_a_later_request(self):
        first, later = self.asks(("i1", {"a": 1, "b": 2})), self.asks(("i1", {"b": 2, "a": 1}))
        later = later.model_copy(update={"correlation_id": uuid4(), "worker_id": "w2"})
        assert question_code(first, 0) == question_code(later, 0)

    def test_another_one_has_another(self):
        codes = [
            question_code(self.asks(("i1", "Buy?")), 0),
            question_code(self.asks(("i1", "Buy?")), 1),  # the same words behind an answer
            question_code(self.asks(("i2", "Buy?")), 0),
            question_code(self.asks(("i1", "Sell?")), 0),
            question_code(self.asks(("i1", "Buy?"), thread="u"), 0),
            question_code(self.asks(("i1", "Buy?"), ("i2", "Sell?")), 0),
        ]
        assert len(set(codes)) == len(codes)
        assert all(len(code) == 11 and code[5] == "-" for code in codes)

    def test_any_json_has_a_code(self):
        assert question_code(self.asks(("i1", "\ud800")), 0)


def test_a_question_outlives_json():
    question = asked(BUY, CHOICE, users=("a",))
    assert AskedQuestion.from_dict(question.to_dict()) == question
