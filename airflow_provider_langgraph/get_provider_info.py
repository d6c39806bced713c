"""What Airflow asks a provider about itself. Pure data: Airflow calls it at every start, so it imports nothing."""

from __future__ import annotations

from typing import Any


def get_provider_info() -> dict[str, Any]:
    """Return the provider's metadata in the shape of Airflow's ``provider_info.schema.json``."""
    return {
        "package-name": "airflow-provider-langgraph",
        "name": "LangGraph",
        "description": "Run LangGraph agents as deferrable tasks, over Apache Kafka.",
        "integrations": [
            {
                "integration-name": "LangGraph",
                "external-doc-url": "https://docs.langchain.com/oss/python/langgraph/overview",
                "tags": ["software"],
            }
        ],
        "operators": [
            {"integration-name": "LangGraph", "python-modules": ["airflow_provider_langgraph.operators.langgraph"]}
        ],
        "hooks": [{"integration-name": "LangGraph", "python-modules": ["airflow_provider_langgraph.hooks.kafka"]}],
        "triggers": [
            {"integration-name": "LangGraph", "python-modules": ["airflow_provider_langgraph.triggers.result"]}
        ],
        "config": {
            "langgraph": {
                "description": "Which fleet of workers the LangGraph operators talk to, and under which name.",
                "options": {
                    "deployment": {
                        "description": "Names this Airflow installation to the workers. Empty: a random name that "
                        "the first use keeps in the Airflow Variable langgraph_deployment.",
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "prod-eu",
                        "default": "",
                    },
                    "events_topic": {
                        "description": "The Kafka topic that requests are published to.",
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "team-a-workflow-events",
                        "default": "workflow-events",
                    },
                    "results_topic": {
                        "description": "The Kafka topic that results are awaited on.",
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "team-a-workflow-results",
                        "default": "workflow-results",
                    },
                    "control_topic": {
                        "description": "The Kafka topic that steers running requests.",
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "team-a-workflow-control",
                        "default": "workflow-control",
                    },
                    "progress_topic": {
                        "description": "The Kafka topic on which runs tell what they do, for the task's log.",
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "team-a-workflow-progress",
                        "default": "workflow-progress",
                    },
                },
            }
        },
    }
