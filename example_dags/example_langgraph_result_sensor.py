"""Ask an agent, work meanwhile, and decide at the end: wait for its answer, or cancel it.

`ask` publishes a request to the graph `echo` and ends: its return value is the request's handle. `other_work` runs
while the agent does. `decide` then either lets `answer` wait for the agent, or `cancel` end it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Param, dag, task
from pydantic import BaseModel

from airflow_provider_langgraph.operators.cancel import LangGraphCancelOperator
from airflow_provider_langgraph.operators.langgraph import LangGraphTriggerOperator
from airflow_provider_langgraph.sensors.langgraph import LangGraphResultSensor


# [START example_langgraph_result_sensor]
class Answer(BaseModel):
    """What the DAG needs of the graph's final state."""

    answer: str


@dag(
    schedule=None,
    catchup=False,
    tags=["example", "langgraph"],
    doc_md=__doc__,
    params={
        "task": Param("say hello", type="string"),
        "still_wanted": Param(True, type="boolean", description="Whether the answer is still wanted after other work"),
    },
)
def example_langgraph_result_sensor() -> None:
    """Publish, work, then wait or cancel."""
    ask = LangGraphTriggerOperator(
        task_id="ask",
        graph="echo",
        input={"task": "{{ params.task }}"},
        timeout=timedelta(minutes=10),  # also of those that wait for it
        wait_for_completion=False,
    )

    @task
    def other_work() -> int:
        """Whatever the DAG has to do while the agent works."""
        return sum(range(1000))

    @task.branch
    def decide(params: dict[str, Any] | None = None) -> str:
        """Which of the two tasks comes next; the other one is skipped."""
        return "answer" if (params or {})["still_wanted"] else "cancel"

    answer = LangGraphResultSensor(task_id="answer", handle=ask.output, output_schema=Answer)
    cancel = LangGraphCancelOperator(task_id="cancel", handle=ask.output, reason="the answer is not wanted any more")

    @task
    def report(answer: dict[str, str]) -> str:
        """The answer, validated."""
        return str(answer["answer"])

    ask >> other_work() >> decide() >> [answer, cancel]
    report(answer.output)


example_langgraph_result_sensor()
# [END example_langgraph_result_sensor]
