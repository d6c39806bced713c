"""Reads what a topic holds, once: to its ends as they are when it begins. No group, and nothing is committed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from langgraph_worker.broker.kafka.error_hints import TroubleLog, explain, refused_settings
from langgraph_worker.broker.kafka.records import to_record
from langgraph_worker.broker.kafka.undecodable import undecodable_passer
from langgraph_worker.errors import BrokerError
from workflow_events.codec import Record
from workflow_events.kafka_errors import HOPELESS
from workflow_events.undecodable import UndecodablePlace

_POLL_SECONDS = 0.2
_ASK_SECONDS = 10.0  # for a question to the broker
_SILENT_SECONDS = 30.0  # without a record, though some are there
_MOST_HEADERS = 2_000  # a dead letter has its record's and a dozen more

_T = TypeVar("_T")


class StoredRecords:
    """The records of a topic, one partition after the other, each in the order of its offsets. As a context manager.

    One record at a time is in memory, and what the client reads ahead. Its methods block: a command has nothing else to
    do.

    :param config: librdkafka's, as for the reader of the control topic.
    :raises SettingsError: librdkafka does not take it.
    """

    def __init__(self, config: Mapping[str, Any], topic: str, cluster: str) -> None:
        self._servers = str(config["bootstrap.servers"])
        self._topic = topic
        self._cluster = cluster
        settings = dict(config) | {"error_cb": TroubleLog("reader", self._servers)}
        try:
            self._consumer = Consumer(settings)
        except KafkaException as error:
            raise refused_settings(error) from None
        self._passer = undecodable_passer(settings, topic, cluster)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._consumer.close()

    def read(self, since: datetime | None = None) -> Iterator[Record | UndecodablePlace]:
        """Every record that is there now, and the places of those that cannot be decoded.

        :param since: leave out what was written before.
        :raises BrokerError: not all of it can be read.
        """
        marks = {number: self._marks(number) for number in self._partitions()}
        starts = {number: low for number, (low, _) in marks.items()}
        if since is not None:
            starts |= self._written_at(since, {number: high for number, (_, high) in marks.items()})
        for number, (low, high) in sorted(marks.items()):
            yield from self._partition(number, max(low, starts[number]), high)

    def at(self, partition: int, offset: int) -> Record | UndecodablePlace | None:
        """What is at one place; None if nothing is (any more).

        :raises BrokerError: no answer, or no such topic.
        """
        if partition not in self._partitions():
            return None
        low, high = self._marks(partition)
        if not low <= offset < high:
            return None
        found = next(self._partition(partition, offset, offset + 1), None)
        return found if isinstance(found, UndecodablePlace) or (found and found.offset == offset) else None

    def _partition(self, number: int, start: int, end: int) -> Iterator[Record | UndecodablePlace]:
        if start >= end:
            return
        self._passer.forget([number])
        self._consumer.assign([TopicPartition(self._topic, number, start)])
        silent_until = time.monotonic() + _SILENT_SECONDS
        while True:
            message = self._consumer.poll(_POLL_SECONDS)
            found = None if message is None else self._found(message)
            if found is not None:
                first = found.first if isinstance(found, UndecodablePlace) else found.offset
                after = found.after if isinstance(found, UndecodablePlace) else found.offset + 1
                if first < end:
                    yield found
                if after >= end:
                    return
                silent_until = time.monotonic() + _SILENT_SECONDS  # of the reader of this, too
            elif message is not None and _is_end(message):
                return
            elif time.monotonic() >= silent_until:
                raise BrokerError(
                    f"{self._topic}[{number}] is read to its end at {end}, but nothing came within "
                    f"{_SILENT_SECONDS:g} s. Try again"
                )

    def _found(self, message: Message) -> Record | UndecodablePlace | None:
        error = message.error()
        if error is None:
            return to_record(message, self._topic, self._cluster, _MOST_HEADERS)
        of_the_group = not message.topic()  # librdkafka looks for its coordinator, whether the group is used or not
        if _is_end(message) or of_the_group or self._passer.has_passed(message):
            return None
        place = self._passer.go_past(self._consumer, message)
        if place is None and (error.fatal() or error.name() in HOPELESS or error.name() == "_AUTO_OFFSET_RESET"):
            raise BrokerError(explain(error, self._servers))
        return place

    def _partitions(self) -> list[int]:
        found = self._asked(lambda: self._consumer.list_topics(self._topic, timeout=_ASK_SECONDS)).topics[self._topic]
        if found.error is not None:
            raise BrokerError(explain(found.error, self._servers))
        return sorted(found.partitions)

    def _marks(self, number: int) -> tuple[int, int]:
        place = TopicPartition(self._topic, number)
        found = self._asked(lambda: self._consumer.get_watermark_offsets(place, timeout=_ASK_SECONDS, cached=False))
        if found is None:
            raise BrokerError(explain(KafkaError(KafkaError._TIMED_OUT), self._servers))
        return int(found[0]), int(found[1])

    def _written_at(self, since: datetime, ends: Mapping[int, int]) -> dict[int, int]:
        """By partition, its first record that was written then or later; its end where there is none."""
        at = max(0, int(since.timestamp() * 1000))
        wanted = [TopicPartition(self._topic, number, at) for number in ends]
        found = self._asked(lambda: self._consumer.offsets_for_times(wanted, timeout=_ASK_SECONDS)) if wanted else []
        return {place.partition: place.offset if place.offset >= 0 else ends[place.partition] for place in found}

    def _asked(self, call: Callable[[], _T]) -> _T:
        try:
            return call()
        except KafkaException as error:
            raise BrokerError(explain(error.args[0], self._servers)) from None


def _is_end(message: Message) -> bool:
    error = message.error()
    return error is not None and error.code() == KafkaError._PARTITION_EOF
