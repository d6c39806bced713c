from __future__ import annotations

import json
import sys

import pytest

from langgraph_worker.errors import GraphLoadError
from langgraph_worker.graphs.assistants import GraphValues
from langgraph_worker.graphs.graph_spec import GraphSpec
from langgraph_worker.graphs.manifest import read_manifest


def written(tmp_path, body):
    path = tmp_path / "langgraph.json"
    path.write_text(body if isinstance(body, str) else json.dumps(body))
    return path


def test_every_documented_form_of_an_entry(tmp_path):
    (tmp_path / "lib").mkdir()
    body = {
        "graphs": {
            "a": "./agents/a.py:graph",
            "b": "pkg.mod:make",
            "c": {"path": "./c.py:graph", "description": "See."},
        },
        "dependencies": ["langchain", ".", "./lib"],
        "env": {"KEY": "value"},
        "store": {"index": {}},
        "unheard_of": 1,
    }
    manifest = read_manifest(written(tmp_path, body))
    assert manifest.graphs == (
        GraphSpec("a", "./agents/a.py", True, "graph"),
        GraphSpec("b", "pkg.mod", False, "make"),
        GraphSpec("c", "./c.py", True, "graph", values=GraphValues("See.")),
    )
    assert manifest.import_paths == (tmp_path.resolve(), (tmp_path / "lib").resolve())
    assert manifest.env == {"KEY": "value"}
    assert manifest.root == tmp_path


def test_variables_from_a_file(tmp_path):
    (tmp_path / ".env").write_text('A=1\nexport B="two words"\n# C=3\nEMPTY\n')
    manifest = read_manifest(written(tmp_path, {"graphs": {"a": "./a.py:g"}, "env": ".env"}))
    assert manifest.env == {"A": "1", "B": "two words"}


def test_an_entry_has_values_and_assistants(tmp_path):
    entry = {
        "path": "./a.py:g",
        "context": {"user": "ann"},
        "configurable": {"depth": 1},
        "assistants": {"night": {"description": "Cheap.", "context": {"user": "bob"}}, "empty": {}},
        "events": {"command": True},
        "max_running": 4,
    }
    (spec,) = read_manifest(written(tmp_path, {"graphs": {"a": entry}})).graphs
    assert spec.values == GraphValues(context={"user": "ann"}, configurable={"depth": 1})
    assert spec.assistants == {"night": GraphValues("Cheap.", {"user": "bob"}), "empty": GraphValues()}
    assert (spec.rights.command, spec.rights.overwrite, spec.rights.configurable) == (True, False, "any")
    assert spec.max_running == 4


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("context", [], "key 'context' must be an object"),
        ("configurable", "x", "key 'configurable' must be an object"),
        ("assistants", [], "key 'assistants' must be an object"),
        ("assistants", {"": {}}, "key 'assistants': a name has 1 to 512 characters"),
        ("assistants", {"n": {"contexts": {}}}, "key 'assistants.n' must be an object with no other keys than desc"),
        ("assistants", {"n": {"context": 1}}, "key 'assistants.n.context' must be an object"),
        ("events", {"command": 1}, "key 'events.command' must be true or false"),
        ("max_running", 0, "key 'max_running' must be a number of runs from 1 to 1,000,000, not 0. For no limit leave"),
        ("max_running", True, "key 'max_running' must be a number of runs from 1 to 1,000,000, not True"),
        ("max_running", "4", "key 'max_running' must be a number of runs from 1 to 1,000,000, not '4'"),
        ("max_running", 2.5, "key 'max_running' must be a number of runs from 1 to 1,000,000, not 2.5"),
        ("events", {"overwrite": 1}, "key 'events.overwrite' must be true or false"),
    ],
)
def test_a_wrong_key_of_an_entry_is_named(tmp_path, key, value, reason):
    path = written(tmp_path, {"graphs": {"a": {"path": "./a.py:g", key: value}}})
    with pytest.raises(GraphLoadError) as caught:
        read_manifest(path)
    assert f"{path}: graph 'a': {reason}" in str(caught.value)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("{", "is not JSON"),
        ([], "key 'graphs'"),
        ({"graphs": {}}, "key 'graphs'"),
        ({"graph": {"a": "./a.py:g"}}, "key 'graphs' must be an object with at least one name"),
        ({"graph": {"a": "./a.py:g"}}, "It has a key 'graph', which is not read"),
        ({"graphs": {"a": "./a.py"}}, "graph 'a': './a.py' is not of the form"),
        ({"graphs": {"a": "./a.py:not-a-name"}}, "graph 'a'"),
        ({"graphs": {"a": 5}}, "graph 'a' must be"),
        ({"graphs": {"a": {"description": "x"}}}, "graph 'a' must be"),
        ({"graphs": {"a": "./a.py:g"}, "dependencies": "."}, "key 'dependencies'"),
        ({"graphs": {"a": "./a.py:g"}, "dependencies": [1]}, "key 'dependencies'"),
        ({"graphs": {"a": "./a.py:g"}, "source": "uv"}, "key 'source' must be an object"),
        ({"graphs": {"a": "./a.py:g"}, "source": {"kind": "pip"}}, "key 'source' must be an object"),
        ({"graphs": {"a": "./a.py:g"}, "store": []}, "key 'store' must be an object"),
        ({"graphs": {"a": "./a.py:g"}, "env": 5}, "key 'env'"),
    ],
)
def test_what_is_wrong_is_named_with_the_file(tmp_path, body, reason):
    path = written(tmp_path, body)
    with pytest.raises(GraphLoadError) as caught:
        read_manifest(path)
    assert str(path) in str(caught.value)
    assert reason in str(caught.value)


