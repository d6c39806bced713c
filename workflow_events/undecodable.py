"""Places of a topic that librdkafka cannot decode: where one begins and ends.

The client does not pass such a place by itself. It reads the same offset again, about twice a second and for ever, and
nothing behind it is delivered: one record that grows too large when it is read would stop its partition. So a reader
looks for the end of the place, with a second consumer, and goes on behind it.

This module needs no Kafka client: it is given one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from workflow_events.topics import COMPRESSION, UNCOMPRESSED

log = logging.getLogger(__name__)

UNDECODABLE = "_BAD_COMPRESSION"
"""librdkafka's name of the error. It reports it with the partition, and with the first offset of the batch."""

SEARCH_SETTINGS: Mapping[str, Any] = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "enable.partition.eof": True,  # where nothing is left, an answer comes all the same
    "auto.offset.reset": "error",
    "fetch.error.backoff.ms": 10,
    "queued.min.messages": 1,
}
"""The settings of the consumer that looks for the end, over those of the reader."""

_TRIES = 3  # before a batch counts as undecodable
_LOOK_SECONDS = 5.0  # how long an answer may take
_SEARCH_SECONDS = 5.0  # for one place: a row of undecodable batches that takes longer is passed in parts
_POLL_SECONDS = 0.5
_REPEATS_SECONDS = 10.0
"""How long a place may still be reported after it was passed. Later it is a new one: a topic may be created again."""

Look = Callable[[int], int | None]
"""For an offset, the first offset of the undecodable batch that it belongs to; None if it belongs to none."""


@dataclass(frozen=True, slots=True)
class UndecodablePlace:
    """Records side by side in a partition that cannot be decoded.

    :param first: the offset of the first.
    :param last: the offset of the last.
    :param cluster: the id of the Kafka cluster; empty where it has none.
    """

    topic: str
    partition: int
    first: int
    last: int
    cluster: str = ""

    @property
    def after(self) -> int:
        """The offset at which to read on."""
        return self.last + 1

    def __str__(self) -> str:
        return (
            f"{self.topic}[{self.partition}]: offsets {self.first} to {self.last} cannot be decoded, and are passed: "
            "unpacked they are larger than receive.message.max.bytes, or they are damaged. Find out who wrote them. A "
            f"topic with {COMPRESSION}={UNCOMPRESSED} takes none that grow"
        )


class _Client(Protocol):
    """A consumer of confluent-kafka."""

    def assign(self, partitions: list[Any]) -> None: ...

    def poll(self, timeout: float) -> Any: ...

    def get_watermark_offsets(self, partition: Any, timeout: float, cached: bool = False) -> tuple[int, int] | None: ...

    def close(self) -> Any: ...


class _Reader(Protocol):
    """A consumer of confluent-kafka."""

    def seek(self, partition: Any) -> None: ...


class _Message(Protocol):
    """A message of confluent-kafka."""

    def error(self) -> Any: ...

    def partition(self) -> int | None: ...

    def offset(self) -> int | None: ...


