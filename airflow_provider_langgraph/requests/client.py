"""What a request needs of Kafka. :class:`airflow_provider_langgraph.hooks.kafka.KafkaHook` implements it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol
from uuid import UUID

from airflow_provider_langgraph.kafka.topic_admin import EndOffsets
from workflow_events.announcements import Announcement
from workflow_events.models import Attempt, WorkflowEvent
from workflow_events.topics import Fleet

CALL_SECONDS = 30.0
"""How long any one call waits for the broker, unless its caller has less time."""


class FleetClient(Protocol):
    """Talks to one fleet of workers over one Airflow connection.

    :ivar kafka_config_id: id of the connection.
    """

    kafka_config_id: str

    @property
    def topics(self) -> Fleet:
        """The fleet's topics."""

    def require_topics(self, *topics: str) -> None:
        """Make sure that topics exist, without creating any by asking."""

    def end_offsets(self, topic: str) -> EndOffsets:
        """The end offsets of a topic: what is published from now on lies at or after them."""

    def announcements(self, topic: str) -> list[Announcement]:
        """What the workers have announced on the graphs topic."""

    def require_fits(self, events: Mapping[str, WorkflowEvent], topic: str, *, traceparent: str | None = None) -> None:
        """Make sure that requests can be published, as far as this side knows."""

    def publish(self, event: WorkflowEvent, topic: str, *, traceparent: str | None = None) -> Any:
        """Publish a request; when this returns, it is durable."""

    def announce(self, attempt: Attempt, topic: str) -> Any:
        """Announce a newer attempt of a task on the control topic."""

    def cancel(self, correlation_id: UUID, topic: str, *, reason: str = "") -> Any:
        """End a request."""

    def abandon(self) -> None:
        """Wait for no delivery report any more. Safe in a signal handler."""


Connect = Callable[[float], FleetClient]
"""Makes a client that waits for the broker for so many seconds in each call."""
