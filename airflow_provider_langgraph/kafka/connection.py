"""One Kafka connection of Airflow, as the calls that use it need it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class KafkaConnection:
    """A connection and how long a call over it may take.

    :param name: the id of the Airflow connection, for messages to people.
    :param settings: its librdkafka settings, checked.
    :param timeout_seconds: how long any one call waits for the broker.
    """

    name: str
    settings: dict[str, Any] = field(repr=False)
    timeout_seconds: float

    def cannot(self, what: str, why: str) -> str:
        """The text of an error: which connection, what it cannot do, and why."""
        return f"Kafka connection {self.name!r}: cannot {what}: {why}"
