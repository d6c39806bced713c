"""``airflow dags test``: a task and its trigger run in one process, one after the other.

There is no scheduler and no triggerer, and the supervisor is a stand-in that has no asynchronous calls (read from the
sources of Airflow 3.3.2): ``aget_connection`` finds no connection of Airflow's database there, ``get_connection`` does.
"""

from __future__ import annotations

import sys


def is_dags_test() -> bool:
    """Whether ``airflow dags test``, or another caller of ``dag.test()``, runs a task or a trigger in this process."""
    runner = sys.modules.get("airflow.sdk.execution_time.task_runner")
    return type(getattr(runner, "SUPERVISOR_COMMS", None)).__name__ == "InProcessSupervisorComms"
