"""Misspelt fields are ignored, and named with the field that was probably meant."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.ti_ids import new_ti_id
from workflow_events.codec import Record, read_event
from workflow_events.errors import DecodeError
from workflow_events.nearest_name import nearest_name
from workflow_events.unknown_fields import MOST_FIELDS

PLAIN: dict[str, Any] = {
    "event_type": "workflow.triggered",
    "source": "fastapi",
    "workflow_id": "d",
    "workflow_run_id": "r",
}
ATTEMPT = {"task": "t", "id": str(new_ti_id()), "try_number": 1, "max_tries": 0}


def notes(**fields: Any) -> list[str]:
    return [str(field) for field in read_event(Record("t", 0, 1, json.dumps(PLAIN | fields).encode())).unknown]


@pytest.mark.parametrize(
    ("fields", "place", "meant"),
    [
        ({"threadId": "talk"}, "threadId", "thread_id"),
        ({"dead_line": "2030-01-01T00:00:00Z"}, "dead_line", "deadline"),
        ({"Graph": "desk"}, "Graph", "graph"),
        ({"replyTopic": "mine"}, "replyTopic", "reply_topic"),
        ({"payload": {"dta": {"x": 1}}}, "payload.dta", "payload.data"),
        ({"payload": {"text": "hello"}}, "payload.text", "payload.data"),
        ({"attempt": ATTEMPT | {"onRetry": "restart"}}, "attempt.onRetry", "attempt.on_retry"),
    ],
)
def test_a_misspelt_field_is_named_with_what_was_meant(fields: dict[str, Any], place: str, meant: str) -> None:
    assert notes(**fields) == [f"field {place!r} is not known, and has no effect: did you mean {meant!r}?"]


def test_a_field_of_an_answer_is_named_with_its_number() -> None:
    answers = [{"interrupt_id": "i"}, {"interrupt_id": "j", "answeredBy": "me"}]
    [note] = notes(event_type="workflow.resumed", round=1, answers=answers)
    assert "'answers.1.answeredBy'" in note
    assert "'answers.1.answered_by'" in note


def test_a_field_like_none_is_named_alone() -> None:
    assert notes(weight=3) == ["field 'weight' is not known, and has no effect"]


def test_free_text_and_what_is_empty_are_no_mistakes() -> None:
    assert notes(metadata={"team": "x"}, newer=None, newest={}, payload={"data": {"threadId": 1}}) == []


@pytest.mark.parametrize("where", ["config", "payload.command"])
def test_where_unknown_fields_are_refused_the_error_has_the_name(where: str) -> None:
    fields = {"config": {"config": {"configurabel": {}}}, "payload.command": {"payload": {"command": {"gotoo": "x"}}}}
    with pytest.raises(DecodeError, match=r"did you mean '(configurable|goto)'\?"):
        notes(**fields[where])


def test_a_required_field_that_is_misspelt_is_named() -> None:
    body = {name: value for name, value in PLAIN.items() if name != "workflow_id"} | {"workflowId": "d"}
    with pytest.raises(DecodeError, match=r"field 'workflow_id': Field required: the message has 'workflowId' instead"):
        read_event(Record("t", 0, 1, json.dumps(body).encode()))


def test_many_unknown_fields_are_bounded_and_printable() -> None:
    found = notes(**{f"x\x1b{number}" + "y" * 10_000: 1 for number in range(1_000)})
    assert len(found) == MOST_FIELDS
    assert all(note.isprintable() and len(note) < 200 for note in found)


@given(st.text(max_size=80), st.lists(st.text(max_size=80), max_size=20))
def test_a_nearest_name_is_one_of_the_known(name: str, known: list[str]) -> None:
    assert nearest_name(name, known) in [None, *known]
