"""What a trigger can find out about the triggerer that runs it, and ask Airflow from inside of it.

Airflow ends a trigger when its task was killed, cleared or marked, when the deferral timed out, when another triggerer
has taken over, and when the triggerer stops, and does not say why. What is used here to distinguish them was read from
the sources of Airflow 3.1.0 to 3.3.2, and seen with 3.1.0, 3.1.8, 3.2.2 and 3.3.2.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from typing import Any

from airflow_provider_langgraph.airflow_compat.task_state import state_in

# By event loop, the task in which Airflow runs all triggers; None where there is none, as in a test.
_runners: dict[asyncio.AbstractEventLoop, asyncio.Task[Any] | None] = {}


def find_runner() -> bool:
    """Find the task that runs all triggers of this event loop. True if it was found, and not known before."""
    loop = asyncio.get_running_loop()
    if loop in _runners:
        return False
    for closed in [other for other in _runners if other.is_closed()]:
        del _runners[closed]
    runners = [task for task in asyncio.all_tasks() if name_of(task) == "TriggerRunner.arun"]
    _runners[loop] = runners[0] if runners else None
    return bool(runners)


def is_running() -> bool:
    """Whether the triggerer goes on: it was found, and has not been asked to stop."""
    runner = _runners.get(asyncio.get_running_loop())
    return runner is not None and not runner.done()


def is_cancelled_from_outside() -> bool:
    """In ``except CancelledError``: whether the triggerer, which goes on, has ended this trigger."""
    task = asyncio.current_task()
    # When the triggerer stops, it may also cancel what a trigger awaits; then the trigger itself is not cancelled.
    return task is not None and task.cancelling() > 0 and is_running()


async def ask_state(task_instance: Any) -> str | None:
    """The state that Airflow has for a task instance now; None if it is gone.

    Must not be cancelled before it is answered: before Airflow 3.2.2 that would cost the next question its answer.

    :raises Exception: Airflow does not answer; any exception of its client.
    """
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import GetTaskStates

    ti = task_instance
    question = GetTaskStates(dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=ti.map_index)
    answer = await task_runner.SUPERVISOR_COMMS.asend(question)
    states = getattr(answer, "task_states", None)
    if states is None:
        raise RuntimeError(f"Airflow answers {type(answer).__name__}")
    return state_in(states, ti)


async def allow_synchronous_calls() -> None:
    """Let synchronous code in this task ask Airflow, as Airflow does it for each trigger's own task.

    Google's provider needs it: it asks for its connection synchronously.
    """
    if os.environ.get("AIRFLOW_DISABLE_GREENBACK_PORTAL", "").lower() == "true":
        return
    with suppress(ImportError):
        import greenback

        await greenback.ensure_portal()


def name_of(task: asyncio.Task[Any]) -> str:
    """The qualified name of the function that a task runs."""
    return str(getattr(task.get_coro(), "__qualname__", ""))
