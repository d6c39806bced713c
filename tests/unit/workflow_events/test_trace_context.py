"""The trace context that a header names."""

from __future__ import annotations

import pytest

from workflow_events.headers import TRACEPARENT
from workflow_events.trace_context import TraceParent, traceparent_of

VALID = f"00-{'a' * 32}-{'b' * 16}-01"


def test_a_valid_one_is_read_and_written_as_it_was():
    found = TraceParent.read(VALID)
    assert found == TraceParent("a" * 32, "b" * 16, 1)
    assert str(found) == VALID
    assert traceparent_of([(TRACEPARENT, VALID.encode())]) == VALID


def test_its_flags_say_whether_it_is_recorded():
    assert TraceParent("a" * 32, "b" * 16, 0).is_recorded is False
    assert str(TraceParent("a" * 32, "b" * 16, 0)).endswith("-00")


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        VALID.upper(),
        f"{VALID}\n",
        f"01{VALID[2:]}",
        f"00-{'0' * 32}-{'b' * 16}-01",
        f"00-{'a' * 32}-{'0' * 16}-01",
        "x" * 100_000,
    ],
    ids=["none", "empty", "upper", "newline", "version", "no-trace", "no-span", "long"],
)
def test_any_other_text_counts_as_none(text):
    assert TraceParent.read(text) is None
    assert traceparent_of(None if text is None else [(TRACEPARENT, text.encode())]) is None
