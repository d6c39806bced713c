"""The handle of a replay: all that Airflow needs to wait for its result, in the form that its sensor takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from langgraph_worker.publishing.replay import PreparedReplay
from langgraph_worker.settings.model import WorkerSettings


@dataclass(frozen=True, slots=True)
class ResultsPlace:
    """A topic that results are written to, as it was before the replay was published.

    :param ends: by partition, the offset behind its last record: the result cannot lie before.
    :param topic_id: which topic of that name it is; empty where the broker has none.
    """

    topic: str
    ends: Mapping[int, int]
    topic_id: str
    cluster: str


def handle_of(
    replay: PreparedReplay, place: ResultsPlace, settings: WorkerSettings, kafka_config_id: str
) -> dict[str, Any]:
    """The handle as JSON, with the fields that ``RequestHandle.to_dict`` of Airflow's side gives it.

    :param kafka_config_id: the Airflow connection with which a task reaches this fleet.
    """
    event, topics = replay.event, settings.topics
    assert event.deadline is not None  # a replay has one
    return {
        "correlation_id": str(event.event_id),
        "workflow_id": event.workflow_id,
        "workflow_run_id": event.workflow_run_id,
        "kafka_config_id": kafka_config_id,
        "events_topic": topics.events,
        "results_topic": place.topic,
        "cluster": place.cluster,
        "start_offsets": {str(partition): offset for partition, offset in place.ends.items()},
        "deadline": event.deadline.isoformat(),
        "results_topic_id": place.topic_id,
        "control_topic": topics.control,
        "progress_topic": topics.progress,
        "asked_at": event.timestamp.isoformat(),
        "thread_id": event.thread_id,
        "trace_id": None,
    }
