"""What a published request leaves behind: all that is needed to wait for its reply, later and elsewhere."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

__all__ = ["RequestHandle"]


@dataclass(frozen=True, slots=True)
class RequestHandle:
    """A request that is under way.

    :param correlation_id: names the reply.
    :param workflow_id: the DAG, for messages to people.
    :param kafka_config_id: the Airflow connection that reaches the fleet.
    :param events_topic, results_topic: where it was published, and where the reply comes.
    :param cluster: id of the Kafka cluster that the offsets belong to; empty where the broker has none.
    :param start_offsets: the results topic's end offsets by partition, taken before the request was published: the
        reply cannot lie before them. A partition that is missing here was added later and is read from its start.
    :param deadline: when the run ends with ``timeout``, UTC.
    :param results_topic_id: which topic of that name the offsets belong to: one that was deleted and created anew has
        another id. Empty where the broker has none.
    :param control_topic: where the request can be cancelled, and its result asked for again; empty: the configured one.
    :param progress_topic: where its run reports its progress; empty: the configured one.
    :param asked_at: when it was published, UTC; None in a handle of a version that did not note it.
    :param thread_id: the conversation that the author named, if any.
    :param trace_id: the OpenTelemetry trace that the request belongs to, if one is recorded.
    """

    correlation_id: UUID
    workflow_id: str
    workflow_run_id: str
    kafka_config_id: str
    events_topic: str
    results_topic: str
    cluster: str
    start_offsets: dict[int, int]
    deadline: datetime
    results_topic_id: str = ""
    control_topic: str = ""
    progress_topic: str = ""
    asked_at: datetime | None = None
    thread_id: str | None = None
    trace_id: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON: for a trigger's arguments, an XCom, a file."""
        return asdict(self) | {
            "correlation_id": str(self.correlation_id),
            "start_offsets": {str(partition): offset for partition, offset in self.start_offsets.items()},
            "deadline": self.deadline.isoformat(),
            "asked_at": self.asked_at.isoformat() if self.asked_at else None,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> RequestHandle:
        """Read :meth:`to_dict` back. Keys of a newer version are ignored, those that an older one lacks are empty."""
        known = {name: data[name] for name in cls.__dataclass_fields__ if name in data}
        asked_at = data.get("asked_at")
        return cls(
            **known
            | {
                "correlation_id": UUID(data["correlation_id"]),
                "start_offsets": {int(partition): int(offset) for partition, offset in data["start_offsets"].items()},
                "deadline": datetime.fromisoformat(data["deadline"]),
                "asked_at": datetime.fromisoformat(asked_at) if asked_at else None,
            }
        )
