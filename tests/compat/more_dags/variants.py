"""Tasks that differ in one thing from those of the system tests."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from airflow_provider_langgraph.operators.langgraph import LangGraphTriggerOperator


def watch(**arguments):
    return LangGraphTriggerOperator(
        task_id="agent",
        graph="witness",
        input={"folder": "{{ dag_run.conf['folder'] }}", "name": "agent"},
        timeout=timedelta(minutes=10),
        **arguments,
    )


with DAG("blocked"):
    watch(deferrable=False)

with DAG("stored"):
    watch(kafka_config_id="kafka_stored", defer_after=0)