@pytest.mark.parametrize(("entry", "folder"), [("pyproject.toml", "."), ("lib/requirements.txt", "lib")])
def test_a_dependency_that_is_a_file_of_a_project_is_a_note_with_its_folder(tmp_path, entry, folder):
    tmp_path.joinpath(entry).parent.mkdir(exist_ok=True)
    tmp_path.joinpath(entry).touch()
    (note,) = read_manifest(written(tmp_path, {"graphs": {"a": "./a.py:g"}, "dependencies": [entry]})).notes
    assert note.startswith(f"dependency {entry!r} is a file of a project, not a project: write its folder, {folder!r}")


def test_a_dependency_folder_that_is_missing_is_a_note(tmp_path):
    manifest = read_manifest(written(tmp_path, {"graphs": {"a": "./a.py:g"}, "dependencies": ["./gone", "."]}))
    assert manifest.import_paths == (tmp_path.resolve(),)
    (note,) = manifest.notes
    assert note == f"dependency './gone': there is no folder {tmp_path}/gone, so nothing is imported from it"


def test_a_file_of_variables_that_is_no_text_is_named(tmp_path):
    (tmp_path / ".env").write_bytes(b"KEY=\xff\n")
    with pytest.raises(GraphLoadError, match=r"key 'env': .*\.env cannot be read: it is not UTF-8"):
        read_manifest(written(tmp_path, {"graphs": {"a": "./a.py:g"}, "env": ".env"}))


def test_a_pyproject_that_cannot_be_read_is_a_note(tmp_path):
    (tmp_path / "pyproject.toml").write_text("[project\n")
    (note,) = read_manifest(written(tmp_path, {"graphs": {"a": "./a.py:g"}})).notes
    assert note.startswith(f"{tmp_path}/pyproject.toml is not used: ")


def test_each_key_that_is_not_served_is_a_note_with_what_that_means(tmp_path):
    keys = ["auth", "checkpointer", "crons", "encryption", "http", "priority", "ui", "ui_config", "webhooks"]
    body = {"graphs": {"a": "./a.py:g"}} | {key: {"path": "./x.py:x"} for key in keys}
    notes = read_manifest(written(tmp_path, body)).notes
    assert [note.partition(":")[0] for note in notes] == [f"key '{key}' is not served" for key in keys]
    assert all(note.partition(": ")[2] for note in notes)


def test_keys_for_building_an_image_and_empty_ones_are_no_notes(tmp_path):
    body = {
        "$schema": "https://example.org/s.json",
        "graphs": {"a": "./a.py:g"},
        "python_version": f"{sys.version_info.major}.{sys.version_info.minor}",
        "base_image": "x",
        "image_distro": "wolfi",
        "dockerfile_lines": ["RUN true"],
        "pip_config_file": "./pip.conf",
        "pip_installer": "uv",
        "api_version": "0.1",
        "keep_pkg_tools": True,
        "auth": None,
        "http": {},
    }
    assert read_manifest(written(tmp_path, body)).notes == ()


