"""A name for what a node does to the outside world, for graphs that must not do it twice."""

from __future__ import annotations

import json
from uuid import UUID, uuid5

from langchain_core.runnables import RunnableConfig
from langgraph.config import get_config

_NAMESPACE = UUID("3b2f7f0d-7b0a-5c56-9d3a-5a5f0c9d2f4e")


def idempotency_key(config: RunnableConfig | None = None) -> str:
    """The key of the node execution that asks: hand it to whatever must happen once (a payment, an order, a mail).

    A node that was in flight when its worker died runs again, and so does one that failed and is retried: with the
    same key. The key is the logical run's (the same over Airflow's retries, another after a clear), the superstep's,
    the node's, and where one node runs several times in a superstep (``Send``), the execution's. A node that makes
    several such calls appends a name of its own to each.

    :param config: what LangGraph passes to a node that takes a ``config``; needed only where Python's context does not
        reach, such as a thread of the node's own.
    :returns: 36 characters, a UUID.
    :raises RuntimeError: called outside of a node.
    """
    metadata = (get_config() if config is None else config).get("metadata") or {}
    # Set by LangGraph for every node; run_id by the worker, elsewhere the thread has to do.
    run = metadata.get("run_id") or metadata.get("thread_id")
    namespace = metadata.get("langgraph_checkpoint_ns")
    if run is None or namespace is None:
        raise RuntimeError("an idempotency key belongs to a node: ask for it there, or hand in the node's config")
    within, _, _ = str(namespace).rpartition("|")
    place = [str(run), within, metadata["langgraph_step"], metadata["langgraph_node"], repr(metadata["langgraph_path"])]
    return str(uuid5(_NAMESPACE, json.dumps(place)))
