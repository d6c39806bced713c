"""Small projects of every form answer as the recorded reference does, on both stores, also where a worker is killed."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from devtools.postgres import PostgresServer
from tests.random_graphs.stores import Stores, postgres_stores, sqlite_stores
from tests.reference.cases import PROJECTS, RECORDED, Conversation, conversations, project_names, recorded
from tests.reference.job import KILLED, Job
from tests.reference.zygote import Zygote
from tests.support.hostile_defaults import set_defaults

pytestmark = pytest.mark.timeout(60)
ALL = [one for name in project_names() for one in conversations(name)]
Outcomes = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    with Zygote() as process:
        yield process


@pytest.fixture(scope="module")
def stores(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    """Gives empty stores, one after the other: sqlite, postgres, or vectors, which is a PostgreSQL with pgvector."""
    with ExitStack() as stack:
        if request.param == "sqlite":
            yield stack.enter_context(sqlite_stores(tmp_path_factory.mktemp("stores")))
            return
        name = "vector_server" if request.param == "vectors" else "postgres_server"
        server: PostgresServer = request.getfixturevalue(name)
        url = server.create_database("reference")
        set_defaults(url)
        stack.callback(server.drop_database, url)
        yield stack.enter_context(postgres_stores(url))


@pytest.fixture(scope="module")
def play(zygote: Zygote, stores: Stores, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Outcomes]:
    """The outcomes of a project's conversations, played once by one process."""
    played: dict[str, Outcomes] = {}

    def outcomes(project: str) -> Outcomes:
        if project not in played:
            folder = tmp_path_factory.mktemp(project)
            job = Job(folder, PROJECTS / project, stores(folder), tuple(conversations(project)))
            status = zygote.live(job)
            print(job.log.read_text(), file=sys.stderr)  # noqa: T201 - shown if the test fails
            played[project] = job.read() if status == 0 else {}
        return played[project]

    return outcomes


def on_each_store(some: Sequence[Conversation]) -> pytest.MarkDecorator:
    """Each conversation on both stores. One that finds by meaning has a PostgreSQL that can."""
    places = []
    for one in some:
        places.append(pytest.param("sqlite", one, id=f"sqlite-{one.id}"))
        server = "vectors" if needs_vectors(one.project) else "postgres"
        places.append(pytest.param(server, one, id=f"postgres-{one.id}", marks=pytest.mark.integration))
    return pytest.mark.parametrize(("stores", "conversation"), places, indirect=["stores"])


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


@on_each_store(ALL)
def test_answers_as_the_reference(conversation: Conversation, play: Callable[[str], Outcomes]):
    found = play(conversation.project).get(conversation.name)
    assert found is not None, "the process that played the project failed"
    assert_same(found, expected_of(conversation))


@on_each_store([one for one in ALL if one.dies_at])
def test_a_killed_worker_changes_no_answer(
    conversation: Conversation, zygote: Zygote, stores: Stores, tmp_path: Path, request: pytest.FixtureRequest
):
    on_sqlite = request.node.callspec.params["stores"] == "sqlite"
    for nth in conversation.dies_at if on_sqlite else conversation.dies_at[:1]:  # it takes longer elsewhere
        folder = tmp_path / str(nth)
        folder.mkdir()
        job = Job(folder, PROJECTS / conversation.project, stores(folder), (conversation,), dies_at=nth)
        assert zygote.live(job) == KILLED, f"it does not come to message {nth}: {job.log.read_text()}"
        job = Job(job.folder, job.project, job.url, job.conversations, life=1)
        assert zygote.live(job) == 0, job.log.read_text()
        (found,) = job.read().values()
        # What was streamed before the kill is not streamed again, and may be lost.
        assert_same(found, expected_of(conversation), without=frozenset({"custom"}))


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
