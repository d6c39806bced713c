"""Two agents, one after the other, each described by one mapping: `agent_config`.

Both are the graph `echo`, which answers with the text it is sent. The second one gets the first one's answer.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import Param, dag

from airflow_provider_langgraph.operators.langgraph import LangGraphOperator


# [START example_langgraph_agent]
@dag(
    schedule=None,
    catchup=False,
    tags=["example", "langgraph"],
    doc_md=__doc__,
    params={"task": Param("say hello", type="string")},
    default_args={"timeout": timedelta(minutes=5)},
)
def example_langgraph_agent() -> None:
    """Ask, and ask again with the answer."""
    first = LangGraphOperator(
        task_id="first",
        agent_config={"type": "echo", "tags": ["example", "{{ dag_run.run_type }}"], "recursion_limit": 10},
        input_data={"task": "{{ params.task }}"},
        multiple_outputs=True,  # each key of the result is an XCom of its own too
    )
    LangGraphOperator(
        task_id="second",
        agent_config={"type": "echo"},
        input_data={"task": first.output["answer"]},
    )


example_langgraph_agent()
# [END example_langgraph_agent]
