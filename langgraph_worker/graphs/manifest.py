"""``langgraph.json``, read as LangGraph documents it. ``models``, ``redact`` and keys of graphs' entries are ours."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from langgraph_worker.errors import GraphLoadError
from langgraph_worker.graphs.graph_spec import FORMS, GraphSpec, graph_spec
from langgraph_worker.graphs.import_paths import import_paths, project_folders, read_dependencies
from langgraph_worker.graphs.installed_packages import copy_notes, package_notes
from langgraph_worker.graphs.memory_config import StoreSpec, store_spec
from langgraph_worker.graphs.model_limits import ModelLimits, model_limits
from langgraph_worker.graphs.project_env import project_env
from langgraph_worker.graphs.redaction_hook import KEY as REDACT
from langgraph_worker.graphs.redaction_hook import hook_spec
from langgraph_worker.graphs.unserved_keys import is_javascript, javascript_note, unserved_keys
from workflow_events.nearest_name import nearest_name


@dataclass(frozen=True, slots=True)
class Manifest:
    """A project.

    :param path: the manifest itself, absolute; other paths are relative to its folder.
    :param import_paths: folders to append to ``sys.path``, the manifest's own among them.
    :param env: the project's variables; variables that the process already has win.
    :param store: of the long-term memory.
    :param models: what the providers of its models allow.
    :param redact: the function through which content leaves; None: it has none.
    :param notes: a sentence for each thing that is missing here, or that this worker does not serve.
    """

    path: Path
    graphs: tuple[GraphSpec, ...]
    import_paths: tuple[Path, ...]
    env: Mapping[str, str]
    store: StoreSpec = field(default_factory=StoreSpec)
    notes: tuple[str, ...] = ()
    models: ModelLimits = field(default_factory=ModelLimits)
    redact: GraphSpec | None = None

    @property
    def root(self) -> Path:
        """The project's folder."""
        return self.path.parent


def read_manifest(path: Path) -> Manifest:
    """Read a project's manifest; nothing of the project is imported yet.

    :raises GraphLoadError: names the file, the key and what is right.
    """
    path = path.absolute()
    body = _body(path)
    graphs, notes = _graphs(path, body["graphs"])
    notes += unserved_keys(body)
    env, env_notes = project_env(path, body.get("env"))
    store, models = store_spec(path, body.get("store")), model_limits(path, body.get("models"))
    redact = hook_spec(path, body.get(REDACT))
    dependencies = read_dependencies(path, body.get("dependencies"), body.get("source"))
    folders = project_folders(path, dependencies)
    # The manifest's own folder is always imported from; what it needs counts if the manifest says that it is installed.
    installed = [folder for folder in folders if folder.path in dependencies.folders or folder is not folders[0]]
    wanted = [*dependencies.packages, *(text for folder in installed for text in folder.requirements())]
    notes += [*env_notes, *dependencies.notes, *(folder.problem for folder in folders if folder.problem)]
    notes += [*package_notes(wanted, folders), *copy_notes(folders)]
    return Manifest(path, graphs, import_paths(folders), env, store, tuple(notes), models, redact)


def _body(path: Path) -> dict[str, Any]:
    try:
        body = json.loads(path.read_text(encoding="utf-8-sig"))
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
        meant = nearest_name("graphs", body) if isinstance(body, dict) and graphs is None else None
        wrong = f". It has a key {meant!r}, which is not read" if meant else ""
        raise GraphLoadError(f"{path}: key 'graphs' must be an object with at least one name and {FORMS}{wrong}")
    return dict(body)


def _graphs(path: Path, entries: Mapping[str, Any]) -> tuple[tuple[GraphSpec, ...], list[str]]:
    """The Python graphs, and a sentence for each other one."""
    javascript = {name: entry for name, entry in entries.items() if is_javascript(entry)}
    notes = [javascript_note(name, entry) for name, entry in javascript.items()]
    if len(javascript) == len(entries):
        raise GraphLoadError(f"{path}: {'; '.join(notes)}")
    specs = tuple(graph_spec(path, name, entry) for name, entry in entries.items() if name not in javascript)
    return specs, notes
