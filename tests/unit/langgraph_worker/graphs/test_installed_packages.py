from __future__ import annotations

import json
import shlex
import sys

import pytest

from langgraph_worker.graphs.installed_packages import copy_notes, package_notes
from langgraph_worker.graphs.project_folder import ProjectFolder


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Installs distributions that hold nothing."""
    site = tmp_path / ".venv" / "site-packages"
    site.mkdir(parents=True)
    monkeypatch.setattr(sys, "path", [*sys.path, str(site)])

    def install(name, version="1.0", url="", editable=False, requires=()):
        folder = site / f"{name.replace('-', '_')}-{version}.dist-info"
        folder.mkdir()
        lines = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {text}" for text in requires)]
        (folder / "METADATA").write_text("\n".join(["Metadata-Version: 2.1", *lines, ""]))
        if url:
            origin = {"url": url, "dir_info": {"editable": editable}}
            (folder / "direct_url.json").write_text(json.dumps(origin))

    return install


def notes(*packages, projects=()):
    return package_notes(packages, projects)


@pytest.mark.parametrize(
    "text",
    [
        "here-it-is",
        "Here_It.Is",
        "here-it-is>=1,<2",
        "here-it-is[plain]",
        "here-it-is @ git+https://example.org/here.git",
        "gone; python_version < '3'",
        "gone; sys_platform == 'nowhere'",
        "git+https://example.org/team/other-name.git@main",
        "git+ssh://git@example.org/team/other-name",
        "git+https://example.org/x#egg=here-it-is",
        "https://example.org/here_it_is-1.0-py3-none-any.whl",
    ],
)
def test_what_is_installed_gives_no_line(install, text):
    install("here-it-is", "1.5", requires=["gone; extra == 'full'"])
    install("unlike", url="https://example.org/team/other-name.git")
    assert notes(text) == []


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("gone", "dependency 'gone' is not installed here: pip install gone"),
        ("gone>1; python_version > '3'", "dependency 'gone>1' is not installed here: pip install 'gone>1'"),
        ("here-it-is>=2", "not installed as the project asks: here-it-is>=2 (1.5 is installed)"),
        ("here-it-is[full]", "not installed as the project asks: here-it-is[full] (gone is missing)"),
        ("two words", "not installed as the project asks: two words (neither a folder nor the name of a package)"),
        (
            "git+https://user:geheim@example.org/gone.git",
            "dependency 'git+https://***@example.org/gone.git' is not installed here: "
            "pip install 'git+https://***@example.org/gone.git'",
        ),
        (
            "gone @ https://user:geheim@example.org/gone.whl",
            "dependency 'gone@ https://***@example.org/gone.whl' is not installed here: "
            "pip install 'gone@ https://***@example.org/gone.whl'",
        ),
    ],
)
def test_what_is_not_installed_is_one_line_with_the_remedy(install, text, line):
    install("here-it-is", "1.5", requires=["gone; extra == 'full'"])
    assert [note.replace("gone @ ", "gone@ ") for note in notes(text, text)] == [line]


def test_many_are_one_line_too(tmp_path):
    (tmp_path / "requirements.txt").write_text("")
    own = ProjectFolder(tmp_path, {"project": {"name": "my-own"}})
    (line,) = notes(*(f"gone-{number}" for number in range(100)), projects=[own])
    remedy = f"pip install -r {tmp_path}/requirements.txt -e {tmp_path}"
    assert line.endswith(f"'gone-7' and 92 more are not installed here: {remedy}")


def test_the_server_whose_place_the_worker_takes_need_not_be_installed():
    assert notes("langgraph-cli[inmem]>=0.4", "langgraph-api") == []


def test_what_the_project_builds_itself_need_not_be_installed(tmp_path):
    own = ProjectFolder(tmp_path, {"project": {"name": "My.Own"}})
    assert notes("my-own[dev]", projects=[own]) == []


@pytest.mark.parametrize("folder", ["my project", "."])
def test_an_installed_copy_of_the_project_is_named(install, tmp_path, folder):
    own = ProjectFolder(tmp_path / folder, {"project": {"name": "my-own"}})
    assert copy_notes([own]) == []
    install("my-own")
    (line,) = copy_notes([own])
    assert line == (
        f"'my-own' is installed here and not from {own.path}: the installed modules are imported, not those of the "
        f"folder. Install it with pip install -e {shlex.quote(str(own.path))}"
    )


def test_metadata_in_the_projects_own_folder_is_no_copy(tmp_path, monkeypatch):
    (tmp_path / "my_own.egg-info").mkdir()
    (tmp_path / "my_own.egg-info" / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: my-own\nVersion: 1\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    assert copy_notes([ProjectFolder(tmp_path, {"project": {"name": "my-own"}})]) == []


@pytest.mark.parametrize(("editable", "lines"), [(True, 0), (False, 1)])
def test_an_editable_install_of_the_project_is_the_project(install, tmp_path, editable, lines):
    own = ProjectFolder(tmp_path / "my project", {"project": {"name": "my-own"}})
    install("my-own", url=own.path.as_uri(), editable=editable)
    assert len(copy_notes([own])) == lines


def test_poetrys_dependencies_are_names(install, tmp_path):
    install("here-it-is", "0.1")
    dependencies = {
        "python": "^3.11",
        "here-it-is": "^3.1",
        "gone": {"version": "^1", "extras": ["full"]},
        "maybe": {"version": "^1", "optional": True},
        "near": {"path": "../near"},
    }
    poetry = {"tool": {"poetry": {"name": "Own", "dependencies": dependencies}}}
    (line,) = package_notes(ProjectFolder(tmp_path, poetry).requirements(), [])
    assert line == "dependency 'gone[full]' is not installed here: pip install 'gone[full]'"
