"""The client that reaches the fleet of a handle."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_langgraph.requests.client import CALL_SECONDS
from airflow_provider_langgraph.requests.topics import fleet_of

if TYPE_CHECKING:
    from airflow_provider_langgraph.hooks.kafka import KafkaHook
    from airflow_provider_langgraph.requests.handle import RequestHandle


def client_of(handle: RequestHandle, timeout: float = CALL_SECONDS) -> KafkaHook:
    """A hook of the connection and the fleet that a handle with all of its topics names.

    :param timeout: seconds that any one call waits for the broker.
    """
    from airflow_provider_langgraph.hooks.kafka import KafkaHook

    return KafkaHook(handle.kafka_config_id, fleet=fleet_of(handle), timeout=timeout)
