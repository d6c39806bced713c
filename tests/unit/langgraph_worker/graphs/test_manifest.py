from __future__ import annotations

import json

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
    }
    (spec,) = read_manifest(written(tmp_path, {"graphs": {"a": entry}})).graphs
    assert spec.values == GraphValues(context={"user": "ann"}, configurable={"depth": 1})
    assert spec.assistants == {"night": GraphValues("Cheap.", {"user": "bob"}), "empty": GraphValues()}
    assert (spec.rights.command, spec.rights.overwrite, spec.rights.configurable) == (True, False, "any")


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
        ({"graphs": {"a": "./a.py"}}, "graph 'a': './a.py' is not of the form"),
        ({"graphs": {"a": "./a.py:not-a-name"}}, "graph 'a'"),
        ({"graphs": {"a": 5}}, "graph 'a' must be"),
        ({"graphs": {"a": {"description": "x"}}}, "graph 'a' must be"),
        ({"graphs": {"a": "./a.py:g"}, "dependencies": "."}, "key 'dependencies'"),
        ({"graphs": {"a": "./a.py:g"}, "dependencies": ["./gone"]}, "there is no folder"),
        ({"graphs": {"a": "./a.py:g"}, "env": ".gone"}, "there is no file"),
        ({"graphs": {"a": "./a.py:g"}, "env": 5}, "key 'env'"),
    ],
)
def test_what_is_wrong_is_named_with_the_file(tmp_path, body, reason):
    path = written(tmp_path, body)
    with pytest.raises(GraphLoadError) as caught:
        read_manifest(path)
    assert str(path) in str(caught.value)
    assert reason in str(caught.value)


def test_a_missing_manifest_says_how_to_name_one(tmp_path):
    with pytest.raises(GraphLoadError, match="LANGGRAPH_WORKER_LANGGRAPH_JSON or --langgraph-json"):
        read_manifest(tmp_path / "langgraph.json")
