"""``langgraph.json``, read as LangGraph documents it. Keys that only its own server uses are ignored; ``events`` of a
graph's entry is this worker's own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from langgraph_worker.errors import GraphLoadError
from langgraph_worker.graphs.event_rights import EventRights

_FORMS = '"./path/to/file.py:variable" or "package.module:variable"'


@dataclass(frozen=True, slots=True)
class GraphSpec:
    """One entry of ``graphs``.

    :param source: a file's path relative to the manifest, or a module's dotted name.
    :param is_file: which of the two.
    :param variable: the name in it.
    :param rights: what events may set.
    """

    name: str
    source: str
    is_file: bool
    variable: str
    description: str = ""
    rights: EventRights = field(default_factory=EventRights)

    @property
    def target(self) -> str:
        """As the manifest writes it."""
        return f"{self.source}:{self.variable}"


@dataclass(frozen=True, slots=True)
class Manifest:
    """A project.

    :param path: the manifest itself, absolute; other paths are relative to its folder.
    :param import_paths: folders of local ``dependencies``, to be put on ``sys.path``.
    :param env: the project's variables; variables that the process already has win.
    """

    path: Path
    graphs: tuple[GraphSpec, ...]
    import_paths: tuple[Path, ...]
    env: Mapping[str, str]

    @property
    def root(self) -> Path:
        """The project's folder."""
        return self.path.parent


def read_manifest(path: Path) -> Manifest:
    """Read a project's manifest; nothing of the project is imported yet.

    :raises GraphLoadError: names the file, the key and what is right.
    """
    path = path.absolute()
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise GraphLoadError(
            f"there is no {path}. Start in the project's folder, or name its langgraph.json in "
            "LANGGRAPH_WORKER_LANGGRAPH_JSON or --langgraph-json"
        ) from None
    except OSError as error:
        raise GraphLoadError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise GraphLoadError(f"{path} is not JSON: {error}") from None
    graphs = body.get("graphs") if isinstance(body, dict) else None
    if not isinstance(graphs, dict) or not graphs:
        raise GraphLoadError(f"{path}: key 'graphs' must be an object with at least one name and {_FORMS}")
    return Manifest(
        path=path,
        graphs=tuple(_spec(path, name, value) for name, value in graphs.items()),
        import_paths=_import_paths(path, body.get("dependencies", [])),
        env=_env(path, body.get("env", {})),
    )


def _spec(path: Path, name: str, value: Any) -> GraphSpec:
    where = f"{path}: graph {name!r}"
    description, rights = "", EventRights()
    if isinstance(value, dict):
        description = str(value.get("description") or "")
        try:
            rights = EventRights.from_entry(value.get("events", {}))
        except ValueError as error:
            raise GraphLoadError(f"{where}: {error}") from None
        value = value.get("path")
    if not isinstance(value, str):
        raise GraphLoadError(f'{where} must be {_FORMS}, or {{"path": ..., "description": ...}} with one of these')
    source, colon, variable = value.rpartition(":")
    if not colon or not source or not variable.isidentifier():
        raise GraphLoadError(f"{where}: {value!r} is not of the form {_FORMS}")
    if not 1 <= len(name) <= 512:
        raise GraphLoadError(f"{where}: a graph's name has 1 to 512 characters")
    is_file = "/" in source or source.endswith(".py")
    return GraphSpec(name, source, is_file, variable, description, rights)


def _import_paths(path: Path, dependencies: Any) -> tuple[Path, ...]:
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


def _env(path: Path, value: Any) -> dict[str, str]:
    if isinstance(value, str):
        file = path.parent / value
        if not file.is_file():
            raise GraphLoadError(f"{path}: key 'env': there is no file {file}")
        return {name: text for name, text in dotenv_values(file).items() if text is not None}
    if isinstance(value, dict):
        return {str(name): str(text) for name, text in value.items()}
    raise GraphLoadError(f"{path}: key 'env' must be a file's name or an object of variables")
