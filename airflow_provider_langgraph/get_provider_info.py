"""The provider's description for Airflow. Pure data: Airflow calls it at every start, so it imports nothing."""

from __future__ import annotations

from typing import Any

_NAME = "LangGraph"


def _option(description: str, example: str) -> dict[str, Any]:
    return {
        "description": description,
        "version_added": "0.1.0",
        "type": "string",
        "example": example,
        "default": "",
    }


def _topic_option(purpose: str, use: str) -> dict[str, Any]:
    return _option(
        f"The Kafka topic that {use}. Overrides the {purpose} topic of the fleet option; an operator that names a "
        "fleet itself ignores it. Empty: the fleet's.",
        f"team-a-workflow-{purpose}",
    )


def _link_option(what: str, example: str) -> dict[str, Any]:
    return _option(
        f"The URL behind the link to {what} that a task has on its page. Fields in braces are filled in, in percent "
        "encoding: correlation_id, dag_id, run_id, task_id, map_index, thread_name, thread_id, trace_id. A link that "
        "needs a value that the task does not have is not shown. Set it in all components of Airflow. Empty: no link.",
        example,
    )


_OPTIONS = {
    "deployment": _option(
        "Names this Airflow installation to the workers. Empty: a random name that the first use keeps in the Airflow "
        "Variable langgraph_deployment.",
        "prod-eu",
    ),
    "fleet": _option(
        "The name of the fleet of workers that is asked where an operator names none. It stands for the fleet's "
        "topics: risk has risk.workflow-events, risk.workflow-results, risk.workflow-control and "
        "risk.workflow-progress. Empty: the fleet without a name, whose topics are workflow-events and so on. Workers "
        "take the same name as LANGGRAPH_WORKER_FLEET.",
        "risk",
    ),
    "events_topic": _topic_option("events", "requests are published to"),
    "results_topic": _topic_option("results", "results are awaited on"),
    "control_topic": _topic_option("control", "cancels and newer tries are announced on"),
    "progress_topic": _topic_option("progress", "runs report their progress on, for the task's log"),
    "graphs_topic": _topic_option("graphs", "workers announce their graphs on, for check_graph"),
    "check_graphs": _option(
        "Whether tasks compare what they ask for with what the workers announce, before they publish anything, where "
        "an operator's check_graph does not say. Empty: false.",
        "true",
    ),
    "defer_after": _option(
        "How many seconds a task waits in its worker slot for an agent that answers soon, before it defers, where an "
        "operator does not say. 0: it defers at once. Empty: 5.",
        "0",
    ),
    "run_url": _link_option("its agent's run", "https://runs.example.com/{correlation_id}"),
    "trace_url": _link_option("its trace", "https://traces.example.com/trace/{trace_id}"),
    "thread_url": _link_option("its agent's conversation", "https://runs.example.com/threads/{thread_id}"),
}


def _modules(*names: str) -> list[dict[str, Any]]:
    return [{"integration-name": _NAME, "python-modules": [f"airflow_provider_langgraph.{name}" for name in names]}]


def get_provider_info() -> dict[str, Any]:
    """Return the provider's metadata in the shape of Airflow's ``provider_info.schema.json``."""
    return {
        "package-name": "airflow-provider-langgraph",
        "name": _NAME,
        "description": "Run LangGraph agents as deferrable tasks, over Apache Kafka.",
        "integrations": [
            {
                "integration-name": _NAME,
                "external-doc-url": "https://docs.langchain.com/oss/python/langgraph/overview",
                "tags": ["software"],
            }
        ],
        "operators": _modules(
            "operators.langgraph",
            "operators.agent",
            "operators.cancel",
            "operators.multi_agent",
            "operators.resume",
        ),
        "task-decorators": [
            {"class-name": "airflow_provider_langgraph.decorators.langgraph.langgraph_task", "name": "langgraph"}
        ],
        "sensors": _modules("sensors.langgraph"),
        "hooks": _modules("hooks.kafka"),
        "triggers": _modules("triggers.result", "triggers.multi_agent"),
        "extra-links": [
            f"airflow_provider_langgraph.links.langgraph.{name}"
            for name in ("AgentRunLink", "AgentThreadLink", "AgentTraceLink")
        ],
        "config": {
            "langgraph": {
                "description": "Which fleet of workers the LangGraph operators talk to, and how they wait.",
                "options": _OPTIONS,
            }
        },
    }
