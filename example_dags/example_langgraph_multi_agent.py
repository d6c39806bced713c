"""Several agents in one task: side by side, one after the other, and routed by one of them.

Each task defers once, whatever its agents do meanwhile, and returns their results by name.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import Param, dag

from airflow_provider_langgraph.operators.multi_agent import MultiAgentOperator


# [START example_langgraph_multi_agent]
@dag(
    schedule=None,
    catchup=False,
    tags=["example", "langgraph"],
    doc_md=__doc__,
    params={"topic": Param("the moon", type="string")},
)
def example_langgraph_multi_agent() -> None:
    """Three ways to let agents work together."""
    topic = {"topic": "{{ params.topic }}"}

    MultiAgentOperator(
        task_id="side_by_side",
        agents=[
            {"name": "here", "type": "researcher", "input_data": topic},
            {"name": "elsewhere", "type": "researcher", "input_data": {"topic": "the sun"}},
        ],
        policy="all_done",  # one of them is enough; the XCom "errors" says why the other failed
        timeout=timedelta(minutes=5),
    )
    MultiAgentOperator(
        task_id="one_after_the_other",
        orchestration_mode="sequential",
        agents=[
            {"type": "researcher", "input_data": topic},
            {"type": "writer"},  # its input is the researcher's result
            {"type": "reviewer"},
        ],
        timeout=timedelta(minutes=5),
    )
    MultiAgentOperator(
        task_id="routed",
        orchestration_mode="supervisor",
        orchestrator={"type": "editor", "input_data": topic},
        agents=[
            {"type": "researcher", "description": "finds facts"},
            {"type": "writer", "description": "makes a text of facts"},
            {"type": "reviewer", "description": "reviews a text"},
        ],
        max_rounds=5,
        timeout=timedelta(minutes=5),
    )


example_langgraph_multi_agent()
# [END example_langgraph_multi_agent]
