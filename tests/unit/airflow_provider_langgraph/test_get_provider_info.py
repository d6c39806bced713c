from __future__ import annotations

import importlib
import json
from importlib.metadata import entry_points
from pathlib import Path

import airflow
import jsonschema
from airflow.sdk import task

import airflow_provider_langgraph
from airflow_provider_langgraph.get_provider_info import get_provider_info


def test_it_satisfies_airflows_schema():
    schema = json.loads((Path(airflow.__file__).parent / "provider_info.schema.json").read_text())
    jsonschema.validate(get_provider_info(), schema)


def test_every_module_it_names_exists():
    info = get_provider_info()
    for kind in ("operators", "sensors", "hooks", "triggers"):
        for entry in info[kind]:
            for module in entry["python-modules"]:
                assert importlib.import_module(module)


def test_every_decorator_that_it_names_exists_and_has_airflows_name_for_it():
    names = {}
    for entry in get_provider_info()["task-decorators"]:
        module, _, function = entry["class-name"].rpartition(".")
        names[entry["name"]] = getattr(importlib.import_module(module), function)
    assert names == {"langgraph": task.langgraph}


def test_every_module_of_an_author_is_named():
    """A module that is left out is in no list of Airflow's."""
    info = get_provider_info()
    root = Path(airflow_provider_langgraph.__file__).parent
    for kind in ("operators", "hooks", "triggers"):
        named = {name for entry in info[kind] for name in entry["python-modules"]}
        there = {file.stem for file in (root / kind).glob("*.py")} - {"__init__"}
        assert named == {f"airflow_provider_langgraph.{kind}.{name}" for name in there}


def test_airflow_finds_it():
    (found,) = [e for e in entry_points(group="apache_airflow_provider") if "langgraph" in e.value]
    assert found.load()()["package-name"] == "airflow-provider-langgraph" == found.dist.name


def test_no_single_topic_is_configured_by_default():
    """A default would count more than the configured fleet."""
    options = get_provider_info()["config"]["langgraph"]["options"]
    assert set(options) == {
        "deployment",
        "fleet",
        "events_topic",
        "results_topic",
        "control_topic",
        "progress_topic",
        "graphs_topic",
        "check_graphs",
        "defer_after",
        "run_url",
        "trace_url",
        "thread_url",
    }
    assert {option["default"] for option in options.values()} == {""}
