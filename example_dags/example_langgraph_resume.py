"""An agent asks before it acts, and another task answers: here a rule of the DAG.

The graph `approval` asks whether to buy, and ends its first request with that question. No slot is held between the
question and its answer, however long that takes.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Param, dag, task

from airflow_provider_langgraph.operators.langgraph import LangGraphTriggerOperator
from airflow_provider_langgraph.operators.resume import LangGraphResumeOperator


# [START example_langgraph_resume]
@dag(
    schedule=None,
    catchup=False,
    tags=["example", "langgraph"],
    doc_md=__doc__,
    params={"order": Param("10 ACME", type="string"), "limit": Param(100, type="integer")},
)
def example_langgraph_resume() -> None:
    """Ask, decide, answer."""
    ask = LangGraphTriggerOperator(
        task_id="ask",
        graph="approval",
        input={"order": "{{ params.order }}"},
        timeout=timedelta(minutes=5),
        on_interrupt="return",  # the task's return value is the question
    )

    @task
    def decide(question: dict[str, Any], params: dict[str, Any] | None = None) -> str:
        """What the DAG answers. The question is text: `question["questions"][0]["question"]`."""
        pieces = int((params or {})["order"].split()[0])
        return "yes" if pieces <= (params or {})["limit"] else "no"

    LangGraphResumeOperator(
        task_id="answer",
        question=ask.output,
        answer=decide(ask.output),
        answered_by="the limit of {{ dag.dag_id }}",
        timeout=timedelta(minutes=5),
    )


example_langgraph_resume()
# [END example_langgraph_resume]
