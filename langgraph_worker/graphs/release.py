"""Which version of a project's code this worker has: the name that its operator gives it, else a hash of its files."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from langgraph_worker.graphs.manifest import Manifest

logger = logging.getLogger(__name__)

MOST_FILES = 5_000
MOST_BYTES = 67_108_864
"""Of a project's files, read at a worker's start. A larger one names its release itself."""

_NO_CODE = frozenset({"__pycache__", "node_modules", "site-packages"})


def release_of(manifest: Manifest, named: str | None) -> str:
    """The release of a project. Reads files: call it outside of an event loop.

    :param named: what ``LANGGRAPH_WORKER_RELEASE`` says; None: the hash of the manifest and of the Python files in its
        folder and in its import paths, without those of environments, caches and hidden folders. It is the same
        wherever the same files lie.
    """
    if named is not None:
        return named
    found, files, size = hashlib.sha256(), 0, 0
    for name, path in _files(manifest):
        try:
            body = path.read_bytes()
        except OSError:
            body = b""  # such as a link to nothing: not importable either
        files, size = files + 1, size + len(body)
        if files > MOST_FILES or size > MOST_BYTES:
            logger.warning(
                "the project has more than %d Python files or %d bytes of them: the others do not count for it. "
                "Name the release in LANGGRAPH_WORKER_RELEASE",
                MOST_FILES,
                MOST_BYTES,
                extra={"action": "release"},
            )
            break
        found.update(f"{name}\0{len(body)}\0".encode("utf-8", "surrogateescape") + body)
    return f"files:{found.hexdigest()[:16]}"


def _files(manifest: Manifest) -> Iterator[tuple[str, Path]]:
    yield "langgraph.json", manifest.path
    seen: set[Path] = set()
    for number, folder in enumerate((manifest.root, *manifest.import_paths)):
        for path in _python_files(folder):
            real = path.resolve()
            if real not in seen:
                seen.add(real)
                yield f"{number}/{path.relative_to(folder).as_posix()}", path


def _python_files(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(one for one in folders if not _is_left_out(Path(place, one)))
        yield from (Path(place, name) for name in sorted(names) if name.endswith(".py"))


def _is_left_out(folder: Path) -> bool:
    is_environment = (folder / "pyvenv.cfg").exists()
    return is_environment or folder.name in _NO_CODE or folder.name.startswith(".")
