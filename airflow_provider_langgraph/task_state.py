"""What Airflow says of a task instance's state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def state_in(states: Mapping[str, Mapping[str, Any]], ti: Any) -> str | None:
    """The state of a task instance; None if it has none, or is gone.

    :param states: Airflow's answer, by DAG run: it names a mapped task instance by its task and index.
    """
    is_mapped = ti.map_index is not None and ti.map_index >= 0
    state = states.get(ti.run_id, {}).get(f"{ti.task_id}_{ti.map_index}" if is_mapped else ti.task_id)
    return None if state is None else str(getattr(state, "value", state))
