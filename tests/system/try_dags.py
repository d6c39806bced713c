"""``python try_dags.py DAG…``: ``airflow dags test`` for one DAG after the other, each in a process of its own.

What they import takes longer than most of them run. So it is imported once, and each is a fork.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
from collections.abc import Mapping

ENDED = "=== ended"
"""How a line begins that says how a DAG's command ended: its name and its exit status follow."""

_NEEDED = (
    "airflow.__main__",
    "airflow.cli.commands.dag_command",
    "airflow.dag_processing.dagbag",
    "airflow.sdk.execution_time.supervisor",
    "airflow.sdk.execution_time.task_runner",
    "airflow_provider_langgraph.operators.langgraph",
    "airflow_provider_langgraph.decorators.langgraph",
)


def outputs(text: str) -> Mapping[str, tuple[int, str]]:
    """Exit status and output of each DAG's command."""
    found: dict[str, tuple[int, str]] = {}
    lines: list[str] = []
    for line in text.splitlines(keepends=True):
        if line.startswith(ENDED):
            _, _, dag_id, status = line.split()
            found[dag_id] = int(status), "".join(lines)
            lines = []
        else:
            lines.append(line)
    return found


def _try(dag_id: str) -> int:
    """The exit status."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    sys.argv = ["airflow", "dags", "test", dag_id]
    sys.modules["airflow.__main__"].main()
    sys.exit(0)


def _main() -> None:
    for name in _NEEDED:
        importlib.import_module(name)
    gc.freeze()
    for dag_id in sys.argv[1:]:
        sys.stdout.write(f"{ENDED} {dag_id} {_try(dag_id)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _main()
