"""Which nodes a run has behind it, from the checkpoint that it goes on from."""

from __future__ import annotations

from langgraph.checkpoint.base import Checkpoint
from langgraph.constants import START

_OWN = "__"  # the beginning of LangGraph's own names


def finished_nodes(checkpoint: Checkpoint) -> list[str]:
    """The nodes of the graph itself that have finished since its latest input, in the order in which they began.

    Those of the superstep under way are not among them: what they have written is stored beside the checkpoint.
    """
    seen = {
        name: max(map(str, versions.values()), default="") for name, versions in checkpoint["versions_seen"].items()
    }
    since = seen.get(START, "")
    found = [(version, name) for name, version in seen.items() if version > since and not name.startswith(_OWN)]
    return [name for _, name in sorted(found)]
