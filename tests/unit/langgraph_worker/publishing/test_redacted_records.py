"""Bodies of records: changed where the hook or a secret asks for it, else the same bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from langgraph_worker.domain.redaction import Redactor
from langgraph_worker.publishing.redacted_records import redacted_body, redacted_headers, shown_record
from workflow_events.codec import Record

SECRET = "sk-12345678"
KNOWN = Redactor([SECRET])


@pytest.mark.parametrize("value", [None, b"", b'{"a": 1.0, "b":2}', b"\xff\xfe no text", b"[[[", b'"x"'])
def test_what_has_no_secret_stays_the_same_bytes(value: bytes | None) -> None:
    assert redacted_body(KNOWN, "dead_letter", value) is value
    assert redacted_body(Redactor(), "dead_letter", value) is value


def test_json_is_redacted_as_json_and_other_bytes_as_text() -> None:
    body = json.dumps({"payload": {"data": f"key {SECRET}"}, "n": 1}).encode()
    assert json.loads(redacted_body(KNOWN, "dead_letter", body) or b"") == {"payload": {"data": "key ***"}, "n": 1}
    assert redacted_body(KNOWN, "dead_letter", b"\xff" + SECRET.encode()) == b"\xff***"


def test_a_body_that_the_hook_has_not_redacted_is_left_out() -> None:
    def hook(value: Any, place: str, path: str) -> Any:
        raise ValueError

    assert redacted_body(Redactor((), hook), "dead_letter", b'{"a": "private"}') is None
    assert redacted_body(Redactor((), hook), "dead_letter", b"private") is None


def test_a_shown_record_has_its_headers_redacted_too() -> None:
    record = Record("t", 0, 1, b'{"a": "%s"}' % SECRET.encode(), [("dead-letter-reason", SECRET.encode()), ("x", None)])
    shown = shown_record(KNOWN, record)
    assert (shown.value, shown.headers) == (b'{"a":"***"}', [("dead-letter-reason", b"***"), ("x", None)])
    assert shown_record(Redactor(), record) is record


def test_a_hook_that_gives_what_no_record_can_hold_leaves_the_body_out() -> None:
    half = Redactor((), lambda value, place, path: "\ud800")
    assert redacted_body(half, "dead_letter", b'{"a": "private"}') is None
    assert redacted_body(half, "dead_letter", b"private") is None


def test_a_senders_headers_are_redacted_and_the_protocols_are_not() -> None:
    headers = [
        ("correlation-id", SECRET.encode()),
        ("authorization", SECRET.encode()),
        ("bytes", b"\xff"),
        ("no", None),
    ]
    assert redacted_headers(KNOWN, headers) == [headers[0], ("authorization", b"***"), *headers[2:]]
