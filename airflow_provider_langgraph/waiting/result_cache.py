"""A bounded memory of recent results, for waiters that come after their reply."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import NamedTuple

from airflow_provider_langgraph.kafka.topic_reader import Headers, size_of
from workflow_events.codec import Record

MAX_BYTES = 64 * 1024 * 1024
MAX_AGE_SECONDS = 600.0


class _Seen(NamedTuple):
    """A result. It holds nothing that Python's garbage collector has to visit, however full the memory is."""

    since: float
    size: int
    partition: int
    offset: int
    value: bytes | None
    headers: tuple[tuple[str, bytes | str | None], ...]


class ResultCache:
    """Records by correlation id, oldest forgotten first, and exactly which offsets are still remembered.

    Belongs to one thread. What is added may exceed the bounds until :meth:`trim` is called.

    :param max_bytes: memory used at most, in bytes.
    :param max_age_seconds: how long a body is kept at most.
    :param now: the clock, in seconds.
    """

    def __init__(
        self,
        max_bytes: int = MAX_BYTES,
        max_age_seconds: float = MAX_AGE_SECONDS,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_bytes = max_bytes
        self._max_age_seconds = max_age_seconds
        self._now = now
        self._time = now()
        self._records: OrderedDict[bytes, _Seen] = OrderedDict()
        self._repeats: dict[bytes, dict[int, int]] = {}
        self._bytes = 0
        self.complete_from: dict[int, int] = {}
        """By partition: every result at or after this offset, and before the live position, is remembered."""

    def __len__(self) -> int:
        return len(self._records)

    @property
    def room(self) -> int:
        """Bytes that are free, and never less than an eighth of all."""
        return max(self._max_bytes - self._bytes, self._max_bytes // 8)

    def add(self, key: bytes, partition: int, offset: int, value: bytes | None, headers: Headers) -> None:
        """Remember a result. The first of a correlation id stands: later ones are repeats."""
        if key in self._records:
            # Forgetting it will be forgetting its repeats as well.
            self._repeats.setdefault(key, {})[partition] = offset
            return
        size = size_of(value, headers)
        self._records[key] = _Seen(self._time, size, partition, offset, value, tuple(headers))
        self._bytes += size

    def get(self, key: bytes, topic: str = "", cluster: str = "") -> Record | None:
        """The remembered result of a correlation id."""
        seen = self._records.get(key)
        if seen is None:
            return None
        return Record(topic, seen.partition, seen.offset, seen.value, seen.headers, cluster=cluster)

    def trim(self) -> None:
        """Forget what is too old or too much, and move :attr:`complete_from` past it."""
        self._time = self._now()
        oldest = self._time - self._max_age_seconds
        while self._records:
            key, seen = next(iter(self._records.items()))
            if seen.since >= oldest and self._bytes <= self._max_bytes:
                return
            del self._records[key]
            self._bytes -= seen.size
            self._forget(seen.partition, seen.offset)
            for partition, offset in self._repeats.pop(key, {}).items():
                self._forget(partition, offset)

    def put_before(self, past: ResultCache, ends: Mapping[int, int]) -> None:
        """Take over results that lie before this memory and were read back. ``past`` is empty afterwards.

        :param ends: by partition, up to where ``past`` reaches. Where this memory begins later by now, the offsets
            between them are unknown, and nothing is gained.
        """
        joined = {number for number, end in ends.items() if self.complete_from.get(number, 0) <= end}
        for key, seen in reversed(past._records.items()):
            repeats = past._repeats.get(key, {})
            if joined.isdisjoint({seen.partition, *repeats}):
                continue
            newer = self._records.pop(key, None)
            if newer is not None:
                self._bytes -= newer.size
                repeats = {**repeats, newer.partition: newer.offset, **self._repeats.pop(key, {})}
            if repeats:
                self._repeats[key] = repeats
            self._records[key] = seen
            self._records.move_to_end(key, last=False)
            self._bytes += seen.size
        for number in joined & past.complete_from.keys():
            self.complete_from[number] = min(self.complete_from.get(number, 0), past.complete_from[number])
        past._records.clear()
        past._repeats.clear()
        past._bytes = 0
        self.trim()

    def _forget(self, partition: int, offset: int) -> None:
        if self.complete_from.get(partition, 0) <= offset:
            self.complete_from[partition] = offset + 1
