"""Environments of the Airflows that the provider supports: ``make test-compat``.

Each is made from a lock of its own and holds the project as its users get it: a wheel. ``python -m devtools.compat``,
which is part of ``make lock``, resolves the locks anew.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from devtools.errors import DevtoolsError

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ROOT / "locks" / "compat"
CACHE = ROOT / ".cache" / "compat"

# What a tested Airflow needs beside the provider: the driver of the database that the tests give it.
_DRIVER = "psycopg[binary]>=3.2.10"
# Whoever installs the provider moves these, however old the Airflow is.
_MOVED = (
    "apache-airflow-providers-apache-kafka",
    "apache-airflow-providers-common-compat",
    "asgiref",
    "confluent-kafka",
)
_SECONDS = 600.0


class CompatError(DevtoolsError):
    """An environment cannot be made, or a lock not be resolved. The text has the tool's own words."""


@dataclass(frozen=True, slots=True)
class Release:
    """One Airflow that the provider supports.

    :param name: of its lock, its environment and its tests.
    :param airflow: its exact version.
    :param until: all but what the provider needs is of this day at the latest. Airflow hardly bounds its dependencies,
        and newer ones break it: with pydantic 2.14 the API server of 3.2.2 does not start. None for the packages of
        ``locks/airflow.txt``.
    :param pins: what had to be even older.
    :param lowest: the lowest versions that pyproject.toml allows instead of the highest.
    """

    name: str
    airflow: str
    until: str | None = None
    pins: tuple[str, ...] = ()
    lowest: bool = False

    @property
    def lock(self) -> Path:
        """Its packages, with hashes."""
        return LOCKS / f"{self.name}.txt"


RELEASES = (
    Release("3.1", "3.1.8", until="2026-04-15"),
    Release("3.2", "3.2.2", until="2026-06-15"),
    Release("3.3", "3.3.2"),
    # Not 3.1.0: there the retry of a task that had deferred resumes with the old event instead of running again.
    Release("lowest", "3.1.1", until="2025-10-27", pins=("structlog==25.4.0",), lowest=True),
)


def build_wheel(folder: Path) -> Path:
    """Build the project's wheel into an empty folder."""
    _run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT])
    (wheel,) = folder.glob("*.whl")
    return wheel


def environment(release: Release, wheel: Path) -> Path:
    """The interpreter of an environment with exactly the lock's packages and the wheel.

    The packages are installed once, into the repository's ``.cache``; a lock that has changed makes it anew.

    :raises CompatError: with what uv says.
    """
    lock = release.lock.read_bytes()
    key = hashlib.sha256(b"\n".join([sys.version.encode(), str(CACHE).encode(), lock])).hexdigest()[:12]
    folder = CACHE / f"{release.name}-{key}"
    python = folder / "bin" / "python"
    complete = folder / "complete"
    CACHE.mkdir(parents=True, exist_ok=True)
    with FileLock(CACHE / f"{release.name}.lock"):
        if not complete.exists():
            for old in CACHE.glob(f"{release.name}-*"):
                shutil.rmtree(old)
            _uv("venv", "--quiet", "--python", sys.executable, folder)
            _uv("pip", "sync", "--quiet", "--require-hashes", "--compile-bytecode", "--python", python, release.lock)
            complete.touch()
        _uv("pip", "install", "--quiet", "--no-deps", "--reinstall", "--python", python, wheel)
        _uv("pip", "check", "--quiet", "--python", python)
    return python


def resolve(release: Release, *, upgrade: bool = False) -> None:
    """Write a release's lock; what it holds already is kept where it fits, unless ``upgrade``."""
    options = ["--resolution", "lowest-direct" if release.lowest else "highest"]
    if release.until is None:
        options += ["--constraints", str(LOCKS.parent / "airflow.txt")]
    else:
        options += ["--exclude-newer", release.until]
        options += [option for package in _MOVED for option in ("--exclude-newer-package", f"{package}=false")]
    if upgrade:
        options.append("--upgrade")
    _uv(
        *("pip", "compile", "--quiet", "--universal", "--python-version", "3.11", "--generate-hashes"),
        *("--no-emit-index-url", "--no-annotate", "--custom-compile-command", "make lock"),
        *("--extra", "airflow", "--no-emit-package", "airflow-provider-langgraph"),
        *options,
        "pyproject.toml",
        "-",
        "--output-file",
        release.lock,
        text="\n".join([f"apache-airflow=={release.airflow}", _DRIVER, *release.pins]),
    )


def _uv(*arguments: str | Path, text: str | None = None) -> None:
    _run([Path(sys.executable).parent / "uv", *arguments], text)


def _run(command: Sequence[str | Path], text: str | None = None) -> None:
    words = [str(word) for word in command]
    done = subprocess.run(
        words,
        input=text,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={"UV_SYSTEM_CERTS": "true", **os.environ},
        timeout=_SECONDS,
        check=False,
    )
    if done.returncode:
        raise CompatError(f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Resolve the locks of all releases."""
    parser = argparse.ArgumentParser(prog="python -m devtools.compat", description="Resolve locks/compat anew.")
    parser.add_argument("--upgrade", action="store_true", help="keep nothing of the locks that there are")
    upgrade = parser.parse_args(arguments).upgrade
    LOCKS.mkdir(exist_ok=True)
    try:
        for release in RELEASES:
            resolve(release, upgrade=upgrade)
    except CompatError as error:
        print(f"compat: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
