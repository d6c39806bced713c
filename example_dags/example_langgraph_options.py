"""Three other ways to run a graph: templated and retried, on a slot of its own, and without waiting.

All three use the graph `echo`, which answers with the text it is sent. They ask the fleet of workers that Airflow's
configuration names, `[langgraph] fleet`; with `fleet="risk"` an operator asks another one.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import Param, dag

from airflow_provider_langgraph.operators.langgraph import LangGraphTriggerOperator


# [START example_langgraph_options]
@dag(
    schedule=None,
    catchup=False,
    tags=["example", "langgraph"],
    doc_md=__doc__,
    params={"task": Param("say hello", type="string")},
)
def example_langgraph_options() -> None:
    """Independent tasks, one for each way."""
    LangGraphTriggerOperator(
        task_id="templated",
        graph="echo",
        input={"task": "{{ params.task }} on {{ dag_run.run_after | ds }}"},
        config={"tags": ["example"], "recursion_limit": 10},
        check_graph=True,  # fails before it asks, if the workers announce no such graph, or other fields
        timeout=timedelta(minutes=5),
        retries=2,  # a retry goes on where the agent stopped
        retry_delay=timedelta(seconds=10),
    )

    # Waits in its worker slot to the end: where there is no triggerer.
    LangGraphTriggerOperator(
        task_id="blocking",
        graph="echo",
        input={"task": "{{ params.task }}"},
        timeout=timedelta(minutes=5),
        deferrable=False,
    )

    # Ends as soon as the request is on the broker; the return value says under which correlation id.
    LangGraphTriggerOperator(
        task_id="fire_and_forget",
        graph="echo",
        input={"task": "{{ params.task }}"},
        wait_for_completion=False,
    )


example_langgraph_options()
# [END example_langgraph_options]
