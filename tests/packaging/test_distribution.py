"""The product as its users get it: a wheel, installed beside Airflow, and without it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


def run(*command, env=None, check=True):
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, env=env, timeout=240, check=False
    )
    if check and done.returncode:
        pytest.fail(f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    run(BIN / "python", "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT)
    (built,) = folder.glob("*.whl")
    return built


def environment(folder, lock, wheel):
    """A clean environment with exactly one side's locked packages, and the wheel."""
    run(BIN / "uv", "venv", "--quiet", "--python", sys.executable, folder)
    python = folder / "bin" / "python"
    run(BIN / "uv", "pip", "sync", "--quiet", "--require-hashes", "--python", python, ROOT / "locks" / lock)
    run(BIN / "uv", "pip", "install", "--quiet", "--no-deps", "--python", python, wheel)
    run(BIN / "uv", "pip", "check", "--quiet", "--python", python)
    return folder / "bin"


@pytest.fixture(scope="module")
def airflow_side(tmp_path_factory, wheel):
    return environment(tmp_path_factory.mktemp("airflow-side") / "venv", "airflow.txt", wheel)


@pytest.fixture(scope="module")
def worker_side(tmp_path_factory, wheel):
    return environment(tmp_path_factory.mktemp("worker-side") / "venv", "worker.txt", wheel)


def test_the_wheel_holds_the_three_packages_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}

    assert tops == {"workflow_events", "airflow_provider_langgraph", "langgraph_worker"}
    for package in tops:
        assert f"{package}/py.typed" in names
    assert any(name.startswith("langgraph_worker/store/migrations/versions/") for name in names)
    for_users = "langgraph_worker/testing/"
    others = [name for name in names if not name.startswith(for_users)]
    assert len(others) < len(names)
    assert not [name for name in others if re.search(r"(?<![a-z])(tests?|examples?|benchmarks?)(?![a-z])", name)]


def test_the_wheel_has_the_version_of_pyproject(wheel):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert wheel.name.split("-")[1] == project["version"]


def test_airflow_shows_the_provider(airflow_side, tmp_path):
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "AIRFLOW_HOME": str(tmp_path / "airflow")}
    listed = run(airflow_side / "airflow", "providers", "list", "--output", "json", env=env)
    rows = json.loads(listed.stdout[listed.stdout.index("[") :])
    assert [row for row in rows if row["package_name"] == "airflow-provider-langgraph"]

    code = (
        "import json, pathlib, importlib.util as u, airflow, jsonschema\n"
        "from airflow_provider_langgraph.get_provider_info import get_provider_info\n"
        "schema = json.loads((pathlib.Path(airflow.__file__).parent / 'provider_info.schema.json').read_text())\n"
        "jsonschema.validate(get_provider_info(), schema)\n"
        "from airflow_provider_langgraph.operators.langgraph import LangGraphTriggerOperator\n"
        "from airflow_provider_langgraph.operators.langgraph import LangGraphOperator\n"
        "from airflow.sdk import task\n"
        "assert task.langgraph.__module__ == 'airflow_provider_langgraph.decorators.langgraph'\n"
        "assert u.find_spec('langgraph') is None, 'LangGraph came along'\n"
        "print(airflow.__version__, LangGraphTriggerOperator.__name__)\n"
    )
    assert "3.3." in run(airflow_side / "python", "-c", code, env=env).stdout


def test_the_worker_runs_without_airflow(worker_side, tmp_path):
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    assert run(worker_side / "python", "-c", "import airflow", env=env, check=False).returncode == 1

    project = tmp_path / "langgraph.json"
    project.write_text(json.dumps({"dependencies": ["."], "graphs": {"desk": "./desk.py:graph"}}))
    (tmp_path / "desk.py").write_text(
        "from langgraph.graph import START, MessagesState, StateGraph\n"
        "graph = StateGraph(MessagesState).add_node('n', lambda s: {}).add_edge(START, 'n').compile()\n"
    )
    checked = run(
        worker_side / "langgraph-worker",
        "check",
        "--kafka-bootstrap-servers",
        "127.0.0.1:1",
        "--langgraph-json",
        project,
        env=env | {"LANGGRAPH_WORKER_STORE_URL": f"sqlite:///{tmp_path}/runs.db"},
        check=False,
    )

    assert checked.returncode == 1
    lines = {line.split()[0]: line for line in checked.stdout.splitlines()}
    assert "ok" in lines["graphs"]
    assert "desk" in lines["graphs"]
    assert "ok" in lines["store"]
    assert "127.0.0.1:1" in lines["broker"]
    assert "Traceback" not in checked.stdout + checked.stderr
