"""``langgraph-worker graphs``: show the graphs of langgraph.json, their schemas and their pictures."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Mapping
from typing import Any

from langgraph_worker.cli.output import graphs_print_to_stderr, print_note
from langgraph_worker.cli.schema_words import in_words
from langgraph_worker.domain.json_values import describe
from langgraph_worker.errors import WorkerError
from langgraph_worker.graphs.loader import Graph, Graphs
from langgraph_worker.graphs.picture import mermaid
from langgraph_worker.graphs.project import load_project
from langgraph_worker.graphs.schemas import schemas_of
from langgraph_worker.settings.load import load_settings
from langgraph_worker.telemetry.logs import redact_logs
from workflow_events.plain_text import one_line

_SCHEMAS = ("input", "output", "context")


def show_graphs(flags: Mapping[str, str], arguments: argparse.Namespace) -> int:
    """Print each graph with its schemas, or pictures; 0, or 1 if a graph cannot be loaded, opened or drawn.

    A factory is opened with an empty config. A graph that fails is shown with its error, and the others still. What the
    project lacks here, and what of its manifest is not served, goes to standard error.

    :raises WorkerError: the settings or the manifest are wrong, or the graph whose picture is wanted fails.
    """
    settings = load_settings(flags)
    with graphs_print_to_stderr():
        graphs = load_project(settings, print_note, keep_broken=True, on_redactor=redact_logs)
    wanted: str | None = arguments.mermaid
    if wanted == "":
        return _print_pictures(graphs)
    if wanted is not None:
        if wanted not in graphs.names:
            known = ", ".join(sorted(graphs.names))
            raise WorkerError(f"--mermaid: {settings.langgraph_json} has no graph {wanted!r}. It has {known}")
        print(_picture(graphs, wanted), end="")
        return 0
    with graphs_print_to_stderr():
        described = asyncio.run(_describe_all(graphs))
    if arguments.as_json:
        print(json.dumps(described, indent=2, ensure_ascii=False))
    else:
        _print(described)
    return 1 if any("error" in graph for graph in described.values()) else 0


def _print_pictures(graphs: Graphs) -> int:
    """Print all pictures as Markdown: 0, or 1 if a graph has none."""
    code = 0
    for number, graph in enumerate(graphs):
        name = graph.spec.name
        if number:
            print()
        print(f"## {one_line(name)}\n")
        try:
            print(f"```mermaid\n{_picture(graphs, name).rstrip()}\n```")
        except WorkerError as error:
            print(one_line(str(error)))
            code = 1
    return code


def _picture(graphs: Graphs, name: str) -> str:
    with graphs_print_to_stderr():
        return asyncio.run(_draw(graphs, name))


async def _draw(graphs: Graphs, name: str) -> str:
    try:
        async with graphs.open(name, {"configurable": {}}) as graph:
            return mermaid(graph)
    except Exception as error:
        raise WorkerError(f"graph {name!r} has no picture: {_failure(error)}") from error


async def _describe_all(graphs: Graphs) -> dict[str, dict[str, object]]:
    """By name, in the manifest's order."""
    return {graph.spec.name: await _describe(graphs, graph) for graph in graphs}


async def _describe(graphs: Graphs, graph: Graph) -> Any:
    spec = graph.spec
    found: dict[str, Any] = {"kind": graph.kind, "target": spec.target, "description": spec.description}
    try:
        async with graphs.open(spec.name, {"configurable": {}}) as opened:
            found |= schemas_of(opened)
    except Exception as error:  # noqa: BLE001 - a factory of the project's may raise anything
        found["error"] = _failure(error)
    return graphs.redactor.masked_value(found)


def _failure(error: Exception) -> str:
    return describe(error) if isinstance(error, WorkerError) else f"{type(error).__name__}: {describe(error)}"


def _print(described: Mapping[str, Mapping[str, object]]) -> None:
    width = max(map(len, described))
    for name, graph in described.items():
        print(one_line(f"{name:<{width}}  {graph['kind']:<8}  {graph['target']}  {graph['description']}".rstrip()))
        if "error" in graph:
            print(one_line(f"  cannot be {'loaded' if graph['kind'] == 'broken' else 'opened'}: {graph['error']}"))
        for part in _SCHEMAS:
            words = in_words(graph.get(part))
            if words:
                print(one_line(f"  {part:<8}{words}"))
