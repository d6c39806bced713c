"""What ends an agent early, and what a retry pays again: two independent parts.

`errand` starts an agent and does not wait for it. `decide` finds that it is not wanted any more, so `cancel` ends it.
`retried` asks an agent whose second node fails once: the task's retry goes on behind the first node.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Param, dag, task

from airflow_provider_langgraph.operators.cancel import LangGraphCancelOperator
from airflow_provider_langgraph.operators.langgraph import LangGraphTriggerOperator
from airflow_provider_langgraph.sensors.langgraph import LangGraphResultSensor


# [START example_langgraph_cancel_and_retry]
@dag(
    schedule=None,
    catchup=False,
    tags=["example", "langgraph"],
    doc_md=__doc__,
    params={
        "budget": Param(10, type="integer"),
        "price": Param(12, type="integer"),
        "seconds": Param(600, type="number", description="How long the errand takes, if it is not cancelled"),
    },
)
def example_langgraph_cancel_and_retry() -> None:
    """Cancel one agent, and retry another one."""
    errand = LangGraphTriggerOperator(
        task_id="errand",
        graph="errand",
        input={"item": "a piano", "seconds": "{{ params.seconds }}"},
        timeout=timedelta(minutes=15),
        wait_for_completion=False,
    )

    @task.short_circuit(ignore_downstream_trigger_rules=False)
    def decide(params: dict[str, Any] | None = None) -> bool:
        """Whether the errand has become too expensive; if not, the cancel is skipped."""
        return bool((params or {})["price"] > (params or {})["budget"])

    cancel = LangGraphCancelOperator(
        task_id="cancel",
        handle=errand.output,
        reason="{{ params.price }} is more than {{ params.budget }}",
    )
    # Skipped once the agent is cancelled. Without soft_fail it would fail with RunCancelled.
    result = LangGraphResultSensor(task_id="result", handle=errand.output, soft_fail=True, trigger_rule="none_failed")
    errand >> decide() >> cancel >> result

    LangGraphTriggerOperator(
        task_id="retried",
        graph="errand",
        input={"item": "a cake", "closed_doors": 1},
        timeout=timedelta(minutes=5),
        retries=2,
        retry_delay=timedelta(seconds=1),
        on_retry="resume",  # the default; with "restart" the cake would be bought twice
    )


example_langgraph_cancel_and_retry()
# [END example_langgraph_cancel_and_retry]
