"""Lets a consumer go past records that it cannot decode."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from workflow_events.undecodable import SEARCH_SETTINGS, UNDECODABLE, UndecodablePlace, UndecodableSearch

logger = logging.getLogger(__name__)


class UndecodablePasser:
    """Belongs to the thread of the consumers that it serves.

    :param config: theirs. What they can decode is what a consumer of the same settings can.
    """

    def __init__(self, config: Mapping[str, Any], topic: str, cluster: str) -> None:
        self._config = {**config, **SEARCH_SETTINGS}
        self._topic = topic
        self._cluster = cluster

    def go_past(self, consumer: Consumer, message: Message) -> UndecodablePlace | None:
        """If a message reports an undecodable place, let its consumer read on behind it, and return the place.

        None if it reports something else, or if the place cannot be passed now: then the consumer reports it again.
        Blocks, usually for a tenth of a second, for some seconds at most.
        """
        error, partition, first = message.error(), message.partition(), message.offset()
        if error is None or error.name() != UNDECODABLE or partition is None or first is None:
            return None
        try:
            end = self._end(partition, first)
            if end is None:
                return None
            consumer.seek(TopicPartition(self._topic, partition, end))
        except KafkaException as problem:  # of the search, or the partition was taken away
            logger.debug(
                "%s[%d] is not passed yet: %s", self._topic, partition, problem, extra={"action": "undecodable"}
            )
            return None
        return UndecodablePlace(self._topic, partition, first, end - 1, self._cluster)

    def _end(self, partition: int, first: int) -> int | None:
        client = Consumer(self._config)
        try:
            return UndecodableSearch(client, lambda offset: TopicPartition(self._topic, partition, offset)).end(first)
        finally:
            client.close()
