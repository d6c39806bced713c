"""What a published request leaves behind: all that anyone needs to wait for its reply, later and elsewhere."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class RequestHandle:
    """A request that is under way.

    :param correlation_id: names the reply.
    :param workflow_id: the DAG, for messages to people.
    :param kafka_config_id: the Airflow connection that reaches the fleet.
    :param events_topic, results_topic: where it was asked, and where the reply comes.
    :param cluster: id of the Kafka cluster that the offsets belong to; empty where the broker has none.
    :param start_offsets: the results topic's end offsets by partition, taken before the request was published: the
        reply cannot lie before them. A partition that is missing here was added later and is read from its start.
    :param deadline: when the run ends with ``timeout``, UTC.
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

    def to_dict(self) -> dict[str, Any]:
        """As JSON: for a trigger's arguments, an XCom, a file."""
        return asdict(self) | {
            "correlation_id": str(self.correlation_id),
            "start_offsets": {str(partition): offset for partition, offset in self.start_offsets.items()},
            "deadline": self.deadline.isoformat(),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> RequestHandle:
        """Read :meth:`to_dict` back. Unknown keys, of a newer version, are ignored."""
        known = {name: data[name] for name in cls.__dataclass_fields__}
        return cls(
            **known
            | {
                "correlation_id": UUID(data["correlation_id"]),
                "start_offsets": {int(partition): int(offset) for partition, offset in data["start_offsets"].items()},
                "deadline": datetime.fromisoformat(data["deadline"]),
            }
        )
