"""A person approves, changes or rejects what an agent wants to do, in Airflow's own page of required actions.

The graph `trade` asks before it buys. While it waits for a person, no slot is held, and the time is not the agent's.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import Param, dag

from airflow_provider_langgraph.operators.langgraph import LangGraphTriggerOperator


# [START example_langgraph_approval]
@dag(
    schedule=None,
    catchup=False,
    tags=["example", "langgraph"],
    doc_md=__doc__,
    params={"symbol": Param("ACME", type="string"), "pieces": Param(10, type="integer")},
)
def example_langgraph_approval() -> None:
    """One trade that needs a person."""
    LangGraphTriggerOperator(
        task_id="trade",
        graph="trade",
        input={"symbol": "{{ params.symbol }}", "pieces": "{{ params.pieces }}"},
        timeout=timedelta(minutes=5),  # of the agent's own work
        on_interrupt="ask",
        subject="Buy {{ params.symbol }}?",
        answer_timeout=timedelta(hours=8),
        on_answer_timeout="reject",  # what nobody has approved by then is not bought
    )


example_langgraph_approval()
# [END example_langgraph_approval]
