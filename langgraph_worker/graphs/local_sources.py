"""Folders that the folders of a project install from: members of a uv workspace, and paths of uv, Poetry and pip."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from langgraph_worker.graphs.project_folder import ProjectFolder, table


def with_local_sources(folders: Iterable[Path]) -> tuple[ProjectFolder, ...]:
    """The folders, each followed by those that it installs from, at every depth; each once."""
    found: dict[Path, ProjectFolder] = {}
    waiting = list(reversed(list(folders)))
    while waiting:
        path = waiting.pop()
        if path not in found:
            found[path] = ProjectFolder.read(path)
            waiting.extend(reversed(list(_sources(found[path]))))
    return tuple(found.values())


def workspace_members(root: ProjectFolder) -> dict[str, Path]:
    """The folders of a uv workspace by the names of what they build, with the root's own."""
    workspace = table(root.pyproject, "tool", "uv", "workspace")
    excluded = set(_matches(root.path, workspace.get("exclude")))
    folders = [root.path, *(path for path in _matches(root.path, workspace.get("members")) if path not in excluded)]
    named = [(ProjectFolder.read(path).name, path) for path in folders]
    return {name: path for name, path in named if name is not None}


def _matches(folder: Path, patterns: Any) -> Iterator[Path]:
    for pattern in patterns if isinstance(patterns, list) else []:
        try:
            matches = sorted(folder.glob(str(pattern)))
        except (ValueError, NotImplementedError):  # none that uv would take: empty, absolute, "a**"
            continue
        yield from (path.resolve() for path in matches if path.is_dir())


def _sources(folder: ProjectFolder) -> Iterator[Path]:
    yield from folder.local_requirements()
    workspace = _workspace_around(folder)
    members = workspace_members(workspace) if workspace else {}
    # What the root of a workspace says holds for its members; their own words come first.
    for holder in [folder] if workspace is None else [folder, workspace]:
        for name, value in _named_sources(holder):
            if value.get("workspace") is True and canonicalize_name(name) in members:
                wanted = members[canonicalize_name(name)]
            elif isinstance(value.get("path"), str):
                wanted = (holder.path / value["path"]).resolve()
            else:
                continue
            if wanted.is_dir() and (holder is folder or _needs(folder, name)):
                yield wanted


def _named_sources(folder: ProjectFolder) -> Iterator[tuple[str, dict[str, Any]]]:
    named = [*table(folder.pyproject, "tool", "uv", "sources").items()]
    named += table(folder.pyproject, "tool", "poetry", "dependencies").items()
    for name, value in named:
        for entry in value if isinstance(value, list) else [value]:
            if isinstance(entry, dict):
                yield name, entry


def _needs(folder: ProjectFolder, name: str) -> bool:
    wanted = canonicalize_name(name)
    return any(canonicalize_name(text).startswith(wanted) for text in folder.requirements())


def _workspace_around(folder: ProjectFolder) -> ProjectFolder | None:
    for path in (folder.path, *folder.path.parents):
        if (path / "pyproject.toml").is_file():
            candidate = folder if path == folder.path else ProjectFolder.read(path)
            if table(candidate.pyproject, "tool", "uv", "workspace"):
                return candidate
    return None
