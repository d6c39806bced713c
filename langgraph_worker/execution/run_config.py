"""The config that a graph runs with."""

from __future__ import annotations

from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.pregel import Pregel

from langgraph_worker.domain.models import Claim
from langgraph_worker.execution.recursion_limits import RecursionLimit
from langgraph_worker.execution.run_values import RunValues
from langgraph_worker.idempotency import RUN_MARK


def run_config(claim: Claim, values: RunValues) -> RunnableConfig:
    """The event may choose a model, tags and values. The thread and the metadata are the worker's.

    Names and ids are where LangGraph's server has them: nodes, traces and ``runtime.server_info`` read them there.
    Graphs that nodes call inherit the metadata, also on threads and savers of their own. A ``run_id`` in it would let
    LangGraph take a second call of such a graph for a re-entry into the first (rule 19), and LangGraph itself copies
    that of ``configurable`` there, unless the metadata has one: so it has None, which is no run's and is not stored.
    """
    names = {"graph_id": claim.graph, "assistant_id": str(values.assistant_id)}
    own = {"thread_id": claim.thread_id, "run_id": str(claim.logical_run), RUN_MARK: str(claim.logical_run)}
    return {
        "configurable": values.configurable() | names | own,
        "metadata": {
            **names,
            "run_id": None,
            "logical_run": str(claim.logical_run),
            "correlation_id": str(claim.correlation_id),
            **_thread_name(claim),
            "workflow_id": claim.event.workflow_id,
            "workflow_run_id": claim.event.workflow_run_id,
        },
        "tags": list(claim.event.config.tags),
    }


def _thread_name(claim: Claim) -> dict[str, str]:
    return {} if claim.thread_name is None else {"thread_name": claim.thread_name}


def set_limits(config: RunnableConfig, claim: Claim, graph: Pregel[Any], limit: RecursionLimit) -> None:
    """Set how far a run goes, and how many of its nodes run at once: what the graph itself sets, or less."""
    config["recursion_limit"] = limit.steps
    asked, own = claim.event.config.max_concurrency, (graph.config or {}).get("max_concurrency")
    if asked is not None:
        config["max_concurrency"] = min(asked, own or asked)
