"""``redact`` of langgraph.json: read, imported, or refused with the reason."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from langgraph_worker.domain.redaction import Redactor
from langgraph_worker.errors import GraphLoadError
from langgraph_worker.graphs.command_redactor import command_redactor
from langgraph_worker.graphs.loader import load_graphs
from langgraph_worker.graphs.manifest import read_manifest
from langgraph_worker.graphs.project import load_project
from langgraph_worker.settings.load import load_settings

GRAPH = "from langgraph.graph import START, StateGraph\ngraph = StateGraph(dict).add_node('a', lambda s: s)\n" + (
    "graph = graph.add_edge(START, 'a')\n"
)


def project(folder: Path, redact: Any, code: str = "") -> Path:
    (folder / "g.py").write_text(GRAPH)
    (folder / f"{folder.name}_privacy.py").write_text(code)
    manifest = {"graphs": {"g": "./g.py:graph"}}
    if redact is not None:
        manifest["redact"] = redact.replace("privacy", f"{folder.name}_privacy") if isinstance(redact, str) else redact
    (folder / "langgraph.json").write_text(json.dumps(manifest))
    return folder / "langgraph.json"


HOOK = "def redact(value, place, path):\n    return f'{place} {path} {value}'\n"


def test_a_project_has_a_hook_or_none(tmp_path: Path) -> None:
    manifest = read_manifest(project(tmp_path, "./privacy.py:redact", HOOK))
    assert manifest.notes == ()
    assert load_graphs(manifest).redactor.text("log", "hello", "message") == "log message hello"
    assert load_graphs(read_manifest(project(tmp_path, None))).redactor.changes_nothing


@pytest.mark.parametrize("redact", [7, [], "privacy.py", "./privacy.py:", ":redact", "./privacy.py:not a name"])
def test_a_wrong_value_is_refused(tmp_path: Path, redact: Any) -> None:
    with pytest.raises(GraphLoadError, match=r"key 'redact' must be .*variable.* a function, and not"):
        read_manifest(project(tmp_path, redact))


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("", "there is no 'redact' in"),
        ("redact = 7", "it is an int, not a function"),
        ("async def redact(value, place, path): ...", "it is async"),
        ("def redact(text): ...", "it must take three arguments"),
        ("import nothing_of_this_name", "importing it raises ModuleNotFoundError"),
    ],
)
def test_a_hook_that_cannot_be_used_stops_the_start_and_the_commands(tmp_path: Path, code: str, words: str) -> None:
    path = project(tmp_path, "./privacy.py:redact", code)
    with pytest.raises(GraphLoadError, match=words) as raised:
        load_graphs(read_manifest(path))
    assert f"{path}: key 'redact' (./{tmp_path.name}_privacy.py:redact)" in str(raised.value)
    with pytest.raises(GraphLoadError, match=words):
        command_redactor(load_settings({"langgraph_json": str(path)}))


def test_a_builtin_may_be_one(tmp_path: Path) -> None:
    path = project(
        tmp_path, "./privacy.py:redact", "class Hook:\n    def __call__(self, *given): return '-'\nredact = Hook()"
    )
    assert load_graphs(read_manifest(path)).redactor.text("log", "hello") == "-"


def test_commands_redact_where_the_project_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_API_KEY", "sk-4321-abcd")
    with_hook = project(tmp_path, "./privacy.py:redact", HOOK)
    assert (
        command_redactor(load_settings({"langgraph_json": str(with_hook)})).text("show", "a sk-4321-abcd")
        == "show  a ***"
    )
    elsewhere = load_settings({"langgraph_json": str(tmp_path / "no" / "langgraph.json")})
    assert command_redactor(elsewhere).text("show", "a sk-4321-abcd") == "a ***"
    (tmp_path / "langgraph.json").write_text("no JSON")
    with pytest.raises(GraphLoadError, match="cannot be read, and may name a redaction hook"):
        command_redactor(load_settings({"langgraph_json": str(with_hook)}))


@pytest.fixture
def with_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose modules say what they find when they are imported."""
    monkeypatch.setattr("os.environ", {**os.environ})
    path = project(tmp_path, "./privacy.py:redact", f"import os\nos.environ['ACME_TOKEN']\n{HOOK}")
    (tmp_path / ".env").write_text("ACME_TOKEN=tok-4321-abcd\n")
    graphs = {"g": f"./{tmp_path.name}_g.py:graph"}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"env": ".env", "graphs": graphs}))
    (tmp_path / f"{tmp_path.name}_g.py").write_text(f"import os\nos.environ['LATER_TOKEN'] = 'tok-later-99'\n{GRAPH}")
    return path


def test_what_a_project_logs_while_it_is_imported_is_redacted(with_variables: Path) -> None:
    redactors: list[Redactor] = []
    settings = load_settings({"langgraph_json": str(with_variables)})
    graphs = load_project(settings, on_redactor=redactors.append)
    said = "tok-4321-abcd tok-later-99"
    found = [one.text("log", said, "m") for one in redactors]
    # Before its hook, before its graphs, and with what these have put into the environment.
    assert found == ["*** tok-later-99", "log m *** tok-later-99", "log m *** ***"]
    assert redactors[-1] is graphs.redactor


def test_commands_know_the_variables_of_the_project(with_variables: Path) -> None:
    settings = load_settings({"langgraph_json": str(with_variables)})
    assert command_redactor(settings).text("show", "tok-4321-abcd") == "show  ***"
    body = json.loads(with_variables.read_text())
    with_variables.write_text(json.dumps({name: value for name, value in body.items() if name != "redact"}))
    assert command_redactor(settings).text("show", "tok-4321-abcd") == "***"
