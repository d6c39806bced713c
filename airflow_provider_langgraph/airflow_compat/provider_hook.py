"""Airflow's official Kafka provider: it owns the connection type ``kafka``, and knows the cloud providers' tokens."""

from __future__ import annotations

import asyncio
import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection

_MODULE = "airflow.providers.apache.kafka.hooks.base"


async def load_provider_hook() -> None:
    """Import the provider's hook without blocking the event loop: it takes seconds."""
    await asyncio.to_thread(importlib.import_module, _MODULE)


def build_settings(connection: Connection, kafka_config_id: str) -> dict[str, Any]:
    """The librdkafka settings of a connection, with the callbacks that its extra names, guarded by the provider, and
    with those that fetch tokens for the clouds that it knows.

    Must not run in another thread than the one that asked for the connection: what masks its secrets talks to Airflow's
    supervisor, and in Airflow before 3.2.2 that ends the triggerer.
    """
    from airflow.providers.apache.kafka.hooks.base import KafkaBaseHook

    class ProviderHook(KafkaBaseHook):
        """Reads no connection by itself, which in a trigger must not be done synchronously."""

        @classmethod
        def get_connection(cls, conn_id: str) -> Connection:
            return connection

    settings: dict[str, Any] = ProviderHook(kafka_config_id)._build_config()  # type: ignore[no-untyped-call]
    return settings
