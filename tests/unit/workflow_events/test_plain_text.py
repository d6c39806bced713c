from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_events.plain_text import indented, one_line


@given(st.text())
def test_one_line_is_printable_and_keeps_what_was(text):
    shown = one_line(text)
    assert shown.isprintable()
    assert shown == text or not text.isprintable()


@given(st.text(alphabet=st.one_of(st.sampled_from("\n\r\t \x1b\u2028\u202e"), st.characters())))
def test_only_its_first_line_begins_a_line(text):
    first, *others = indented(text).split("\n")
    assert all(other.startswith("    ") for other in others)
    assert all(part.replace("\t", "").isprintable() for part in (first, *others))
    assert indented(indented(text)) == indented(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\n  b\r\nc", "a\n      b\n    c"),
        ("a\rb\x1b[2J", "a\\rb\\x1b[2J"),
        ("straße, 日本, 🙂", "straße, 日本, 🙂"),
        ("tab\tstays", "tab\tstays"),
    ],
)
def test_it_stays_readable(text, shown):
    assert indented(text) == shown
