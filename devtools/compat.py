"""Environments of the Airflows that the provider supports, and of the oldest packages that the worker takes:
``make test-compat``.

Each is made from a lock of its own and holds the project as users get it: as a wheel. ``python -m devtools.compat``,
which is part of ``make lock``, resolves the locks again.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
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

# A tested Airflow also needs the driver of the database that the tests give it.
_DRIVER = "psycopg[binary]>=3.2.10"
# An installation of the provider changes the versions of these, also in an old Airflow.
_MOVED = (
    "apache-airflow-providers-apache-kafka",
    "apache-airflow-providers-common-compat",
    "asgiref",
    "confluent-kafka",
)
# What the worker's tests need, in the versions of ``locks/dev.txt``.
_TEST_TOOLS = (
    "httpx",
    "hypothesis",
    "jsonschema",
    "psutil",
    "pytest",
    "pytest-asyncio",
    "pytest-timeout",
    "pytest-xdist",
)
_COMMAND_SECONDS = 600.0


class CompatError(DevtoolsError):
    """An environment cannot be made, or a lock cannot be resolved. The text holds the tool's output."""


@dataclass(frozen=True, slots=True)
class Release:
    """One Airflow that the provider supports.

    :param name: the name of its lock, its environment and its tests.
    :param airflow: its exact version.
    :param until: packages that the provider does not need are not newer than this day. Airflow hardly limits its
        dependencies, and newer ones break it: with pydantic 2.14 the API server of 3.2.2 does not start. None for the
        packages of ``locks/airflow.txt``.
    :param pins: packages that must be even older.
    :param lowest: whether to take the lowest versions that pyproject.toml allows, not the highest.
    :param locks: the folder of its lock.
    """

    name: str
    airflow: str
    until: str | None = None
    pins: tuple[str, ...] = ()
    lowest: bool = False
    locks: Path = LOCKS

    @property
    def lock(self) -> Path:
        """Its packages, with hashes."""
        return self.locks / f"{self.name}.txt"


RELEASES = (
    Release("3.1", "3.1.8", until="2026-04-15"),
    Release("3.2", "3.2.2", until="2026-06-15"),
    Release("3.3", "3.3.2"),
    # Not 3.1.0: there the retry of a task that had deferred resumes with the old event instead of running again.
    Release("lowest", "3.1.1", until="2025-10-27", pins=("structlog==25.4.0",), lowest=True),
)


_BY_NAME = {release.name: release for release in RELEASES}
_UNLOCKED = CACHE / "locks"


def release_of(name: str) -> Release:
    """A release by its name, or any other version of Airflow that the registry has, such as ``3.4.0``.

    :raises CompatError: neither.
    """
    if name in _BY_NAME:
        return _BY_NAME[name]
    if re.fullmatch(r"\d+\.\d+\.\d+\w*", name):
        return Release(name, name, locks=_UNLOCKED)
    raise CompatError(f"{name!r} is none of all, {', '.join(_BY_NAME)}, and no version of Airflow such as 3.4.0")


def locked(release: Release) -> Path:
    """A release's lock. That of a version that has none in the repository is resolved today, into ``.cache``.

    :raises CompatError: the registry has no such version, or nothing fits it.
    """
    if release.locks == _UNLOCKED:
        _UNLOCKED.mkdir(parents=True, exist_ok=True)
        resolve(release)
    return release.lock


LOWEST_WORKER = LOCKS / "lowest-worker.txt"
"""The lowest versions that pyproject.toml allows a worker."""


def build_wheel(folder: Path) -> Path:
    """Build the project's wheel into an empty folder."""
    _run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT])
    (wheel,) = folder.glob("*.whl")
    return wheel


def environment(lock: Path, wheel: Path) -> Path:
    """The interpreter of an environment with exactly the lock's packages and the wheel.

    The packages are installed once, into the repository's ``.cache``, and again when the lock has changed.

    :raises CompatError: the text holds the output of uv.
    """
    name, packages = lock.stem, lock.read_bytes()
    key = hashlib.sha256(b"\n".join([sys.version.encode(), str(CACHE).encode(), packages])).hexdigest()[:12]
    folder = CACHE / f"{name}-env-{key}"
    python = folder / "bin" / "python"
    complete = folder / "complete"
    CACHE.mkdir(parents=True, exist_ok=True)
    with FileLock(CACHE / f"{name}.lock"):
        if not complete.exists():
            for old in CACHE.glob(f"{name}-env-*"):
                shutil.rmtree(old)
            _uv("venv", "--quiet", "--python", sys.executable, folder)
            _uv("pip", "sync", "--quiet", "--require-hashes", "--compile-bytecode", "--python", python, lock)
            complete.touch()
        _uv("pip", "install", "--quiet", "--no-deps", "--reinstall", "--python", python, wheel)
        _uv("pip", "check", "--quiet", "--python", python)
    return python


def resolve(release: Release, *, upgrade: bool = False) -> None:
    """Write a release's lock. Versions that it has already are kept where they fit, unless ``upgrade``."""
    options = ["--resolution", "lowest-direct" if release.lowest else "highest"]
    if release.locks == _UNLOCKED:
        pass  # the newest of each package that fits: this asks whether a new Airflow works at all
    elif release.until is None:
        options += ["--constraints", str(LOCKS.parent / "airflow.txt")]
    else:
        options += ["--exclude-newer", release.until]
        options += [option for package in _MOVED for option in ("--exclude-newer-package", f"{package}=false")]
    also = [f"apache-airflow=={release.airflow}", _DRIVER, *release.pins]
    _compile("airflow", also, options, release.lock, upgrade=upgrade)


def resolve_lowest_worker(*, upgrade: bool = False) -> None:
    """Write the lock of the worker's lowest versions, with what its tests need. ``upgrade``: as for a release."""
    pins = (LOCKS.parent / "dev.txt").read_text().splitlines()
    tools = [pin.partition(" ")[0] for pin in pins if pin.partition("==")[0] in _TEST_TOOLS]
    _compile("worker", tools, ["--resolution", "lowest-direct"], LOWEST_WORKER, upgrade=upgrade)


def _compile(extra: str, also: Sequence[str], options: Sequence[str], lock: Path, *, upgrade: bool) -> None:
    _uv(
        *("pip", "compile", "--quiet", "--universal", "--python-version", "3.11", "--generate-hashes"),
        *("--no-emit-index-url", "--no-annotate", "--custom-compile-command", "make lock"),
        *("--extra", extra, "--no-emit-package", "airflow-provider-langgraph"),
        *options,
        *(["--upgrade"] if upgrade else []),
        "pyproject.toml",
        "-",
        "--output-file",
        lock,
        text="\n".join(also),
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
        timeout=_COMMAND_SECONDS,
        check=False,
    )
    if done.returncode:
        raise CompatError(f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Resolve the locks of all releases."""
    parser = argparse.ArgumentParser(prog="python -m devtools.compat", description="Resolve locks/compat again.")
    parser.add_argument("--upgrade", action="store_true", help="do not keep the versions of the present locks")
    upgrade = parser.parse_args(arguments).upgrade
    LOCKS.mkdir(exist_ok=True)
    try:
        for release in RELEASES:
            resolve(release, upgrade=upgrade)
        resolve_lowest_worker(upgrade=upgrade)
    except CompatError as error:
        print(f"compat: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
