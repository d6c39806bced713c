"""Tasks with several agents, which run until their gates open."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from airflow_provider_langgraph.operators.multi_agent import MultiAgentOperator

FOLDER = "{{ dag_run.conf['folder'] }}"


def agents(*names):
    return [{"name": name, "type": "witness", "input_data": {"folder": FOLDER, "name": name}} for name in names]


for mode in ("parallel", "sequential"):
    with DAG(f"team_{mode}"):
        MultiAgentOperator(
            task_id="agents",
            agents=agents("one", "two", "three"),
            orchestration_mode=mode,
            defer_after=0,
            timeout=timedelta(minutes=3),
        )
