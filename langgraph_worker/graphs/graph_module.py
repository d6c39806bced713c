"""Import the module of a graph, by its dotted name or from its file.

A project's folders come last on ``sys.path``, as in ``langgraph dev``: no file of a project hides an installed package.
A file of a package whose name an installed one has is imported all the same, under a name of the worker's.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from langgraph_worker.errors import GraphLoadError
from langgraph_worker.graphs.graph_spec import GraphSpec
from langgraph_worker.graphs.manifest import Manifest
from workflow_events.nearest_name import did_you_mean

logger = logging.getLogger(__name__)

PROJECT_FILE = "langgraph_project__"
"""How the name of a module begins that is imported from its file alone: one of no package, or of a hidden one."""


def append_import_paths(manifest: Manifest) -> None:
    """Make a project's modules importable."""
    for folder in manifest.import_paths:
        if str(folder) not in sys.path:
            sys.path.append(str(folder))
    importlib.invalidate_caches()


def import_graph_module(spec: GraphSpec, manifest: Manifest) -> ModuleType:
    """The module of a manifest's entry.

    :raises GraphLoadError: there is no such file. What the module raises passes through.
    """
    if not spec.is_file:
        return importlib.import_module(spec.source)
    file = (manifest.root / spec.source).resolve()
    if not file.is_file():
        meant = did_you_mean(spec.source, _files_beside(file, manifest.root.resolve()))
        raise GraphLoadError(f"there is no file {file}.{meant} Correct the path in {manifest.path.name}")
    # The names are always the same: checkpoints name the classes that they hold by them.
    if package := _package_around(file, manifest.import_paths):
        root, names = package
        # Part of a package: import it as such, so that relative imports work and nothing is imported twice.
        if _is_found_in(names[0], root):
            return importlib.import_module(".".join(names))
        return _import_hidden(spec, root, names)
    return _import_from(_own_name(*Path(spec.source).with_suffix("").parts), file)


def _files_beside(file: Path, root: Path) -> list[str]:
    """The Python files of its folder, written as ``langgraph.json`` writes paths."""
    found = file.parent.glob("*.py") if file.is_relative_to(root) else ()
    return [f"./{one.relative_to(root).as_posix()}" for one in found]


def name_clash(spec: GraphSpec, manifest: Manifest, error: BaseException | None = None) -> str:
    """A sentence if an installed package hides a module of the project, which may be why a graph is not found."""
    names = [error.name] if isinstance(error, ImportError) and error.name else []
    names += [] if spec.is_file else [spec.source]
    for name in dict.fromkeys(name.partition(".")[0] for name in names):
        if clash := _hidden_by(name, manifest.import_paths):
            own, installed = clash
            return f". {name!r} means {installed} here, not {own} of the project: rename one, or remove the package"
    return ""


def _package_around(file: Path, import_paths: Sequence[Path]) -> tuple[Path, list[str]] | None:
    """The import path from which a file is part of a package, and its dotted name's parts."""
    for root in import_paths:
        if not file.is_relative_to(root):
            continue
        folders = list(file.relative_to(root).parent.parts)
        inner = [root.joinpath(*folders[: depth + 1]) for depth in range(len(folders))]
        if folders and all((folder / "__init__.py").is_file() for folder in inner):
            names = [*folders, file.stem]
            return root, names[:-1] if file.name == "__init__.py" else names
    return None


def _is_found_in(package: str, root: Path) -> bool:
    """Whether the name of a package means the one in this folder."""
    try:
        found = importlib.util.find_spec(package)
    except ValueError:  # a module without a spec has the name
        return False
    places = found.submodule_search_locations if found is not None else None
    return any(Path(place).resolve() == root / package for place in places or [])


def _import_hidden(spec: GraphSpec, root: Path, names: Sequence[str]) -> ModuleType:
    """Import a package under a name of the worker's, and the file in it: relative imports work."""
    # With the way to the package, as the entry has it: two folders may each have a package of one name.
    around = Path(spec.source).parts[: -len(names)]
    package = _own_name("hidden", *around, names[0])
    logger.warning(
        "graph %r: %r means another package here, so %s is imported as %r. Its relative imports work; "
        "'import %s' gives the other one",
        *(spec.name, names[0], root / names[0], package, names[0]),
        extra={"action": "project"},
    )
    _import_from(package, root / names[0] / "__init__.py", [str(root / names[0])])
    return importlib.import_module(".".join([package, *names[1:]]))


def _own_name(*parts: str) -> str:
    return PROJECT_FILE + "__".join(parts).replace(".", "").replace("-", "_")


def _import_from(name: str, file: Path, package_folders: list[str] | None = None) -> ModuleType:
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file, submodule_search_locations=package_folders)
    if spec is None or spec.loader is None:
        raise GraphLoadError(f"{file} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _hidden_by(name: str, import_paths: Sequence[Path]) -> tuple[Path, str] | None:
    """A project's own folder or file of this name, and the file that the name means instead; None if there is none."""
    origin = getattr(sys.modules.get(name), "__file__", None)
    for root in import_paths:
        for own in (root / name, root / f"{name}.py"):
            # Not by the root: the environment with the installed packages may lie in the project's folder.
            if origin and own.exists() and Path(origin).resolve() not in (own, own / "__init__.py"):
                return own, origin
    return None
