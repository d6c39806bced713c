"""LangGraph's config of one run."""

from __future__ import annotations

from typing import Any

from langchain_core.runnables import RunnableConfig

from langgraph_worker.domain.models import Claim
from langgraph_worker.idempotency import RUN_MARK
from langgraph_worker.telemetry.usage import UsageCounter


def run_config(claim: Claim, recursion_limit: int, usage: UsageCounter) -> RunnableConfig:
    """The event may choose a model, tags and values, and lower the limit of supersteps. The thread and the metadata are
    the worker's.

    Graphs that nodes call inherit the metadata, also on threads and savers of their own. So ``run_id`` is not in it:
    LangGraph would take a second call of such a graph for a re-entry into the first (rule 19).
    """
    asked = claim.event.config
    configurable: dict[str, Any] = dict(asked.configurable)
    if asked.model is not None:
        configurable["model"] = asked.model
    return {
        "configurable": configurable | {"thread_id": claim.thread_id, RUN_MARK: str(claim.logical_run)},
        "metadata": {
            "logical_run": str(claim.logical_run),
            "correlation_id": str(claim.correlation_id),
            **_thread_name(claim),
            "workflow_id": claim.event.workflow_id,
            "workflow_run_id": claim.event.workflow_run_id,
        },
        "tags": list(asked.tags),
        "recursion_limit": min(recursion_limit, asked.recursion_limit or recursion_limit),
        "callbacks": [usage],
    }


def _thread_name(claim: Claim) -> dict[str, str]:
    return {} if claim.thread_name is None else {"thread_name": claim.thread_name}
