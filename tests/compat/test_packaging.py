"""The wheel beside each Airflow: it is shown, valid, complete, and light where DAG files are parsed."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from airflow_provider_langgraph.get_provider_info import get_provider_info

ROOT = Path(__file__).resolve().parents[2]
DAG_FILES = [
    *sorted((ROOT / "example_dags").glob("*.py")),
    *sorted((ROOT / "tests" / "system" / "dags").glob("*.py")),
    *sorted((ROOT / "tests" / "compat" / "more_dags").glob("*.py")),
]

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]


@pytest.fixture
def execute(python: Path, tmp_path: Path):
    """Runs this Airflow's interpreter; what it printed."""

    def execute(*arguments: str, env: dict[str, str] | None = None) -> str:
        home = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "AIRFLOW_HOME": str(tmp_path / "airflow")}
        done = subprocess.run(
            [str(python), *arguments],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=home | (env or {}),
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, f"{arguments} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    return execute


def test_airflow_shows_the_provider(execute, release):
    listed = execute("-m", "airflow", "providers", "list", "--output", "json")
    rows = json.loads(listed[listed.index("[") :])

    assert [row["package_name"] for row in rows if "langgraph" in row["package_name"]] == ["airflow-provider-langgraph"]


def test_airflows_lists_have_what_it_brings(execute):
    """`airflow providers triggers`, `links`, `configs`, `hooks`: what the description leaves out is in no list."""

    def listed(kind: str) -> list[dict[str, str]]:
        text = execute("-m", "airflow", "providers", kind, "--output", "json")
        return json.loads(text[text.index("[") :])

    info = get_provider_info()
    named = {module for entry in info["triggers"] for module in entry["python-modules"]}
    assert {row["class"] for row in listed("triggers") if row["package_name"] == info["package-name"]} == named
    links = {row["extra_link_class_name"] for row in listed("links")}
    assert {link for link in links if "langgraph" in link} == set(info.get("extra-links", []))
    assert "'langgraph'" in execute("-m", "airflow", "providers", "configs")
    # The connection type is the official provider's, so that its hooks read our connections, and ours read theirs.
    kafka = [row["package_name"] for row in listed("hooks") if row["connection_type"] == "kafka"]
    assert kafka == ["apache-airflow-providers-apache-kafka"]


def test_its_description_is_valid_and_names_what_is_there(execute, release):
    code = (
        "import importlib, json, pathlib, airflow, jsonschema\n"
        "from airflow_provider_langgraph.get_provider_info import get_provider_info\n"
        "schema = json.loads((pathlib.Path(airflow.__file__).parent / 'provider_info.schema.json').read_text())\n"
        "info = get_provider_info()\n"
        "jsonschema.validate(info, schema)\n"
        "for key in ('operators', 'hooks', 'triggers'):\n"
        "    for entry in info[key]:\n"
        "        for name in entry['python-modules']:\n"
        "            importlib.import_module(name)\n"
        "from airflow.sdk import task\n"
        "for entry in info['task-decorators']:\n"
        "    module, _, function = entry['class-name'].rpartition('.')\n"
        "    assert getattr(task, entry['name']) is getattr(importlib.import_module(module), function)\n"
        "print('Airflow', airflow.__version__)\n"
    )
    assert execute("-c", code).splitlines()[-1] == f"Airflow {release.airflow}"


def test_every_module_can_be_imported_and_langgraph_does_not_come_along(execute):
    code = (
        "import importlib, pkgutil, sys, warnings\n"
        # Nothing that we use is deprecated in any of the releases.
        "warnings.filterwarnings('error', module='airflow_provider_langgraph')\n"
        "import airflow_provider_langgraph as provider, workflow_events as contract\n"
        "for package in (provider, contract):\n"
        "    for module in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "        if not module.name.endswith('__main__'):\n"
        "            importlib.import_module(module.name)\n"
        "print('langgraph' in sys.modules)\n"
    )
    assert execute("-c", code).splitlines()[-1] == "False"


def test_dag_files_are_parsed_without_the_kafka_client(execute):
    code = (
        "import runpy, sys\n"
        "for file in sys.argv[1:]:\n"
        "    runpy.run_path(file)\n"
        "print(len(sys.argv), 'confluent_kafka' in sys.modules)\n"
    )
    assert execute("-c", code, *map(str, DAG_FILES)).splitlines()[-1] == f"{len(DAG_FILES) + 1} False"
