"""Reads what comes behind the records that a paused consumer has not delivered yet.

It has a consumer of its own, beside the group: that of the group keeps its place, so that nothing can be skipped. It
keeps no record, only how far it has read.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from confluent_kafka import OFFSET_STORED, Consumer, KafkaError, Message, TopicPartition

from langgraph_worker.broker.kafka.records import size_of, to_record
from langgraph_worker.broker.kafka.undecodable import undecodable_passer
from workflow_events.codec import Record

_MOST_RECORDS = 500  # looked at in one call
_MOST_BYTES = 8_000_000


class LookAhead:
    """Belongs to the thread that owns the consumer of the group.

    :param config: that of the group's consumer; it does not join the group.
    :param is_urgent: whether a record must not wait. The others are dropped.
    :param on_error: called with what is not a record. Must not raise.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        topic: str,
        cluster: str,
        is_urgent: Callable[[Record], bool],
        on_error: Callable[[KafkaError], None],
    ) -> None:
        self._config = dict(config)
        self._topic = topic
        self._cluster = cluster
        self._is_urgent = is_urgent
        self._on_error = on_error
        self._passer = undecodable_passer(config, topic, cluster)
        self._consumer: Consumer | None = None
        self._reading: frozenset[int] = frozenset()
        self._next: dict[int, int] = {}

    def read(self, places: Mapping[int, int | None]) -> list[Record]:
        """Read on, and return what is urgent. Does not wait for records.

        :param places: by partition, the offset of the first record that was not delivered; None: the group's commit.
        """
        if self._consumer is None:
            self._consumer = Consumer(self._config)
        if self._reading != places.keys():
            self._begin(self._consumer, places)
        found, size = [], 0
        for _ in range(_MOST_RECORDS):
            message = self._consumer.poll(0)
            if message is None:
                break
            error = message.error()
            if error is not None:
                self._note(self._consumer, message, error)
                continue
            record = to_record(message, self._topic, self._cluster)
            self._next[record.partition] = record.offset + 1
            size += size_of(record)
            if self._is_urgent(record):
                found.append(record)
            if size >= _MOST_BYTES:
                break
        return found

    def rest(self) -> None:
        """Read no more until the next :meth:`read`, which goes on where this one has ended."""
        if self._consumer is not None and self._reading:
            self._consumer.unassign()
            self._reading = frozenset()

    def forget(self, partitions: Collection[int]) -> None:
        """These partitions were taken away, or begin anew: what was read of them does not count."""
        for number in partitions:
            self._next.pop(number, None)
        self._passer.forget(partitions)
        self.rest()

    def close(self) -> None:
        """Close its consumer, if it has one. The other methods may still be called: the group's consumer closes later,
        and gives up its partitions then.
        """
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            consumer.close()

    def _note(self, consumer: Consumer, message: Message, error: KafkaError) -> None:
        """Read on behind what cannot be decoded. The consumer of the group reports it when its turn has come."""
        if self._passer.has_passed(message):
            return
        place = self._passer.go_past(consumer, message)
        if place is None:
            self._on_error(error)
        else:
            self._next[place.partition] = place.after

    def _begin(self, consumer: Consumer, places: Mapping[int, int | None]) -> None:
        starts = []
        for number, place in places.items():
            known = [offset for offset in (place, self._next.get(number)) if offset is not None]
            starts.append(TopicPartition(self._topic, number, max(known, default=OFFSET_STORED)))
        consumer.assign(starts)
        self._reading = frozenset(places)
