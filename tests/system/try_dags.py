"""``python try_dags.py DAG…``: ``airflow dags test`` for one DAG after the other, each in a process of its own.

What they import, and Airflow's API for tasks, which each makes for itself, take longer than most of them run. So both
are made once, and each is a fork.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import os
import sys
from collections.abc import Mapping

import httpx

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


async def _make_api() -> None:
    """Of the whole process. It makes its versions when it is asked for the first time, for whatever."""
    from airflow.sdk.execution_time.supervisor import in_process_api_server

    async with httpx.AsyncClient(transport=in_process_api_server().atransport, base_url="http://api") as client:
        await client.get("/nothing")


def _main() -> None:
    for name in _NEEDED:
        importlib.import_module(name)
    asyncio.run(_make_api())
    gc.freeze()
    for dag_id in sys.argv[1:]:
        sys.stdout.write(f"{ENDED} {dag_id} {_try(dag_id)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _main()
