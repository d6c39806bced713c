"""One conversation over many DAG runs: each run asks one more question on its customer's thread.

The graph `conversation` keeps what is said on the thread, so each turn sees the turns before it. Start the DAG again
with another question, and its answer names the question of this run. Runs of one customer that are started at once
take their turns one after the other.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Param, dag, task

from airflow_provider_langgraph.operators.langgraph import LangGraphTriggerOperator


# [START example_langgraph_conversation]
@dag(
    schedule=None,
    catchup=False,
    tags=["example", "langgraph"],
    doc_md=__doc__,
    params={
        "customer": Param("ann", type="string", minLength=1),
        "question": Param("Where is my order?", type="string"),
    },
)
def example_langgraph_conversation() -> None:
    """Ask the next question."""
    turn = LangGraphTriggerOperator(
        task_id="turn",
        graph="conversation",
        thread_id="customer-{{ params.customer }}",
        input={"messages": [{"role": "user", "content": "{{ params.question }}"}]},
        timeout=timedelta(minutes=5),
        retries=2,  # a retry goes on with this turn; clearing the task asks once more
        retry_delay=timedelta(seconds=10),
    )

    @task
    def show(turn: dict[str, Any]) -> str:
        """What the graph says, and which turn it was."""
        return f"{turn['turn']}: {turn['answer']}"

    show(turn.output)


example_langgraph_conversation()
# [END example_langgraph_conversation]
