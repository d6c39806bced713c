"""Tasks whose input a function makes. Each call of it is noted in the run's folder."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, task

with DAG("decorated"):

    @task.langgraph(graph="ledger", timeout=timedelta(minutes=3), defer_after=0, retries=1)
    def agent(dag_run: Any) -> dict[str, str]:
        folder = Path(dag_run.conf["folder"])
        with (folder / "calls").open("a") as calls:
            calls.write("called\n")
        return {"folder": str(folder), "name": "{{ dag_run.run_id }}"}

    agent()
