"""A key for what a node does to the outside world, for graphs that must not do it twice."""

from __future__ import annotations

import json
from uuid import UUID, uuid5

from langchain_core.runnables import RunnableConfig
from langgraph.config import get_config

__all__ = ["idempotency_key"]

RUN_MARK = "__logical_run"
"""In the ``configurable`` of a run: its logical run. LangGraph keeps what begins so out of the metadata."""

_NAMESPACE = UUID("3b2f7f0d-7b0a-5c56-9d3a-5a5f0c9d2f4e")


def idempotency_key(config: RunnableConfig | None = None) -> str:
    """The key of the node execution that calls this. Pass it to what must happen once (a payment, an order, a mail).

    A node that was in flight when its worker died runs again, and so does one that failed and is retried: with the
    same key. The key is the logical run's (the same over Airflow's retries, another after a clear), the superstep's,
    the node's, and where one node runs several times in a superstep (``Send``), the execution's. A node that makes
    several such calls appends a name of its own to each.

    A graph that a node calls with a ``thread_id`` or a ``checkpoint_ns`` has no keys: nothing there says which call it
    is, and a retry calls it from its beginning. The node that calls it asks for its key, and hands it on.

    :param config: what LangGraph passes to a node that takes a ``config``; needed only where Python's context does not
        reach, such as a thread of the node's own.
    :returns: 36 characters, a UUID.
    :raises RuntimeError: called outside of a node, or in a graph that has no keys.
    """
    given = get_config() if config is None else config
    metadata = given.get("metadata") or {}
    # LangGraph sets these for every node. logical_run is the worker's; without a worker the thread stands in for it.
    run = metadata.get("logical_run") or metadata.get("run_id") or metadata.get("thread_id")
    namespace = metadata.get("langgraph_checkpoint_ns")
    if run is None or namespace is None:
        raise RuntimeError("an idempotency key belongs to a node: ask for it there, or hand in the node's config")
    if not _has_the_runs_place(given):
        raise RuntimeError(
            "no idempotency key: this graph was called with a thread_id or a checkpoint_ns, so nothing tells one call "
            "of it from another; ask for it in the node that calls the graph, and hand it on with the graph's input"
        )
    outer_namespace, _, _ = str(namespace).rpartition("|")
    execution = [
        str(run),
        outer_namespace,
        metadata["langgraph_step"],
        metadata["langgraph_node"],
        repr(metadata["langgraph_path"]),
    ]
    return str(uuid5(_NAMESPACE, json.dumps(execution)))


def _has_the_runs_place(config: RunnableConfig) -> bool:
    """Whether a node's graph is the run's own, or was called without a place of its own: LangGraph drops the
    ``configurable`` of the node around from a call that names one, but not the metadata.
    """
    metadata, configurable = config.get("metadata") or {}, config.get("configurable") or {}
    is_marked = configurable.get(RUN_MARK) == metadata.get("logical_run")  # without a worker: neither
    return is_marked and configurable.get("thread_id") == metadata.get("thread_id")
