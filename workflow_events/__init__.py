"""The wire contract between Airflow and the workers that run LangGraph graphs.

Everything that crosses Kafka is one of the models exported here, written and read by :mod:`workflow_events.codec`.
The package needs pydantic only: it imports neither Airflow nor LangGraph nor a Kafka client.
"""

from workflow_events.announcements import GraphAnnouncement, WorkerAnnouncement
from workflow_events.control import (
    PauseScope,
    ProgressKind,
    WorkflowCancelledEvent,
    WorkflowPausedEvent,
    WorkflowProgressEvent,
    WorkflowQueryEvent,
    WorkflowSupersededEvent,
    WorkflowUnpausedEvent,
)
from workflow_events.errors import (
    DecodeError,
    EncodeError,
    MessageTooLargeError,
    UnsupportedSchemaError,
    WorkflowEventsError,
)
from workflow_events.models import (
    Answer,
    Attempt,
    Budget,
    EventSource,
    EventType,
    WorkflowEvent,
    WorkflowEventMetadata,
    WorkflowEventPayload,
)
from workflow_events.results import Interrupt, ModelUsage, ResultStatus, WorkflowResultEvent
from workflow_events.run_config import GraphCommand, GraphSend, RunConfig
from workflow_events.topics import Fleet, TopicSpec

__all__ = [
    "Answer",
    "Attempt",
    "Budget",
    "DecodeError",
    "EncodeError",
    "EventSource",
    "EventType",
    "Fleet",
    "GraphAnnouncement",
    "GraphCommand",
    "GraphSend",
    "Interrupt",
    "MessageTooLargeError",
    "ModelUsage",
    "PauseScope",
    "ProgressKind",
    "ResultStatus",
    "RunConfig",
    "TopicSpec",
    "UnsupportedSchemaError",
    "WorkerAnnouncement",
    "WorkflowCancelledEvent",
    "WorkflowEvent",
    "WorkflowEventMetadata",
    "WorkflowEventPayload",
    "WorkflowEventsError",
    "WorkflowPausedEvent",
    "WorkflowProgressEvent",
    "WorkflowQueryEvent",
    "WorkflowResultEvent",
    "WorkflowSupersededEvent",
    "WorkflowUnpausedEvent",
]
