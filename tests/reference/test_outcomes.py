"""What outcomes are compared by."""

from __future__ import annotations

import json

import pytest

from tests.reference.cases import PROJECTS, Conversation, conversations, project_names
from tests.reference.outcomes import outcome, plain


def test_ids_times_and_addresses_are_no_part_of_an_outcome():
    text = "run 01a228fa-376e-703e-aac0-9cb9db82b2d1 at 2026-11-29T20:23:37.562941Z: <object object at 0x7f0f51>"
    assert plain([text, {"__interrupt__": 1, "x": 1.5}]) == ["run <uuid> at <time>: <object object>", {"x": 1.5}]


def test_of_a_message_what_is_new_or_empty_is_left_out():
    message = {"type": "ai", "content": "hi", "id": "run-1", "name": None, "additional_kwargs": {}, "tool_calls": []}
    assert plain(message) == {"type": "ai", "content": "hi"}
    assert plain({"type": "ai", "id": 1}) == {"type": "ai", "id": 1}  # a value of the graph's own


def test_questions_have_one_order():
    assert outcome("interrupted", {}, questions=["b", {"a": 1}, "a"])["questions"] == ["a", "b", {"a": 1}]


def test_the_reference_hides_what_most_exceptions_say():
    assert outcome("error", error=("E", "An internal error occurred"))["error"] == {"type": "E"}
    assert outcome("error", error=("E", "why"))["error"] == {"type": "E", "text": "why"}


def test_there_are_projects_enough():
    assert len(project_names()) >= 25
    names = [one.id for name in project_names() for one in conversations(name)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", project_names())
def test_each_graph_of_a_project_is_in_a_conversation(name):
    graphs = json.loads((PROJECTS / name / "langgraph.json").read_text())["graphs"]
    played = {turn["graph"] for one in conversations(name) for turn in one.turns}
    assert played == set(graphs)


def test_a_conversation_with_a_misspelt_key_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.reference.cases.PROJECTS", tmp_path)
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "cases.json").write_text('[{"name": "n", "turns": [{"graf": "g"}]}]')
    with pytest.raises(AssertionError, match=r"p/cases\.json: n: no such key: \{'graf'\}"):
        conversations("p")


def test_an_id_names_project_and_conversation():
    assert Conversation("p", "n", []).id == "p-n"
