"""DAGs of the system tests. What each run does comes with its conf, so that runs do not meet."""

from __future__ import annotations

import json
from datetime import date, timedelta
from decimal import Decimal

from airflow.sdk import DAG, task

from airflow_provider_langgraph.operators.langgraph import LangGraphTriggerOperator

INPUT = {"folder": "{{ dag_run.conf['folder'] }}", "name": "{{ dag_run.conf.get('name', '') }}"}


def ask(**arguments):
    return LangGraphTriggerOperator(
        **{"task_id": "agent", "graph": "ledger", "input": INPUT, "timeout": timedelta(minutes=3)} | arguments
    )


with DAG("deferred"):
    ask(defer_after=0)

with DAG("answered_soon"):
    ask(defer_after=120)

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

with DAG("asks"):
    ask(graph="asks", input={"ask": "Buy?"})

with DAG("not_json"):
    ask(input={"folder": "x", "when": timedelta})

with DAG("passed_on", render_template_as_native_obj=True):

    @task
    def name(number):
        return f"n{number}"

    @task
    def more():
        return {"day": date(2026, 11, 30), "price": Decimal("1.25"), "tags": {"b", "a"}, "pair": (1, 2)}

    ask(
        graph="echo",
        input={"task": "pass on", "names": name.expand(number=[1, 2]), "more": more()},
        thread_id="{{ dag_run.conf['thread'] }}",
        workflow_id="{{ 42 }}",
    )

with DAG("mapped"):

    @task
    def inputs(**context):
        return [{"folder": context["dag_run"].conf["folder"], "name": f"n{number}"} for number in range(4)]

    LangGraphTriggerOperator.partial(task_id="agent", graph="ledger", timeout=timedelta(minutes=3)).expand(
        input=inputs()
    )
