"""Who is asking: the identity of one try of one Airflow task, read from its context."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID, uuid4

from airflow.providers.common.compat.sdk import Variable, conf

from workflow_events.identity import task_key
from workflow_events.models import Attempt

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

log = logging.getLogger(__name__)

DEPLOYMENT_VARIABLE = "langgraph_deployment"
RETURNED_KEY = "langgraph_returned"


def deployment() -> str:
    """The name of this Airflow installation: ``[langgraph] deployment``, else a random one that a Variable keeps.

    Workers that serve several installations tell their tasks apart by it, so it must not change while tasks run.
    """
    configured = str(conf.get("langgraph", "deployment", fallback="")).strip()
    if configured:
        return configured
    kept = Variable.get(DEPLOYMENT_VARIABLE, default=None)
    if not kept:
        Variable.set(
            DEPLOYMENT_VARIABLE, str(uuid4()), description="Names this Airflow to LangGraph workers; never change it."
        )
        # Read back: of two tasks that get here at once, the one that wrote last has named us.
        kept = Variable.get(DEPLOYMENT_VARIABLE)
    return str(kept)


def attempt_of(
    context: Context,
    *,
    on_retry: Literal["resume", "restart"] = "resume",
    on_clear: Literal["restart", "resume"] = "restart",
) -> Attempt:
    """The attempt that a task's context describes."""
    ti = context["ti"]
    installation = deployment()
    map_index = -1 if ti.map_index is None else ti.map_index
    return Attempt(
        task=task_key(installation, ti.dag_id, ti.run_id, ti.task_id, map_index),
        deployment=installation,
        id=UUID(str(ti.id)),
        try_number=ti.try_number,
        max_tries=ti.max_tries or 0,
        run_start=context["dag_run"].start_date,
        returned=_has_returned(context),
        on_retry=on_retry,
        on_clear=on_clear,
    )


def note_returned(context: Context) -> None:
    """Remember, beyond this try, that the task has its result: whatever runs it again is a clear, not a retry.

    Kept in Airflow's task state store (3.3 and newer); older versions have none, and a clear is told from a retry by
    ``max_tries`` and the DAG run's start alone.
    """
    store = _state_store(context)
    if store is not None:
        store.set(RETURNED_KEY, True)


def _has_returned(context: Context) -> bool:
    store = _state_store(context)
    return bool(store.get(RETURNED_KEY)) if store is not None else False


def _state_store(context: Context) -> Any:
    return context.get("task_state_store") if isinstance(context, Mapping) else None
