"""DAGs of many tasks that wait at once, or of two that must not be taken for each other."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, task

from airflow_provider_langgraph.operators.langgraph import LangGraphTriggerOperator


def watch(name, **arguments):
    return LangGraphTriggerOperator(
        task_id=name, graph="witness", input={"folder": "{{ dag_run.conf['folder'] }}", "name": name}, **arguments
    )


with DAG("crowd"):

    @task
    def inputs(**context):
        return context["dag_run"].conf["inputs"]

    LangGraphTriggerOperator.partial(
        task_id="agent", graph="{{ dag_run.conf['graph'] }}", timeout=timedelta(hours=1), defer_after=0
    ).expand(input=inputs())

with DAG("pair"):
    watch("left", timeout=timedelta(minutes=10), defer_after=0)
    watch("right", timeout=timedelta(minutes=10), defer_after=0)

with DAG("hasty"):
    watch("agent", timeout=timedelta(seconds=10), defer_after=0)

with DAG("held"):
    watch("agent", deferrable=False, timeout=timedelta(minutes=10))

with DAG("slow_to_defer"):
    watch("agent", defer_after=timedelta(minutes=5), timeout=timedelta(minutes=10))

with DAG("quick_to_defer"):
    watch("agent", defer_after="{{ 0.5 }}", timeout=timedelta(minutes=10))
