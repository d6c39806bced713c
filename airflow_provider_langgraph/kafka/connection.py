"""One Kafka connection of Airflow, as the calls that use it need it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from airflow_provider_langgraph.exceptions import KafkaError

_EXAMPLE = '{"bootstrap.servers": "broker:9092"}'


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


def not_defined(name: str) -> KafkaError:
    """The error for an Airflow connection that does not exist. Retried: a secrets backend that fails looks the same."""
    variable = f"AIRFLOW_CONN_{name.upper()}"
    return KafkaError(
        f"Airflow connection {name!r} is not defined. If you mean another one, correct the operator's "
        f"kafka_config_id. Else make it: airflow connections add {name} --conn-type kafka --conn-extra "
        f"'{_EXAMPLE}'; or set the environment variable "
        f'{variable} to {{"conn_type": "kafka", "extra": {_EXAMPLE}}}'
    )
