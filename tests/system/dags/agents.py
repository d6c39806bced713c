"""DAGs of the system tests. What each run does comes with its conf, so that runs do not meet."""

from __future__ import annotations

import json
from datetime import timedelta

from airflow.sdk import DAG, task

from airflow_provider_langgraph.operators.langgraph import LangGraphTriggerOperator

INPUT = {"folder": "{{ dag_run.conf['folder'] }}", "name": "{{ dag_run.conf.get('name', '') }}"}


def ask(**arguments):
    return LangGraphTriggerOperator(
        **{"task_id": "agent", "graph": "ledger", "input": INPUT, "timeout": timedelta(minutes=3)} | arguments
    )


with DAG("deferred"):
    ask(defer_after=0)

with DAG("by_default"):
    ask()

with DAG("retried"):
    ask(retries=1, retry_delay=timedelta(seconds=1))

with DAG("blocking"):
    ask(deferrable=False)

with DAG("unawaited"):
    ask(wait_for_completion=False)

with DAG("impatient"):
    ask(timeout=timedelta(seconds=3))

with DAG("misdirected"):
    ask(fleet={"events": "no-such-topic"})

with DAG("unknown_graph"):
    ask(graph="no-such-graph")

HOSTILE = {"folder": "{{ dag_run.conf['folder'] }}", "kind": "{{ dag_run.conf['kind'] }}"}

with DAG("hostile"):
    ask(graph="hostile", input=HOSTILE, retries=1, retry_delay=timedelta(seconds=1))

with DAG("hostile_as_text"):

    @task
    def read(result):
        return f"{type(result).__name__}: {json.loads(result)['answer']}"

    read(ask(graph="hostile", input=HOSTILE, result_format="text").output)

with DAG("not_json"):

    @task
    def prepare():
        return {"folder": "x", "when": timedelta(days=1)}

    ask(input=prepare())

with DAG("mapped"):

    @task
    def inputs(**context):
        return [{"folder": context["dag_run"].conf["folder"], "name": f"n{number}"} for number in range(4)]

    LangGraphTriggerOperator.partial(task_id="agent", graph="ledger", timeout=timedelta(minutes=3)).expand(
        input=inputs()
    )
