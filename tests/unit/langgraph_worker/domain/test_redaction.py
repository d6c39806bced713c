"""What leaves: without known secrets, and as the project's hook wants it."""

from __future__ import annotations

import json
import sys
import textwrap
from asyncio import CancelledError
from html import escape
from typing import Any
from urllib.parse import quote, quote_plus
from uuid import uuid4

import pytest

from langgraph_worker.domain.models import Failure
from langgraph_worker.domain.redaction import RedactionError, Redactor
from workflow_events.results import Interrupt, ResultStatus, WorkflowResultEvent

SECRET = 'sk-"4/&ß \\zz'
KNOWN = Redactor([SECRET, "sk-"])


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        json.dumps(SECRET),
        json.dumps(SECRET, ensure_ascii=False),
        repr(SECRET),
        quote(SECRET),
        quote(SECRET, ""),
        quote(SECRET, "").replace("%2F", "%2f").replace("%5C", "%5c").replace("%C3%9F", "%c3%9f"),
        quote_plus(SECRET),
        escape(SECRET),
        escape(SECRET, quote=False),
        json.dumps(json.dumps(SECRET)),
        json.dumps(repr(SECRET)),
        repr({"a": json.dumps(SECRET), "b": "it's"}),
        json.dumps(SECRET).replace("/", "\\/"),
        json.dumps(SECRET).replace("&", "\\u0026"),
        repr(SECRET.encode()),
    ],
)
def test_a_known_secret_is_masked_in_each_form_in_which_it_is_quoted(form: str) -> None:
    text = KNOWN.text("log", f"the key {form}, twice {form}")
    assert "zz" not in text
    assert text.count("***") == 2


@pytest.mark.parametrize("quoted", [str, json.dumps, repr, quote])
def test_a_secret_in_a_text_of_json_in_a_value_is_found(quoted: Any) -> None:
    value = {"answer": [json.dumps({"key": quoted(SECRET)})]}
    assert "zz" not in json.dumps(Redactor([SECRET]).value("result", value))


KEY = """-----BEGIN PRIVATE KEY-----
MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSj
abcdefghijklmnopqrstuvwxyz01234567890123
-----END PRIVATE KEY-----
"""


def test_a_secret_of_several_lines_is_found_where_it_is_indented_or_stripped() -> None:
    known = Redactor([KEY])
    assert known.text("log", f"key {KEY.strip()}!") == "key ***!"
    assert known.value("step", {"a": json.dumps({"key": KEY})}) == {"a": '{"key": "***"}'}
    shown = textwrap.indent("-----BEGIN PRIVATE KEY-----\n***\n***\n-----END PRIVATE KEY-----\n", "  | ")
    assert known.text("log", textwrap.indent(KEY, "  | ")) == shown


@pytest.mark.parametrize("value", [{"half": "\ud800"}, {"much": 10**100}, {"none": float("nan")}])
def test_a_value_that_json_cannot_hold_is_looked_through_all_the_same(value: dict[str, Any]) -> None:
    assert repr(KNOWN.value("result", value)) == repr(value)
    found = KNOWN.value("result", value | {"key": SECRET})
    assert repr(found) == repr(value | {"key": "***"})


@pytest.mark.parametrize("hook", [None, lambda value, place, path: value])
def test_a_value_that_is_too_deep_to_be_looked_through_does_not_leave(hook: Any) -> None:
    deep: Any = SECRET
    for _ in range(sys.getrecursionlimit()):
        deep = [deep]
    redactor = Redactor([SECRET], hook)
    with pytest.raises(RedactionError, match="nested too deeply"):
        redactor.value("result", deep)
    assert redactor.shown("log", deep) == "[not shown: a value is nested too deeply to be redacted]"


def test_the_longest_secret_goes_first() -> None:
    assert Redactor(["abcdefgh", "abcdefghij"]).text("log", "abcdefghij abcdefgh") == "*** ***"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (7, 7),
        ("plain", "plain"),
        ({"a": [1, {"b": f"x{SECRET}y"}]}, {"a": [1, {"b": "x***y"}]}),
        ({SECRET: 1, f"{SECRET}": 2}, {"***": 2}),
        ({f"a{SECRET}": 1, "a***": 2}, {"a***": 1, "a*** (2)": 2}),
    ],
)
def test_values_are_masked_at_every_depth_and_none_is_lost(value: Any, expected: Any) -> None:
    assert KNOWN.value("step", value) == expected


