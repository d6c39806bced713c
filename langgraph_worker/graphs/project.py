"""The project of a worker: its manifest read, its graphs imported."""

from __future__ import annotations

from langgraph.store.memory import InMemoryStore

from langgraph_worker.errors import SettingsError
from langgraph_worker.graphs.loader import Graphs, load_graphs
from langgraph_worker.graphs.manifest import read_manifest
from langgraph_worker.settings import WorkerSettings


def load_project(settings: WorkerSettings) -> Graphs:
    """The graphs of the settings' ``langgraph.json``.

    LangGraph's long-term memory (``store``) is kept in this process for graphs that bring none: it ends with it.

    :raises GraphLoadError: names the file, the graph and what is wrong.
    :raises SettingsError: the default graph is none of them.
    """
    graphs = load_graphs(read_manifest(settings.langgraph_json), InMemoryStore())
    default = settings.default_graph
    if default is not None and default not in graphs.names:
        raise SettingsError(
            f"LANGGRAPH_WORKER_DEFAULT_GRAPH={default!r}: {settings.langgraph_json} has no such graph. It has "
            f"{', '.join(sorted(graphs.names))}"
        )
    return graphs
