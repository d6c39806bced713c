"""The producer of messages that may be lost: it never waits, and drops a message when its queue is full."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka import Producer as Client

from langgraph_worker.broker.kafka.error_hints import TroubleLog, refused_settings
from langgraph_worker.broker.port import BestEffortProducer


class KafkaBestEffortProducer(BestEffortProducer):
    """The port on Kafka."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        """:raises SettingsError: librdkafka does not take KAFKA_CONFIG."""
        try:
            self._client = Client(dict(config) | {"error_cb": TroubleLog("progress", str(config["bootstrap.servers"]))})
        except KafkaException as error:
            raise refused_settings(error) from None

    def offer(self, topic: str, key: bytes, value: bytes, headers: Sequence[tuple[str, bytes | str | None]]) -> bool:
        try:
            self._client.produce(topic, value=value, key=key, headers=list(headers))
            self._client.poll(0)
        except (BufferError, KafkaException):
            return False
        return True

    def close(self, timeout: float) -> None:
        with suppress(KafkaException, SystemError):  # a fatal error, while it calls back
            self._client.flush(timeout)
