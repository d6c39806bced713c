"""DAGs whose graphs ask a person, and wait for the answer in Airflow."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, task

from airflow_provider_langgraph.operators.langgraph import LangGraphTriggerOperator
from airflow_provider_langgraph.operators.resume import LangGraphResumeOperator

ORDER = {"symbol": "ACME", "pieces": 10}


def trade(**arguments):
    return LangGraphTriggerOperator(
        **{
            "task_id": "trade",
            "graph": "trade",
            "input": ORDER,
            "timeout": timedelta(minutes=10),
            "on_interrupt": "ask",
        }
        | arguments
    )


with DAG("traded"):
    trade(retries=1, retry_delay=timedelta(seconds=1))

with DAG("gated"):
    trade(
        task_id="ask",
        graph="gated_question",
        input={"folder": "{{ dag_run.conf['folder'] }}", "name": "ask"},
        defer_after=0,
    )

with DAG("traded_blocking"):
    trade(deferrable=False)

with DAG("traded_for_others"):
    trade(assigned_users={"id": "nobody-here", "name": "Nobody"})

with DAG("traded_too_late"):
    trade(answer_timeout=timedelta(seconds=2), on_answer_timeout="reject")

with DAG("never_answered"):
    trade(answer_timeout=timedelta(seconds=2), retries=3)

with DAG("asked_by_another"):
    asked = trade(on_interrupt="return")
    LangGraphResumeOperator(
        task_id="answer",
        question=asked.output,
        answer={"decisions": [{"type": "edit", "edited_action": {"name": "buy", "args": {"pieces": 5}}}]},
        timeout=timedelta(minutes=10),
        on_interrupt="ask",
    )

with DAG("people"):

    @task
    def orders(**context):
        return [{"symbol": f"S{number}", "pieces": number} for number in range(context["dag_run"].conf["count"])]

    LangGraphTriggerOperator.partial(
        task_id="trade", graph="trade", timeout=timedelta(hours=1), on_interrupt="ask", defer_after=60
    ).expand(input=orders())
