"""``langgraph-worker graphs``: what langgraph.json offers, with schemas and pictures."""

from __future__ import annotations

import json

import pytest

from langgraph_worker.errors import WorkerError
from tests.support.commands import Project

CODE = """
    from dataclasses import dataclass
    from typing import Any, TypedDict

    from langgraph.func import entrypoint
    from langgraph.graph import START, StateGraph
    from pydantic import BaseModel


    class In(TypedDict):
        question: str


    class Row(BaseModel):
        name: str


    class State(In, total=False):
        rows: list[Row]
        answer: str | None


    @dataclass
    class Context:
        user: str
        depth: int = 3


    def node(state):
        return {}


    inner = StateGraph(State).add_node("deep", node).add_edge(START, "deep").compile()
    desk = StateGraph(State, input_schema=In, context_schema=Context).add_node("inner", inner).add_edge(START, "inner")


    def made(config):
        return desk.compile()


    def fails(config):
        raise RuntimeError(f"no user in {config['configurable']}")


    @entrypoint()
    def essay(topic: str) -> list[int]:
        return [len(topic)]


    class Odd:
        pass


    class OddState(TypedDict):
        odd: Odd


    odd = StateGraph(OddState).add_node("n", node).add_edge(START, "n").compile()
"""

PRINTS = """
    print("imported")


    def loud(config):
        print("made")
        return desk
"""


@pytest.fixture(autouse=True)
def graphs(project: Project) -> None:
    project.write(CODE, "desk", "made", "fails", "essay", "odd")


def test_each_graph_is_shown_with_its_schemas(project: Project, capsys: pytest.CaptureFixture[str]):
    assert project.call("graphs") == 1  # one cannot be opened
    lines = capsys.readouterr().out.splitlines()
    desk = lines.index(next(line for line in lines if line.startswith("desk ")))
    assert " builder " in lines[desk]
    assert lines[desk + 1 : desk + 4] == [
        "  input   question: string",
        "  output  question: string, rows?: list of Row, answer?: string | null",
        "  context user: string, depth?: integer",
    ]
    assert "  cannot be opened: RuntimeError: no user in {}" in lines
    essay = lines.index(next(line for line in lines if line.startswith("essay ")))
    assert lines[essay + 1 : essay + 3] == ["  input   string", "  output  list of integer"]


def test_one_that_fails_hides_no_other(project: Project, capsys: pytest.CaptureFixture[str]):
    project.call("graphs", "--json")
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["desk", "made", "fails", "essay", "odd"]
    assert found["fails"]["error"] == "RuntimeError: no user in {}"
    assert found["fails"]["kind"] == "factory"
    assert "error" not in found["odd"]


def test_json_has_whole_schemas(project: Project, capsys: pytest.CaptureFixture[str]):
    project.call("graphs", "--json")
    made = json.loads(capsys.readouterr().out)["made"]
    assert made["target"].endswith(":made")
    assert made["output"]["$defs"]["Row"]["properties"]["name"]["type"] == "string"
    assert made["context"]["properties"]["depth"]["default"] == 3


def test_what_a_project_prints_is_not_in_the_result(project: Project, capsys: pytest.CaptureFixture[str]):
    project.write(CODE + PRINTS, "desk", "loud")
    assert project.call("graphs", "--json") == 0
    out, err = capsys.readouterr()
    assert list(json.loads(out)) == ["desk", "loud"]
    assert {"imported", "made"} <= set(err.splitlines())
    assert project.call("graphs", "--mermaid", "loud") == 0
    out, err = capsys.readouterr()
    assert "made" not in out.splitlines()
    assert "made" in err.splitlines()


def test_all_well_is_exit_code_zero(project: Project, capsys: pytest.CaptureFixture[str]):
    project.write(CODE, "desk", "odd")
    assert project.call("graphs") == 0
    assert "  input   odd: any" in capsys.readouterr().out.splitlines()


def test_the_picture_shows_subgraphs(project: Project, capsys: pytest.CaptureFixture[str]):
    assert project.call("graphs", "--mermaid", "made") == 0
    picture = capsys.readouterr().out
    assert picture.startswith("---\n")
    assert "subgraph inner" in picture
    assert "deep" in picture


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("zzz", r"--mermaid: .* has no graph 'zzz'\. It has desk, essay, fails, made, odd"),
        ("fails", "graph 'fails' has no picture: RuntimeError: no user in {}"),
    ],
)
def test_a_picture_that_is_not_there_says_why(project: Project, name, text):
    with pytest.raises(WorkerError, match=text):
        project.call("graphs", "--mermaid", name)


BROKEN = """
    import nothing_of_that_name
"""


def test_a_graph_that_cannot_be_imported_hides_no_other(project: Project, capsys: pytest.CaptureFixture[str]):
    project.write(CODE, "desk", "odd")
    project.add("broken", BROKEN)
    assert project.call("graphs") == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines if line[0] != " "] == [
        ["desk", "builder"],
        ["odd", "compiled"],
        ["broken", "broken"],
    ]
    assert lines[-1].startswith("  cannot be loaded: graph 'broken' (")
    assert "importing it raises ModuleNotFoundError: No module named 'nothing_of_that_name'" in lines[-1]
    assert project.call("graphs", "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert (list(found), found["broken"]["kind"]) == (["desk", "odd", "broken"], "broken")
    with pytest.raises(WorkerError, match=r"graph 'broken' has no picture: graph 'broken' .* ModuleNotFoundError"):
        project.call("graphs", "--mermaid", "broken")
    assert project.call("graphs", "--mermaid", "desk") == 0


def test_what_is_missing_or_not_served_is_said_on_standard_error(project: Project, capsys: pytest.CaptureFixture[str]):
    project.write(CODE, "desk")
    project.add("odd", CODE, auth={"path": "./auth.py:auth"}, env="./.env")
    assert project.call("graphs", "--json") == 0
    out, err = capsys.readouterr()
    assert list(json.loads(out)) == ["desk", "odd"]
    assert "langgraph-worker: key 'auth' is not served: " in err
    assert ".env" in err


def test_all_pictures_are_one_page_of_markdown_and_one_that_fails_hides_no_other(
    project: Project, capsys: pytest.CaptureFixture[str]
):
    project.write(CODE, "desk", "fails", "odd")
    assert project.call("graphs", "--mermaid") == 1
    page = capsys.readouterr().out
    assert [line for line in page.splitlines() if line.startswith("## ")] == ["## desk", "## fails", "## odd"]
    fails = "graph 'fails' has no picture: RuntimeError: no user in {}"
    assert f"## fails\n\n{fails}\n\n## odd\n\n```mermaid\n---\n" in page
    assert page.count("```mermaid\n") == 2
    assert page.endswith("\n```\n")
    project.write(CODE, "odd")
    assert project.call("graphs", "--mermaid") == 0
