"""A graph's picture as Mermaid text. LangGraph makes it, without any network; the project's names are escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from langchain_core.runnables.graph import Edge, Graph
from langgraph.pregel import Pregel

_OPEN_TO_MERMAID = re.compile(r"[^\w .,'!?*+=/@-]", re.ASCII)
"""What may end a label, begin a directive of Mermaid or Markdown, or be markup."""
_NO_ID = re.compile(r"\W", re.ASCII)
_WORDS = frozenset({"call", "class", "classdef", "click", "default", "end", "graph", "linkstyle", "style", "subgraph"})
"""Mermaid's own, which no node may have as its id."""


def mermaid(graph: Pregel[Any]) -> str:
    """The picture, with the graphs in the graph's nodes.

    :raises Exception: LangGraph cannot draw it; it has no type of its own for that.
    """
    drawn = graph.get_graph(xray=True)
    ids = _ids(drawn.nodes)
    nodes = {ids[key]: node._replace(id=ids[key], name=_label(node.name)) for key, node in drawn.nodes.items()}
    edges = [_edge(edge, ids) for edge in drawn.edges]
    return Graph(nodes=nodes, edges=edges).draw_mermaid()


def _label(text: str) -> str:
    return _OPEN_TO_MERMAID.sub(lambda found: f"#{ord(found[0])};", text)


def _edge(edge: Edge, ids: dict[str, str]) -> Edge:
    data = None if edge.data is None else _label(str(edge.data))
    return edge._replace(source=ids[edge.source], target=ids[edge.target], data=data)


def _ids(nodes: Iterable[str]) -> dict[str, str]:
    """Ids by LangGraph's key of a node: names of subgraphs around it and its own, with colons between. A subgraph's
    name is drawn as it stands in the key.
    """
    parts: dict[str, str] = {}
    for key in nodes:
        for part in key.split(":"):
            if part not in parts:
                plain = _NO_ID.sub("_", part)
                plain += "_" if plain.lower() in _WORDS else ""
                taken = set(parts.values())
                parts[part] = plain if plain not in taken else f"{plain}_{len(taken)}"
    return {key: ":".join(parts[part] for part in key.split(":")) for key in nodes}
