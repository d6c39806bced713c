"""The project of a worker: its manifest read, its graphs imported."""

from __future__ import annotations

from langgraph_worker.errors import SettingsError
from langgraph_worker.graphs.loader import Graphs, load_graphs
from langgraph_worker.graphs.manifest import read_manifest
from langgraph_worker.graphs.memories import Memories
from langgraph_worker.graphs.release import release_of
from langgraph_worker.settings.model import WorkerSettings
from langgraph_worker.settings.secret_values import take_secrets_out_of_environment


def load_project(settings: WorkerSettings) -> Graphs:
    """The graphs of the settings' ``langgraph.json``.

    The worker's secrets leave the environment first: the project's code, and the processes that it starts, get none.
    Graphs that bring no long-term memory (``store``) of their own get one for each deployment, see
    :class:`~langgraph_worker.graphs.memories.Memories`.

    :raises GraphLoadError: names the file, the graph and what is wrong.
    :raises SettingsError: the default graph is none of them.
    """
    take_secrets_out_of_environment()
    manifest = read_manifest(settings.langgraph_json)
    graphs = load_graphs(manifest, Memories(settings.max_memory_items, settings.max_memory_bytes))
    graphs.release = release_of(manifest, settings.release)
    default = settings.default_graph
    if default is not None and default not in graphs.names:
        raise SettingsError(
            f"LANGGRAPH_WORKER_DEFAULT_GRAPH={default!r}: {settings.langgraph_json} has no such graph. It has "
            f"{', '.join(sorted(graphs.names))}"
        )
    return graphs
