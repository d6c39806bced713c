"""What of ``langgraph.json`` this worker does not serve, and what that means."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

_MEANINGS = {
    "auth": "who may write to the events topic may run its graphs (Kafka's ACLs)",
    "checkpointer": "checkpoints are in the worker's own store, and LANGGRAPH_WORKER_KEEP_CHECKPOINTS and prune say "
    "how long",
    "crons": "let a DAG's schedule start the graph",
    "disable_persistence": "checkpoints are always written",
    "encryption": "nothing is encrypted by the project's functions: let the database encrypt",
    "http": "there is no HTTP server, so its app, routes and middleware do not run",
    "node_version": "JavaScript does not run here",
    "priority": "each event has its own priority, of an Airflow task its priority_weight",
    "ui": "nothing is shown by the project's components",
    "ui_config": "nothing is shown by the project's components",
    "webhooks": "nothing is called after a run: a task that follows in the DAG can do it",
}
_SERVED = frozenset({"$schema", "dependencies", "env", "graphs", "models", "redact", "source", "store"})
# For building an image; python_version is compared below.
_BUILD_ONLY = frozenset(
    {"api_version", "base_image", "dockerfile_lines", "image_distro", "keep_pkg_tools", "package", "pip_config_file"}
    | {"pip_installer", "project_root", "python_version", "_INTERNAL_docker_tag"}
)
_JAVASCRIPT = frozenset({".js", ".jsx", ".cjs", ".mjs", ".ts", ".tsx", ".cts", ".mts"})


def unserved_keys(body: Mapping[str, Any]) -> list[str]:
    """A sentence for each key that has a value and changes nothing here."""
    given = {key for key, value in body.items() if value not in (None, "", False, [], {})}
    notes = [f"key {key!r} is not served: {_MEANINGS[key]}" for key in body if key in given and key in _MEANINGS]
    if unknown := sorted(given - _MEANINGS.keys() - _SERVED - _BUILD_ONLY):
        notes.append(f"unknown keys, which change nothing: {', '.join(map(repr, unknown))}")
    return [*notes, *_other_python(body.get("python_version"))]


def is_javascript(entry: Any) -> bool:
    """Whether an entry of ``graphs`` names a file of JavaScript or TypeScript."""
    target = entry.get("path") if isinstance(entry, Mapping) else entry
    return isinstance(target, str) and PurePosixPath(target.rpartition(":")[0]).suffix.lower() in _JAVASCRIPT


def javascript_note(name: str, entry: Any) -> str:
    """The sentence about such an entry."""
    target = entry["path"] if isinstance(entry, Mapping) else entry
    return f"graph {name!r} ({target}) is JavaScript, and this worker runs Python graphs only: it is not served"


def _other_python(version: Any) -> list[str]:
    if not version:
        return []
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    wanted = str(version).partition("-")[0]  # 3.12-slim
    if wanted.split(".")[:2] == running.split("."):
        return []
    return [f"key 'python_version' is {wanted}, and this worker runs on Python {running}"]