class UndecodablePasser:
    """Lets a consumer go past the records of a topic that it cannot decode. Belongs to the consumer's thread.

    :param partition_at: makes the client's ``TopicPartition`` of a partition and an offset.
    :param open_client: makes a consumer with the settings of the reader, and :data:`SEARCH_SETTINGS` over them: what
        the reader can decode is what a consumer of its settings can.
    :param client_error: what the client raises if it gets no answer, or if the partition was taken away.
    :param now: the clock, in seconds.
    """

    def __init__(
        self,
        topic: str,
        cluster: str,
        partition_at: Callable[[int, int], Any],
        open_client: Callable[[], _Client],
        client_error: type[Exception],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._topic = topic
        self._cluster = cluster
        self._partition_at = partition_at
        self._open_client = open_client
        self._client_error = client_error
        self._now = now
        self._passed: dict[int, tuple[int, float]] = {}
        """By partition: the offset behind the place that was passed last, and until when it may be reported again."""

    def has_passed(self, message: _Message) -> bool:
        """Whether a message reports a place that was passed already.

        The client reports a place several times, also after it was told to read on behind it: as often as it had
        fetched it. A reader that goes past each report goes back each time, and reads again what lies behind.
        """
        place = _reported(message)
        if place is None:
            return False
        behind, until = self._passed.get(place[0], (0, 0.0))
        return place[1] < behind and self._now() < until

    def go_past(self, reader: _Reader, message: _Message) -> UndecodablePlace | None:
        """If a message reports an undecodable place, let its reader read on behind it, and return the place.

        None if it reports something else, or if the place cannot be passed now: then the reader reports it again.
        Blocks, usually for a tenth of a second, for some seconds at most.
        """
        place = _reported(message)
        if place is None:
            return None
        partition, first = place
        try:
            end = self._end(partition, first)
            if end is None:
                return None
            reader.seek(self._partition_at(partition, end))
        except self._client_error as error:
            log.debug("%s[%d] is not passed yet: %s", self._topic, partition, error, extra={"action": "undecodable"})
            return None
        self._passed[partition] = end, self._now() + _REPEATS_SECONDS
        return UndecodablePlace(self._topic, partition, first, end - 1, self._cluster)

    def forget(self, partitions: Iterable[int]) -> None:
        """These partitions are read from another offset on: what was passed may be met again."""
        for partition in partitions:
            self._passed.pop(partition, None)

    def _end(self, partition: int, first: int) -> int | None:
        client = self._open_client()
        try:
            return UndecodableSearch(client, lambda offset: self._partition_at(partition, offset)).end(first)
        finally:
            client.close()


def _reported(message: _Message) -> tuple[int, int] | None:
    """The partition, and the first offset, of the undecodable place that a message reports; None if it does not."""
    error, partition, offset = message.error(), message.partition(), message.offset()
    if error is None or error.name() != UNDECODABLE or partition is None or offset is None:
        return None
    return partition, offset


class UndecodableSearch:
    """Finds how far a place reaches.

    :param client: a consumer of the search's own, with :data:`SEARCH_SETTINGS`.
    :param partition_at: makes the client's ``TopicPartition`` of an offset.
    """

    def __init__(self, client: _Client, partition_at: Callable[[int], Any]) -> None:
        self._client = client
        self._partition_at = partition_at

    def end(self, first: int) -> int | None:
        """The offset behind the undecodable records that begin at ``first``; None if there are none (any more), or if
        the broker gives no answer. Takes some seconds at most, whatever the broker does.
        """
        try:
            marks = self._client.get_watermark_offsets(self._partition_at(first), timeout=_LOOK_SECONDS, cached=False)
            found = first if marks is None else end_of_undecodable(first, marks[1], self._look)
        except TimeoutError:
            return None
        return found if found > first else None

    def _look(self, offset: int) -> int | None:
        self._client.assign([self._partition_at(offset)])
        ends = time.monotonic() + _LOOK_SECONDS
        while time.monotonic() < ends:
            message = self._client.poll(_POLL_SECONDS)
            if message is None:
                continue
            error = message.error()
            if error is None or error.name() == "_PARTITION_EOF":
                return None
            if error.name() == UNDECODABLE:
                return int(message.offset())
            if error.name() == "_AUTO_OFFSET_RESET":
                break  # the offset was removed meanwhile
        raise TimeoutError


def end_of_undecodable(first: int, high: int, look: Look, now: Callable[[], float] = time.monotonic) -> int:
    """The offset behind all undecodable batches that follow each other from ``first`` on. None of what lies before it
    can be decoded; ``first`` itself if that can.

    A batch of many records is undecodable as a whole, and is known by its first offset. So its end is found in steps
    that double, and then by halves: 35 looks for 100,000 records. A record that can be decoded is never passed, also
    between two such batches.

    :param high: the end of the partition.
    :param look: called several times for the offset at which a batch would be passed.
    :raises TimeoutError: what ``look`` raises, where nothing was found before.
    """
    end, until = first, now() + _SEARCH_SECONDS
    while end < high and now() < until:
        try:
            batches = {look(end) for _ in range(_TRIES)}
            batch = batches.pop()
            if batches or batch is None:
                break
            end = _end_of_batch(batch, end, high, look)
        except TimeoutError:
            if end > first:
                break
            raise
    return end


def _end_of_batch(batch: int, first: int, high: int, look: Look) -> int:
    def holds(offset: int) -> bool:
        return look(offset) == batch

    last, step = first, 1
    while (beyond := last + step) < high and holds(beyond):
        last, step = beyond, 2 * step
    beyond = min(beyond, high)
    while beyond - last > 1:
        middle = (last + beyond) // 2
        last, beyond = (middle, beyond) if holds(middle) else (last, middle)
    return beyond
