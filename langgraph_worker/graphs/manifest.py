"""``langgraph.json``, read as LangGraph documents it. Keys that only its own server uses are ignored; ``events`` of a
graph's entry is this worker's own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from langgraph_worker.errors import GraphLoadError
from langgraph_worker.graphs.graph_spec import FORMS, GraphSpec, graph_spec
from langgraph_worker.graphs.import_paths import import_paths
from langgraph_worker.graphs.memory_config import StoreSpec, store_spec
from langgraph_worker.graphs.project_env import project_env


@dataclass(frozen=True, slots=True)
class Manifest:
    """A project.

    :param path: the manifest itself, absolute; other paths are relative to its folder.
    :param import_paths: folders of local ``dependencies``, to be put on ``sys.path``.
    :param env: the project's variables; variables that the process already has win.
    :param store: of the long-term memory.
    """

    path: Path
    graphs: tuple[GraphSpec, ...]
    import_paths: tuple[Path, ...]
    env: Mapping[str, str]
    store: StoreSpec = field(default_factory=StoreSpec)

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
        raise GraphLoadError(f"{path}: key 'graphs' must be an object with at least one name and {FORMS}")
    return Manifest(
        path=path,
        graphs=tuple(graph_spec(path, name, value) for name, value in graphs.items()),
        import_paths=import_paths(path, body.get("dependencies", [])),
        env=project_env(path, body.get("env", {})),
        store=store_spec(path, body.get("store")),
    )
