"""On which stores conversations are played, and how their answers are compared with the recorded reference's."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from tests.reference.cases import PROJECTS, Conversation, conversations, project_names, recorded

ALL = [one for name in project_names() for one in conversations(name)]


def on_each_store(some: Sequence[Conversation]) -> pytest.MarkDecorator:
    """Each conversation on both kinds of store. One that finds by meaning has a PostgreSQL that can."""
    places = []
    for one in some:
        places.append(pytest.param("sqlite", one, id=f"sqlite-{one.id}"))
        kind = "vectors" if needs_vectors(one.project) else "postgres"
        places.append(pytest.param(kind, one, id=f"postgres-{one.id}", marks=pytest.mark.integration))
    # The kind is no parameter of a fixture: pytest would make the fixture anew for each test.
    return pytest.mark.parametrize(("kind", "conversation"), places)


def needs_vectors(project: str) -> bool:
    """Whether the project's manifest has an index."""
    manifest = json.loads((PROJECTS / project / "langgraph.json").read_text())
    return "index" in manifest.get("store", {})


def expected_of(conversation: Conversation) -> list[dict[str, Any]]:
    """The reference's answers, or the worker's own where it differs on purpose."""
    return conversation.expected or recorded(conversation.project)["conversations"][conversation.name]


def assert_same(
    found: list[dict[str, Any]], expected: list[dict[str, Any]], *, without: frozenset[str] = frozenset()
) -> None:
    """Compare what a result names: not the nodes behind a breakpoint. Where an error's text is not known, its type."""
    for one, other in zip(found, expected, strict=True):
        if "error" in one and "text" not in other.get("error", {"text": ""}):
            one["error"] = {"type": one["error"]["type"]}
        assert _named(one, without) == _named(other, without)


def _named(one: dict[str, Any], without: frozenset[str]) -> dict[str, Any]:
    return {key: value for key, value in one.items() if key != "next" and key not in without}
