"""A folder of a project: where its packages lie, and what it needs, as its ``pyproject.toml`` and ``requirements.txt``
say. The worker installs nothing; it makes importable what ``pip install -e`` of the folder would.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from langgraph_worker.graphs.requirements_file import read_requirements

_BUILD_FILES = ("pyproject.toml", "setup.py", "setup.cfg")


@dataclass(frozen=True, slots=True)
class ProjectFolder:
    """One folder, as its files were when it was read.

    :param path: absolute.
    :param problem: why its ``pyproject.toml`` is not used, a sentence; empty if it is, or if there is none.
    """

    path: Path
    pyproject: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""

    @classmethod
    def read(cls, path: Path) -> ProjectFolder:
        """Read a folder. A ``pyproject.toml`` that cannot be read is a ``problem``, and no error."""
        file = path / "pyproject.toml"
        try:
            return cls(path, tomllib.loads(file.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return cls(path)
        except (OSError, ValueError) as error:
            return cls(path, problem=f"{file} is not used: {error}")

    @property
    def name(self) -> str | None:
        """The name of what it builds, as package indexes compare names."""
        name = table(self.pyproject, "project").get("name") or table(self.pyproject, "tool", "poetry").get("name")
        return canonicalize_name(name) if isinstance(name, str) else None

    @property
    def package_roots(self) -> tuple[Path, ...]:
        """The folders below it that hold its packages; without the folder itself."""
        found = [(self.path / text).resolve() for text in (*self._named_roots(), *self._usual_roots())]
        return tuple(dict.fromkeys(root for root in found if root != self.path and root.is_dir()))

    def requirements(self) -> list[str]:
        """The packages that it needs, as they are written there; without folders."""
        texts, _ = read_requirements(self.path / "requirements.txt")
        declared = table(self.pyproject, "project").get("dependencies")
        if isinstance(declared, list):
            texts += [text for text in declared if isinstance(text, str)]
        return texts + list(_poetry_requirements(table(self.pyproject, "tool", "poetry", "dependencies")))

    def pip_arguments(self) -> list[str]:
        """What makes ``pip install`` install all that it needs."""
        file = self.path / "requirements.txt"
        listed = ["-r", str(file)] if file.is_file() else []
        return [*listed, "-e", str(self.path)] if self.name else listed

    def local_requirements(self) -> list[Path]:
        """The folders that its ``requirements.txt`` names."""
        return read_requirements(self.path / "requirements.txt")[1]

    def _usual_roots(self) -> list[str]:
        """``src``, unless it is a package itself, which others import as ``src.…``."""
        builds = any((self.path / name).is_file() for name in _BUILD_FILES)
        return ["src"] if builds and not (self.path / "src" / "__init__.py").is_file() else []

    def _named_roots(self) -> Iterator[str]:
        """As the build tools name them."""
        tool = table(self.pyproject, "tool")
        yield from _texts(table(tool, "setuptools", "packages", "find").get("where"))
        for package, folder in table(tool, "setuptools", "package-dir").items():
            if isinstance(folder, str):
                if package == "":
                    yield folder
                elif Path(folder).name == package:
                    yield str(Path(folder).parent)
        for entry in _list(table(tool, "poetry").get("packages")):
            if isinstance(entry, dict):
                yield from _texts([entry.get("from")])
        wheel = table(tool, "hatch", "build", "targets", "wheel")
        yield from (str(Path(package).parent) for package in _texts(wheel.get("packages")))
        yield from _texts([table(tool, "uv", "build-backend").get("module-root")])
        yield from _texts([table(tool, "pdm", "build").get("package-dir")])


def table(data: Any, *keys: str) -> Mapping[str, Any]:
    """The table under these keys; an empty one if there is none."""
    for key in keys:
        data = data.get(key) if isinstance(data, Mapping) else None
    return data if isinstance(data, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _texts(value: Any) -> list[str]:
    return [text for text in _list(value) if isinstance(text, str) and text]


def _poetry_requirements(dependencies: Mapping[str, Any]) -> Iterator[str]:
    """Names with their extras: Poetry's versions (``^1.2``) are its own."""
    for name, value in dependencies.items():
        options = value if isinstance(value, dict) else {}
        if name == "python" or options.get("optional") or options.keys() & {"path", "markers", "python", "platform"}:
            continue
        extras = ",".join(_texts(options.get("extras")))
        yield f"{name}[{extras}]" if extras else name
