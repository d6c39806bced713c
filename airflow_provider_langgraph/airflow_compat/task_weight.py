"""The effective weight of a task, by which Airflow orders what waits for a slot: workers order runs by it, too.

Airflow's scheduler computes it, and a task's process does not get it (3.1 to 3.3). So it is computed again, from the
DAG that the process has read anyway, by the same rules.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

logger = logging.getLogger(__name__)

_LOWEST, _HIGHEST = -(2**31), 2**31 - 1
"""What Airflow's database stores; Airflow cuts weights in the same way."""

_USUAL = 1
"""Airflow's default."""


def effective_weight(context: Context) -> int:
    """The task's ``priority_weight`` by its ``weight_rule``: with those of all tasks downstream by default.

    The weight of a ``weight_rule`` of one's own that cannot be computed here is ``priority_weight`` alone.
    """
    task: Any = getattr(context["ti"], "task", None)
    if task is None:
        return _USUAL
    return max(_LOWEST, min(_HIGHEST, _weight(task, context["ti"])))


def _weight(task: Any, ti: Any) -> int:
    own, rule = int(task.priority_weight), task.weight_rule
    name = str(getattr(rule, "value", rule))
    if name in ("downstream", "upstream"):
        dag = task.get_dag()
        others = () if dag is None else task.get_flat_relative_ids(upstream=name == "upstream")
        return own + sum(int(dag.task_dict[other].priority_weight) for other in others)
    if not hasattr(rule, "get_weight"):
        return own
    try:
        return int(rule.get_weight(ti))
    except Exception as error:  # noqa: BLE001  (an author's code, which may need what only the scheduler has)
        text = "weight_rule %s cannot be computed in the task: %s. Workers take priority_weight alone, %d"
        logger.warning(text, type(rule).__name__, error, own)
        return own