def test_a_value_without_a_secret_stays_the_same_object() -> None:
    value = {"numbers": list(range(9))}
    assert KNOWN.value("result", value) is value


def test_the_hook_gets_each_text_and_number_with_its_place_and_path() -> None:
    seen: list[Any] = []

    def hook(value: Any, place: str, path: str) -> Any:
        seen.append((value, place, path))
        return value

    value = {"messages": [{"content": "hi", "cost": 1.5}], "done": True, "none": None}
    assert Redactor([SECRET], hook).value("step", value, "input") == value
    assert seen == [
        ("messages", "step", "input"),
        ("content", "step", "input.messages[0]"),
        ("hi", "step", "input.messages[0].content"),
        ("cost", "step", "input.messages[0]"),
        (1.5, "step", "input.messages[0].cost"),
        ("done", "step", "input"),
        ("none", "step", "input"),
    ]


def test_the_hook_sees_no_known_secret() -> None:
    seen: list[Any] = []
    redactor = Redactor([SECRET], lambda value, place, path: seen.append(value))
    assert redactor.value("trace", {"a": f"key {SECRET}"}) == {"null": None}
    assert seen == ["a", "key ***"]


@pytest.mark.parametrize("error", [SystemExit("private"), GeneratorExit("private"), CancelledError("private")])
def test_a_hook_that_would_end_the_process_fails_like_any_other(error: BaseException) -> None:
    def hook(value: Any, place: str, path: str) -> Any:
        raise error

    note = Redactor((), hook).shown_text("log", "private")
    assert note == f"[not shown: the redaction hook of langgraph.json raised a {type(error).__name__}]"


@pytest.mark.parametrize("given", [object(), {1: object()}, "raises"])
def test_what_the_hook_did_not_redact_does_not_leave(given: Any) -> None:
    def hook(value: Any, place: str, path: str) -> Any:
        if given == "raises":
            raise ValueError(f"what is {value}?")
        return given

    redactor = Redactor((), hook)
    with pytest.raises(RedactionError) as raised:
        redactor.value("result", {"a": "private"})
    assert "private" not in str(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__
    assert str(redactor.shown("step", ["private"])).startswith(
        "[not shown: the redaction hook of langgraph.json raised a"
    )
    assert redactor.shown_text("log", "private").startswith("[not shown: ")


def test_a_hook_that_is_asked_while_it_answers_is_not_asked_again() -> None:
    texts: list[str] = []

    def hook(value: Any, place: str, path: str) -> Any:
        texts.append(redactor.shown_text("log", "of the hook"))
        return value

    redactor = Redactor((), hook)
    assert redactor.text("log", "hello") == "hello"
    assert texts == ["[not shown: it is of the redaction hook itself]"]


def test_a_number_in_the_place_of_a_text_is_a_text() -> None:
    assert Redactor((), lambda value, place, path: 5).text("log", "hello") == "5"


def result(**fields: Any) -> WorkflowResultEvent:
    base: dict[str, Any] = {"workflow_id": "d", "workflow_run_id": "r", "status": ResultStatus.SUCCESS}
    return WorkflowResultEvent(correlation_id=uuid4(), thread_id=SECRET, **base | fields)


def test_a_result_is_redacted_where_it_has_content() -> None:
    paths: list[str] = []

    def hook(value: Any, place: str, path: str) -> Any:
        paths.append(f"{place}: {path}")
        return value

    asked = result(
        result={"a": SECRET}, interrupts=[Interrupt(id="i1", value=f"{SECRET}?")], error=SECRET, traceback=f"{SECRET}\n"
    )
    found = Redactor([SECRET], hook).result(asked)
    assert (found.result, found.error, found.traceback) == ({"a": "***"}, "***", "***\n")
    assert [(one.id, one.value) for one in found.interrupts] == [("i1", "***?")]
    assert found.correlation_id == asked.correlation_id
    assert found.thread_id == SECRET  # a name, which Airflow needs
    assert paths == [
        "result: interrupts[0]",
        "result: result",
        "result: result.a",
        "result: error",
        "result: traceback",
    ]


def test_an_error_is_redacted() -> None:
    found = KNOWN.failure(Failure("E", f"it {SECRET}", f"at {SECRET}", node="n"))
    assert (found.error_type, found.message, found.traceback, found.node) == ("E", "it ***", "at ***", "n")
