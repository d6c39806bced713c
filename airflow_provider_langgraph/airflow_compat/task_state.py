"""The state that Airflow has for a task instance."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

log = logging.getLogger(__name__)

# States that a running task gets from outside only. The unfinished states are set by Airflow itself.
_ENDED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed", "restarting"})


def has_ended(ti: Any) -> bool:
    """Whether the task that runs this was killed, cleared or marked; False too if Airflow does not answer.

    Asked in the task's own process.
    """
    map_index = -1 if ti.map_index is None else ti.map_index
    try:
        found = ti.get_task_states(ti.dag_id, map_index=map_index, task_ids=[ti.task_id], run_ids=[ti.run_id])
    except Exception as error:  # noqa: BLE001 - then on_kill alone reports a kill
        log.debug("Cannot ask for the task's state: %s", error)
        return False
    return state_in(found, ti) in _ENDED


def state_in(states: Mapping[str, Mapping[str, Any]], ti: Any) -> str | None:
    """The state of a task instance; None if it has none, or is gone.

    :param states: Airflow's answer, by DAG run: it names a mapped task instance by its task and index.
    """
    is_mapped = ti.map_index is not None and ti.map_index >= 0
    state = states.get(ti.run_id, {}).get(f"{ti.task_id}_{ti.map_index}" if is_mapped else ti.task_id)
    return None if state is None else str(getattr(state, "value", state))
