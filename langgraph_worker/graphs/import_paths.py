"""From where a project's modules are imported, as ``langgraph dev`` has it after ``pip install -e`` of each folder: the
manifest's folder, every dependency that is a folder, and the folders that hold their packages.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from langgraph_worker.errors import GraphLoadError
from langgraph_worker.graphs.local_sources import with_local_sources, workspace_members
from langgraph_worker.graphs.project_folder import ProjectFolder


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What a manifest's ``dependencies`` and ``source`` say.

    :param folders: the folders that they name, absolute; of these and of ``packages`` it is checked what is installed.
    :param packages: the entries that are no folder, as they are written.
    :param notes: a sentence for each thing that is not as the manifest says.
    """

    folders: tuple[Path, ...]
    packages: tuple[str, ...]
    notes: tuple[str, ...]


_OF_A_FOLDER = frozenset({"pyproject.toml", "setup.py", "setup.cfg", "requirements.txt"})


def read_dependencies(path: Path, dependencies: Any, source: Any) -> Dependencies:
    """Read both keys; a folder that is missing is a note, as nothing may need it.

    :param path: the manifest.
    :raises GraphLoadError: names the file, the key and what is right.
    """
    if dependencies is None and source is None:
        dependencies = ["."]
    if not isinstance(dependencies or [], list) or not all(isinstance(entry, str) for entry in dependencies or []):
        raise GraphLoadError(f"{path}: key 'dependencies' must be a list of texts, such as [\".\"]")
    folders, packages, notes = [], [], []
    for entry in dependencies or []:
        folder = (path.parent / entry).resolve()
        if folder.is_dir():
            folders.append(folder)
        elif folder.is_file() and folder.name in _OF_A_FOLDER:
            notes.append(
                f"dependency {entry!r} is a file of a project, not a project: write its folder, "
                f"{str(Path(entry).parent)!r}. LangGraph imports nothing from it either"
            )
        elif not entry.startswith((".", "/")):
            packages.append(entry)
        elif not folder.exists():  # a file is a package: a wheel
            notes.append(f"dependency {entry!r}: there is no folder {folder}, so nothing is imported from it")
    if source is not None:
        folders += _uv_source(path, source, notes)
    return Dependencies(tuple(dict.fromkeys(folders)), tuple(packages), tuple(notes))


def import_paths(projects: Iterable[ProjectFolder]) -> tuple[Path, ...]:
    """The folders to append to ``sys.path``, in this order. What holds packages comes before the folder around it, as
    an installed project comes before the working directory.
    """
    return tuple(dict.fromkeys(path for project in projects for path in (*project.package_roots, project.path)))


def project_folders(path: Path, dependencies: Dependencies) -> tuple[ProjectFolder, ...]:
    """The manifest's own folder, those of its dependencies, and those that they install from."""
    return with_local_sources([path.parent.resolve(), *dependencies.folders])


def _uv_source(path: Path, source: Any, notes: list[str]) -> list[Path]:
    if not isinstance(source, dict) or source.get("kind") != "uv" or not isinstance(source.get("root", "."), str):
        raise GraphLoadError(f'{path}: key \'source\' must be an object such as {{"kind": "uv", "root": "."}}')
    root = (path.parent / source.get("root", ".")).resolve()
    if not root.is_dir():
        notes.append(f"key 'source': there is no folder {root}, so nothing is imported from it")
        return []
    package = source.get("package")
    if not package:
        return [root]
    members = workspace_members(ProjectFolder.read(root))
    member = members.get(canonicalize_name(str(package)))
    if member is None:
        known = ", ".join(sorted(members)) or "none"
        notes.append(f"key 'source': the workspace of {root} has no package {package!r}; it has: {known}")
        return [root]
    return [member, root]
