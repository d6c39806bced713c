"""The handle of a request: all that Airflow needs to wait for its result, in the form that its sensor takes."""

from __future__ import annotations

from typing import Any

from langgraph_worker.broker.kafka.end_offsets import TopicEnd
from langgraph_worker.settings.model import WorkerSettings
from workflow_events.models import WorkflowEvent


def handle_of(
    event: WorkflowEvent, results: TopicEnd, settings: WorkerSettings, kafka_config_id: str
) -> dict[str, Any]:
    """The handle as JSON, with the fields that ``RequestHandle.to_dict`` of Airflow's side gives it.

    :param event: with a deadline.
    :param results: where its results topic ended before it was published: its result cannot lie before.
    :param kafka_config_id: the Airflow connection with which a task reaches this fleet.
    """
    topics = settings.topics
    assert event.deadline is not None
    return {
        "correlation_id": str(event.event_id),
        "workflow_id": event.workflow_id,
        "workflow_run_id": event.workflow_run_id,
        "kafka_config_id": kafka_config_id,
        "events_topic": topics.events,
        "results_topic": results.topic,
        "cluster": results.cluster,
        "start_offsets": {str(partition): offset for partition, offset in results.offsets.items()},
        "deadline": event.deadline.isoformat(),
        "results_topic_id": results.topic_id,
        "control_topic": topics.control,
        "progress_topic": topics.progress,
        "asked_at": event.timestamp.isoformat(),
        "thread_id": event.thread_id,
        "trace_id": None,
    }