def test_unknown_keys_are_one_note(tmp_path):
    body = {"graphs": {"a": "./a.py:g"}, "grahps": {"b": "c"}, "another": 1}
    assert read_manifest(written(tmp_path, body)).notes == ("unknown keys, which change nothing: 'another', 'grahps'",)


def test_another_python_is_a_note(tmp_path):
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    (note,) = read_manifest(written(tmp_path, {"graphs": {"a": "./a.py:g"}, "python_version": "3.99-slim"})).notes
    assert note == f"key 'python_version' is 3.99, and this worker runs on Python {running}"


def test_javascript_graphs_are_left_out_by_name(tmp_path):
    graphs = {"web": "./src/agent.ts:graph", "desk": "./desk.py:graph", "page": {"path": "./p.mjs:default"}}
    manifest = read_manifest(written(tmp_path, {"graphs": graphs, "node_version": "20"}))
    assert [spec.name for spec in manifest.graphs] == ["desk"]
    assert manifest.notes == (
        "graph 'web' (./src/agent.ts:graph) is JavaScript, and this worker runs Python graphs only: it is not served",
        "graph 'page' (./p.mjs:default) is JavaScript, and this worker runs Python graphs only: it is not served",
        "key 'node_version' is not served: JavaScript does not run here",
    )


@pytest.mark.parametrize("suffix", ["js", "jsx", "mjs", "cjs", "ts", "tsx", "mts", "cts"])
def test_a_project_of_javascript_alone_is_refused_in_a_sentence(tmp_path, suffix):
    path = written(tmp_path, {"graphs": {"web": f"./agent.{suffix}:graph"}})
    with pytest.raises(GraphLoadError, match=r"'web' .* is JavaScript, and this worker runs Python graphs only"):
        read_manifest(path)


ODD = [None, "", 0, 5, True, "text", "../..", [], [None], ["a", 1], {}, {"kind": "uv"}, {"path": 5}, {"a": {"b": []}}]


@pytest.mark.parametrize(
    "key", ["dependencies", "env", "graphs", "source", "store", "python_version", "auth", "unknown"]
)
@pytest.mark.parametrize("value", ODD)
def test_an_odd_value_is_read_or_refused_with_the_file(tmp_path, key, value):
    path = written(tmp_path, {"graphs": {"a": "./a.py:g"}, key: value})
    try:
        read_manifest(path)
    except GraphLoadError as error:
        assert str(path) in str(error)


ODD_PROJECTS = [
    "project = 1",
    "[project]\nname = 5\ndependencies = 'x'",
    "[project]\ndependencies = [1, 'x y', '']",
    "[tool.setuptools]\npackages = ['a']\npackage-dir = {'' = 1}",
    "[tool.setuptools.packages.find]\nwhere = 'src'",
    "[tool.poetry]\npackages = [1, {from = 5}]\ndependencies = {x = [{path = 5}], y = 1}",
    "[tool.hatch.build.targets.wheel]\npackages = 'x'",
    "[tool.uv.workspace]\nmembers = ['', '/abs', 'a**', 5]\n[tool.uv.sources]\nx = {workspace = true}\ny = {path = 5}",
    "[tool.uv]\nsources = [1]\nworkspace = 5",
]


@pytest.mark.parametrize("text", ODD_PROJECTS)
def test_an_odd_pyproject_is_no_error(tmp_path, text):
    (tmp_path / "pyproject.toml").write_text(text)
    (tmp_path / "requirements.txt").write_text("-r gone.txt\n-e\n-r\n==1\n[x]\n./gone\n-e git+https://x/y.git\nx @\n")
    for keys in ({"dependencies": ["."]}, {"source": {"kind": "uv", "package": "x"}}):
        assert read_manifest(written(tmp_path, {"graphs": {"a": "./a.py:g"}} | keys)).import_paths == (tmp_path,)


def test_a_missing_manifest_says_how_to_name_one(tmp_path):
    with pytest.raises(GraphLoadError, match="LANGGRAPH_WORKER_LANGGRAPH_JSON or --langgraph-json"):
        read_manifest(tmp_path / "langgraph.json")
