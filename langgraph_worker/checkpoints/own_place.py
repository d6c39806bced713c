"""Which checkpoints a graph may use with a run's saver: those of the run's thread, in a namespace of its own."""

from __future__ import annotations

from langgraph.checkpoint.base import CheckpointMetadata

from langgraph_worker.errors import ForeignNamespaceError, ForeignThreadError


def require_own_thread(own: str, thread_id: object) -> None:
    """:raises ForeignThreadError: ``thread_id`` is another one, or None for all."""
    if thread_id is None or str(thread_id) != own:
        named = "all threads" if thread_id is None else f"thread {str(thread_id)!r}"
        raise ForeignThreadError(
            f"the saver of this run is for its thread {own!r}, but a node uses it for {named}: do not replace "
            "thread_id in a config that holds the node's own; a graph with another thread needs a checkpointer of "
            "its own and {'configurable': {'thread_id': ...}} alone as its config"
        )


def require_own_namespace(namespace: str, metadata: CheckpointMetadata) -> None:
    """A checkpoint names the graphs around its own by their namespaces.

    :raises ForeignNamespaceError: one of them has this namespace.
    """
    if namespace in (metadata.get("parents") or {}):
        around = "the run's own graph" if not namespace else f"the graph around it, {namespace!r}"
        raise ForeignNamespaceError(
            f"a graph inside of a node would write its checkpoints over those of {around}: do not replace "
            "checkpoint_ns in a config that holds the node's own"
        )
