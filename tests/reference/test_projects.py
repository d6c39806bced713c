"""Small projects of every form answer as the recorded reference does, on both stores."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from tests.reference.cases import PROJECTS, RECORDED, Conversation, conversations, project_names, recorded
from tests.reference.comparison import ALL, assert_same, expected_of, on_each_store
from tests.reference.conftest import StoresOf
from tests.reference.job import Job
from tests.reference.zygote import Zygote

pytestmark = pytest.mark.timeout(60)
Outcomes = dict[str, list[dict[str, Any]]]
Play = Callable[[str, str], Outcomes]


@pytest.fixture(scope="module")
def play(zygote: Zygote, stores_of: StoresOf, tmp_path_factory: pytest.TempPathFactory) -> Play:
    """The outcomes of a project's conversations on a kind of store, played once by one process."""

    @cache
    def outcomes(kind: str, project: str) -> Outcomes:
        folder = tmp_path_factory.mktemp(project)
        job = Job(folder, PROJECTS / project, stores_of(kind)(folder), tuple(conversations(project)))
        status = zygote.live(job)
        print(job.log.read_text(), file=sys.stderr)  # noqa: T201 - shown if the test fails
        return job.read() if status == 0 else {}

    return outcomes


@on_each_store(ALL)
def test_answers_as_the_reference(kind: str, conversation: Conversation, play: Play):
    found = play(kind, conversation.project).get(conversation.name)
    assert found is not None, "the process that played the project failed"
    assert_same(found, expected_of(conversation))


def test_each_project_is_recorded_with_its_versions():
    assert {path.stem for path in RECORDED.glob("*.json")} == set(project_names())
    for name in project_names():
        found = recorded(name)
        assert "langgraph-api" in found["versions"]
        assert set(found["conversations"]) == {one.name for one in conversations(name)}, f"record {name} again"


def test_what_differs_says_why():
    for one in ALL:
        assert (one.expected is None) == (not one.differs)
        if one.expected is not None:
            assert recorded(one.project)["conversations"][one.name] != one.expected, f"{one.id} no longer differs"


def test_manifests_are_json():
    for name in project_names():
        assert json.loads((PROJECTS / name / "langgraph.json").read_text())["graphs"]
