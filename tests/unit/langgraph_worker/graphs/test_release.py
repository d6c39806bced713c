"""The release of a project: what its operator calls it, else a hash of its files."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from langgraph_worker.errors import GraphLoadError
from langgraph_worker.graphs import release
from langgraph_worker.graphs.manifest import read_manifest
from langgraph_worker.graphs.release import release_of


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    for name, body in {
        "langgraph.json": '{"dependencies": [".", "./lib"], "graphs": {"desk": "./desk.py:graph"}}',
        "desk.py": "graph = 1",
        "lib/tools/search.py": "x = 1",
        "notes.txt": "hello",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(body)
    return root


def found(project: Path, named: str | None = None) -> str:
    return release_of(read_manifest(project / "langgraph.json"), named)


def test_an_operator_names_the_release(project: Path) -> None:
    assert found(project, "2026-11-29") == "2026-11-29"


def test_the_same_files_are_the_same_release_wherever_they_lie(project: Path, tmp_path: Path) -> None:
    shutil.copytree(project, tmp_path / "elsewhere" / "copy")
    assert found(project) == found(tmp_path / "elsewhere" / "copy")
    assert found(project).startswith("files:")


@pytest.mark.parametrize("name", ["desk.py", "lib/tools/search.py", "lib/new.py", "langgraph.json"])
def test_another_file_is_another_release(project: Path, name: str) -> None:
    before = found(project)
    with (project / name).open("a") as file:
        file.write(" \n")
    assert found(project) != before


def test_a_file_that_moves_is_another_release(project: Path) -> None:
    before = found(project)
    (project / "lib/tools/search.py").rename(project / "lib/tools/find.py")
    assert found(project) != before


@pytest.mark.parametrize(
    "name", ["notes.txt", ".venv/lib/a.py", "venv/a.py", "lib/__pycache__/a.py", "node_modules/x/a.py", ".git/hook.py"]
)
def test_what_is_no_code_of_the_project_is_left_out(project: Path, name: str) -> None:
    before = found(project)
    (project / name).parent.mkdir(parents=True, exist_ok=True)
    (project / "venv").mkdir(exist_ok=True)
    (project / "venv/pyvenv.cfg").write_text("")
    (project / name).write_text("changed = 1")
    assert found(project) == before


def test_a_link_to_nothing_and_a_loop_end_no_start(project: Path) -> None:
    (project / "gone.py").symlink_to(project / "nothing.py")
    (project / "lib/loop").symlink_to(project)
    assert found(project) == found(project)


def test_of_a_large_project_the_first_files_count(
    project: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(release, "MOST_FILES", 2)
    assert found(project) == found(project)
    assert "LANGGRAPH_WORKER_RELEASE" in caplog.text


def test_a_policy_that_is_none_is_refused(project: Path) -> None:
    body = '{"graphs": {"desk": {"path": "./desk.py:graph", "on_new_release": "explode"}}}'
    (project / "langgraph.json").write_text(body)
    with pytest.raises(
        GraphLoadError, match="key 'on_new_release' must be one of resume, restart, fail, not 'explode'"
    ):
        read_manifest(project / "langgraph.json")


def test_the_manifest_names_the_policy(project: Path) -> None:
    body = '{"graphs": {"desk": {"path": "./desk.py:graph", "on_new_release": "fail"}, "echo": "./desk.py:graph"}}'
    (project / "langgraph.json").write_text(body)
    desk, echo = read_manifest(project / "langgraph.json").graphs
    assert (desk.on_new_release, echo.on_new_release) == ("fail", "resume")


def test_the_manifest_says_how_many_checkpoints_stay(project: Path) -> None:
    body = '{"graphs": {"desk": {"path": "./desk.py:graph", "checkpoints": {"keep": 5}}, "echo": "./desk.py:graph"}}'
    (project / "langgraph.json").write_text(body)
    desk, echo = read_manifest(project / "langgraph.json").graphs
    assert (desk.keep_checkpoints, echo.keep_checkpoints) == (5, None)


@pytest.mark.parametrize(
    "value", ["5", '{"keep": 0}', '{"keep": true}', '{"keep": "5"}', "{}", '{"keep": 5, "ttl": 1}']
)
def test_a_number_of_checkpoints_that_is_none_is_refused(project: Path, value: str) -> None:
    body = f'{{"graphs": {{"desk": {{"path": "./desk.py:graph", "checkpoints": {value}}}}}}}'
    (project / "langgraph.json").write_text(body)
    with pytest.raises(GraphLoadError, match="graph 'desk': key 'checkpoints' must be"):
        read_manifest(project / "langgraph.json")
