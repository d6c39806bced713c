"""Whatever an agent asks: what a form calls whole is whole, and what a form shows has room."""

from __future__ import annotations

import json
import re
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_langgraph.requests.answer_form import answer_form
from airflow_provider_langgraph.requests.question_parts import PartText, QuestionPart
from airflow_provider_langgraph.requests.shown_text import shown_text, shown_value

MYSQL_BYTES = 65_535

plain = st.text(st.characters(exclude_categories=["C", "Zl", "Zp", "Zs"]) | st.just(" "))
leaves = st.none() | st.booleans() | st.integers() | plain
values = st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(plain, inner), max_leaves=20)
blown_up = st.builds(lambda text, times: text * times, st.text(max_size=20), st.integers(1, 3_000))


@given(st.dictionaries(plain, values), st.integers(1, 400))
def test_a_call_that_is_shown_whole_can_be_read_back(value: dict[str, Any], most: int) -> None:
    shown = shown_value(value, most)
    assert len(shown.text) <= most
    if shown.is_whole:
        assert json.loads(shown.text) == value
        assert list(json.loads(shown.text)) == list(value)


@given(blown_up, blown_up, st.integers(0, 2_000))
@example("Pay 5?" + "\n" * 5_000, "1000000", 20)
@example("Pay 5?" + " " * 5_000, "1000000", 2_000)
def test_a_text_that_is_shown_whole_lacks_only_blanks(first: str, last: str, most: int) -> None:
    text = f"{first}{last}END"
    shown = shown_text(text, most)
    assert len(shown.text) <= most
    assert all(line.isprintable() for line in shown.text.split("\n"))
    if shown.is_whole:
        assert shown.text.endswith("END")
        if text.replace("\n", "").isprintable():
            assert re.sub(r"\s", "", shown.text) == re.sub(r"\s", "", text)


@given(st.dictionaries(st.text(max_size=9), st.integers() | blown_up, min_size=1, max_size=8))
def test_every_argument_is_named_with_its_beginning(value: dict[str, Any]) -> None:
    lines = shown_value(value, 2_000).text.split("\n")
    assert len([line for line in lines if line.startswith('  "')]) == len(value)


@given(st.lists(st.tuples(blown_up, blown_up, blown_up), min_size=1, max_size=20))
def test_every_form_has_room(texts: list[tuple[str, str, str]]) -> None:
    asked = [
        (QuestionPart("i", "action", ("approve", "edit", "reject", "respond"), tool), PartText({"a": memo}, about))
        for tool, memo, about in texts
    ]
    form = answer_form(asked, "aaaaa-bbbbb", subject="s", whole="this task's log")
    assert len(form.body.encode()) < MYSQL_BYTES
    assert ("Approve" in form.options) == (form.is_whole and len(asked) == 1)
