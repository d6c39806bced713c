"""Lets the worker's consumers go past records that they cannot decode."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition

from workflow_events.undecodable import SEARCH_SETTINGS, UndecodablePasser


def undecodable_passer(config: Mapping[str, Any], topic: str, cluster: str) -> UndecodablePasser:
    """One for each consumer.

    :param config: that of the consumer.
    """
    searching = {**config, **SEARCH_SETTINGS}
    return UndecodablePasser(
        topic,
        cluster,
        partition_at=lambda partition, offset: TopicPartition(topic, partition, offset),
        open_client=lambda: Consumer(searching),
        client_error=KafkaException,
    )
