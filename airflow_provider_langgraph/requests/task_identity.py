"""The identity of one try of one Airflow task, read from its context."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID, uuid4

from airflow.providers.common.compat.sdk import Variable, conf

from workflow_events.identity import task_key
from workflow_events.models import Attempt

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

DEPLOYMENT_VARIABLE = "langgraph_deployment"

# Keys of Airflow's task state store (3.3 and newer), which outlives a task's tries and is wiped with its DAG run.
DEPLOYMENT_KEY = "langgraph_deployment"
RETURNED_KEY = "langgraph_returned"
ANSWERS_KEY = "langgraph_answers"


def deployment(context: Context) -> str:
    """The name of this Airflow installation: ``[langgraph] deployment``, else a random one that a Variable keeps.

    Workers that serve several installations distinguish their tasks by it, so it must not change while tasks run. When
    two tasks draw the first name at once, one of the names is replaced later; so a task also keeps the name that it
    used, where it can. With the option set, no name is drawn.
    """
    configured = str(conf.get("langgraph", "deployment", fallback="")).strip()
    if configured:
        return configured
    store = _state_store(context)
    kept = store.get(DEPLOYMENT_KEY) if store is not None else None
    if not kept:
        kept = Variable.get(DEPLOYMENT_VARIABLE, default=None) or _drawn()
        if store is not None:
            _keep(store, DEPLOYMENT_KEY, str(kept))
    return str(kept)


def _drawn() -> str:
    what = "Names this Airflow to LangGraph workers; never change it."
    Variable.set(DEPLOYMENT_VARIABLE, str(uuid4()), description=what)
    return str(Variable.get(DEPLOYMENT_VARIABLE))


def attempt_of(
    context: Context,
    *,
    on_retry: Literal["resume", "restart"] = "resume",
    on_clear: Literal["restart", "resume"] = "restart",
) -> Attempt:
    """The attempt that a task's context describes."""
    ti = context["ti"]
    installation = deployment(context)
    map_index = -1 if ti.map_index is None else ti.map_index
    return Attempt(
        task=task_key(installation, ti.dag_id, ti.run_id, ti.task_id, map_index, _loop_index(context)),
        deployment=installation,
        id=UUID(str(ti.id)),
        try_number=ti.try_number,
        max_tries=ti.max_tries or 0,
        run_start=context["dag_run"].start_date,
        returned=_has_returned(context),
        on_retry=on_retry,
        on_clear=on_clear,
    )


def _loop_index(context: Context) -> int | None:
    """The iteration of the task loop that a task is in; None outside of loops, and in Airflows that have none.

    Each iteration counts its tries anew: without it the second one would be taken for a late try of the first.
    """
    loop: Any = context.get("loop")
    return None if loop is None else int(loop.index)


def note_returned(context: Context) -> None:
    """Remember, beyond this try, that the task has its result: the try that comes next is a clear, not a retry.

    Kept in Airflow's task state store (3.3 and newer); older versions have none, and a clear differs from a retry by
    ``max_tries`` and the DAG run's start alone.
    """
    store = _state_store(context)
    if store is not None:
        _keep(store, RETURNED_KEY, {"by": str(context["ti"].id)})


def answers_given(context: Context, round: int) -> int:  # noqa: A002
    """How many answers of people this task has sent, in all of its tries.

    :param round: how many this try has sent: all that is known where Airflow has no task state store, before 3.3.
    """
    store = _state_store(context)
    kept = store.get(ANSWERS_KEY) if store is not None else None
    return kept if isinstance(kept, int) else round


def note_answers(context: Context, count: int) -> None:
    """Remember how many answers this task has sent: see :func:`answers_given`."""
    store = _state_store(context)
    if store is not None:
        _keep(store, ANSWERS_KEY, count)


def _has_returned(context: Context) -> bool:
    """Whether this try is the one that follows a returned result; the tries after it are its retries."""
    store = _state_store(context)
    noted = store.get(RETURNED_KEY) if store is not None else None
    this = str(context["ti"].id)
    if not isinstance(noted, dict) or noted.get("by") == this:
        return False
    if noted.get("next") is None:
        _keep(store, RETURNED_KEY, noted | {"next": this})
        return True
    return bool(noted["next"] == this)


def _state_store(context: Context) -> Any:
    return context.get("task_state_store")


def _keep(store: Any, key: str, value: Any) -> None:
    # Only an Airflow that has a store has the name. Without it the value would be gone after 30 days.
    from airflow.sdk.execution_time.context import NEVER_EXPIRE

    store.set(key, value, retention=NEVER_EXPIRE)
