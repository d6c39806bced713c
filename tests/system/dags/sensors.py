"""DAGs whose answers are awaited by other tasks than those that ask."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, task

from airflow_provider_langgraph.operators.langgraph import LangGraphTriggerOperator
from airflow_provider_langgraph.sensors.langgraph import LangGraphResultSensor

ASK = {"task_id": "ask", "timeout": timedelta(minutes=3), "wait_for_completion": False}

with DAG("sensed"):
    asked = LangGraphTriggerOperator(
        graph="witness", input={"folder": "{{ dag_run.conf['folder'] }}", "name": "ask"}, **ASK
    )
    LangGraphResultSensor(task_id="onlooker", handle=asked.output, defer_after=0)
    LangGraphResultSensor(task_id="owner", handle=asked.output, defer_after=0, cancel_on_kill=True)

with DAG("sensed_each"):

    @task
    def inputs(**context):
        return [{"task": f"n{number}"} for number in range(3)]

    each = LangGraphTriggerOperator.partial(graph="echo", **ASK).expand(input=inputs())
    LangGraphResultSensor.partial(task_id="answer", output_schema=dict[str, str]).expand(handle=each.output)
