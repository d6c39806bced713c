"""Finds how far records reach that a reader of a topic cannot decode."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from workflow_events.undecodable import SEARCH_SETTINGS, UNDECODABLE, UndecodablePlace, UndecodableSearch

if TYPE_CHECKING:
    from confluent_kafka import Message

log = logging.getLogger(__name__)


def undecodable_place(settings: Mapping[str, Any], topic: str, message: Message) -> UndecodablePlace | None:
    """The place of which a message reports that it cannot be decoded.

    None if the message reports something else, or if the end of the place is not known now: then the reader of the
    message reports it again. Blocks, usually for a tenth of a second, for some seconds at most.

    :param settings: those of the reader. What it can decode is what a consumer of the same settings can.
    :raises confluent_kafka.KafkaException: no answer.
    """
    from confluent_kafka import Consumer, TopicPartition

    error, partition, first = message.error(), message.partition(), message.offset()
    if error is None or error.name() != UNDECODABLE or partition is None or first is None:
        return None
    client = Consumer({**settings, **SEARCH_SETTINGS}, logger=log)
    try:
        end = UndecodableSearch(client, lambda offset: TopicPartition(topic, partition, offset)).end(first)
    finally:
        client.close()
    return None if end is None else UndecodablePlace(topic, partition, first, end - 1)
