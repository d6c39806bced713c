"""Places of a topic that librdkafka cannot decode: where one begins and ends.

The client does not pass such a place by itself. It reads the same offset again, about twice a second and for ever, and
nothing behind it is delivered: one record that grows too large when it is read would stop its partition. So a reader
looks for the end of the place, with a second consumer, and goes on behind it.

This module needs no Kafka client: it is given one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from workflow_events.topics import COMPRESSION, UNCOMPRESSED

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
