"""Lets the readers of topics go past records that they cannot decode."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from workflow_events.undecodable import SEARCH_SETTINGS, UndecodablePasser

log = logging.getLogger(__name__)


def undecodable_passer(settings: Mapping[str, Any], topic: str) -> UndecodablePasser:
    """One for each reader.

    :param settings: those of the reader.
    """
    from confluent_kafka import Consumer, KafkaException, TopicPartition

    searching = {**settings, **SEARCH_SETTINGS}
    return UndecodablePasser(
        topic,
        cluster="",
        partition_at=lambda partition, offset: TopicPartition(topic, partition, offset),
        open_client=lambda: Consumer(searching, logger=log),
        client_error=KafkaException,
    )
