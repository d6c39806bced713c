"""``langgraph-worker graphs``: list the graphs of langgraph.json."""

from __future__ import annotations

from collections.abc import Mapping

from langgraph_worker.graphs.project import load_project
from langgraph_worker.settings.load import load_settings


def list_graphs(flags: Mapping[str, str]) -> int:
    """Print a line for each graph; 0.

    :raises WorkerError: the settings are wrong, or a graph cannot be loaded.
    """
    graphs = list(load_project(load_settings(flags)))
    width = max(len(graph.spec.name) for graph in graphs)
    for graph in graphs:
        line = f"{graph.spec.name:<{width}}  {graph.kind:<8}  {graph.spec.target}  {graph.spec.description}"
        print(line.rstrip())
    return 0
