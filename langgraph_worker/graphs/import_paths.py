"""From where a project's modules are imported: its local ``dependencies``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from langgraph_worker.errors import GraphLoadError


def import_paths(path: Path, dependencies: Any) -> tuple[Path, ...]:
    """The folders among a manifest's ``dependencies``.

    :param path: the manifest.
    :raises GraphLoadError: names the file, the key and what is right.
    """
    if not isinstance(dependencies, list) or not all(isinstance(entry, str) for entry in dependencies):
        raise GraphLoadError(f"{path}: key 'dependencies' must be a list of texts, such as [\".\"]")
    # The others name packages of an index: they are installed with the worker.
    local = [entry for entry in dependencies if entry.startswith((".", "/"))]
    folders = []
    for entry in local:
        folder = (path.parent / entry).resolve()
        if not folder.is_dir():
            raise GraphLoadError(f"{path}: dependency {entry!r}: there is no folder {folder}")
        folders.append(folder)
    return tuple(folders)
