"""The column ``lineages.nodes``: the names of a graph's nodes at every depth, as workers of the version before read it.

Those know only the names of the graph itself, and end a run if the column has another one. They read an object's keys
as the items of a list.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from langgraph_worker.domain.models import NODE_SEPARATOR

StoredNames = Mapping[str, list[str]] | list[str]
"""Each node of the graph with the names of what is in it; or a list, of a worker that knows no others."""


def stored_names(names: Collection[str]) -> dict[str, list[str]]:
    """What is kept of the names, sorted."""
    kept: dict[str, list[str]] = {}
    for name in sorted(names):
        outermost, separator, _ = name.partition(NODE_SEPARATOR)
        kept.setdefault(outermost, []).extend([name] if separator else [])
    return kept


def names_in(stored: StoredNames) -> frozenset[str]:
    """The names that are kept."""
    inner = stored.values() if isinstance(stored, Mapping) else ()
    return frozenset(stored).union(*inner)
