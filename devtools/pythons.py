"""The unit tests on newer Pythons than that of ``.venv``: ``make test-pythons``.

A Python that is not on this machine is named and left out; none is downloaded.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from devtools.errors import DevtoolsError

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "locks" / "dev.txt"
CACHE = ROOT / ".cache" / "pythons"
VERSIONS = ("3.12", "3.13")

_FIND_SECONDS = 30.0
_STEP_SECONDS = 900.0

# Alembic's environment runs when it is imported, and so does a __main__.
_IMPORT_ALL = """
import importlib, pkgutil, sys
for name in ("workflow_events", "airflow_provider_langgraph", "langgraph_worker"):
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, f"{name}."):
        if not module.name.endswith("__main__") and ".migrations." not in module.name:
            importlib.import_module(module.name)
"""


class PythonsError(DevtoolsError):
    """A step failed on one Python. Its output is above."""


def find_python(version: str) -> Path | None:
    """An interpreter of this version: on the PATH, one that uv knows, or one of pyenv's; None if there is none."""
    for candidate in _candidates(version):
        command = [str(candidate), "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        if _output(command) == version:
            return candidate
    return None


def _candidates(version: str) -> Iterator[Path]:
    on_path = shutil.which(f"python{version}")
    if on_path:
        yield Path(on_path)
    known = _output([str(_uv()), "python", "find", "--no-python-downloads", version])
    if known:
        yield Path(known)
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from sorted(pyenv.glob(f"versions/{version}.*/bin/python"), reverse=True)


def _output(command: Sequence[str]) -> str | None:
    """What a command prints; None if it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_FIND_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def environment(version: str, python: Path) -> Path:
    """The interpreter of an environment with the packages of ``locks/dev.txt`` and this tree, made once for each lock.

    :raises PythonsError: it cannot be made.
    """
    key = hashlib.sha256(b"\n".join([str(python).encode(), str(CACHE).encode(), LOCK.read_bytes()])).hexdigest()[:12]
    folder = CACHE / f"{version}-{key}"
    inside = folder / "bin" / "python"
    complete = folder / "complete"
    if not complete.exists():
        for old in CACHE.glob(f"{version}-*"):
            shutil.rmtree(old)
        _run(version, _uv(), "venv", "--quiet", "--python", python, folder)
        _run(
            version, _uv(), "pip", "sync", "--quiet", "--require-hashes", "--compile-bytecode", "--python", inside, LOCK
        )
        complete.touch()
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--python", inside)
    _run(version, _uv(), "pip", "install", *options, "--editable", ROOT)
    return inside


def check(version: str, python: Path) -> None:
    """Import every module, and run the unit tests.

    :raises PythonsError: either fails.
    """
    inside = environment(version, python)
    _run(version, inside, "-W", "error", "-c", _IMPORT_ALL)
    _run(version, inside, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--numprocesses=2", "tests/unit")


def _uv() -> Path:
    return Path(sys.executable).parent / "uv"


def _run(version: str, *command: str | Path) -> None:
    words = [str(word) for word in command]
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    try:
        subprocess.run(words, cwd=ROOT, env={"UV_SYSTEM_CERTS": "true", **environ}, timeout=_STEP_SECONDS, check=True)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        raise PythonsError(f"Python {version}: {error}") from error


def main() -> int:
    """Check each Python that is there; 1 if one fails."""
    for version in VERSIONS:
        python = find_python(version)
        if python is None:
            print(f"Python {version}: not on this machine, so not tested", flush=True)
            continue
        print(f"Python {version}: {python}", flush=True)
        try:
            check(version, python)
        except PythonsError as error:
            print(f"pythons: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
