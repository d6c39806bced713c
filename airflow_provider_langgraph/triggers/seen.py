"""A bounded memory of recent results, for waiters that come after their reply did."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from workflow_events.codec import Record

MAX_BYTES = 64 * 1024 * 1024
MAX_AGE = 600.0

OVERHEAD = 1024
"""Bytes that a record costs beside its body, key and headers: measured with replies of 336 bytes."""


@dataclass(slots=True)
class _Entry:
    """A result, and by partition the highest offset where a repeat of it lies."""

    since: float
    size: int
    record: Record
    repeats: dict[int, int] | None = None


class SeenResults:
    """Records by correlation id, oldest forgotten first, and exactly which offsets are still remembered.

    Belongs to one thread.

    :param max_bytes: memory used at most, in bytes.
    :param max_age: seconds that a body is kept at most.
    """

    def __init__(
        self, max_bytes: int = MAX_BYTES, max_age: float = MAX_AGE, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._max_bytes = max_bytes
        self._max_age = max_age
        self._now = now
        self._records: OrderedDict[bytes, _Entry] = OrderedDict()
        self._bytes = 0
        self.complete_from: dict[int, int] = {}
        """By partition: every result at or after this offset, and before the live position, is remembered."""

    def __len__(self) -> int:
        return len(self._records)

    @property
    def room(self) -> int:
        """Bytes that are free, and never less than an eighth of all."""
        return max(self._max_bytes - self._bytes, self._max_bytes // 8)

    def add(self, key: bytes, record: Record) -> None:
        """Remember a result. The first of a correlation id stands: later ones are repeats."""
        entry = self._records.get(key)
        if entry is not None:
            # Forgetting it will be forgetting its repeats as well.
            entry.repeats = {**(entry.repeats or {}), record.partition: record.offset}
            return
        size = size_of(record)
        self._records[key] = _Entry(self._now(), size, record)
        self._bytes += size
        if self._bytes > self._max_bytes:
            self.trim()

    def get(self, key: bytes) -> Record | None:
        """The remembered result of a correlation id."""
        entry = self._records.get(key)
        return entry.record if entry else None

    def trim(self) -> None:
        """Forget what is too old or too much, and move :attr:`complete_from` past it."""
        oldest = self._now() - self._max_age
        while self._records:
            key, entry = next(iter(self._records.items()))
            if entry.since >= oldest and self._bytes <= self._max_bytes:
                return
            del self._records[key]
            self._bytes -= entry.size
            self._forget(entry.record.partition, entry.record.offset)
            for partition, offset in (entry.repeats or {}).items():
                self._forget(partition, offset)

    def put_before(self, past: SeenResults, ends: Mapping[int, int]) -> None:
        """Take over what lies before this memory and was read back. ``past`` is empty afterwards.

        :param ends: by partition, up to where ``past`` reaches. Where this memory begins later by now, the offsets
            between them are unknown, and nothing is gained.
        """
        joined = {number for number, end in ends.items() if self.complete_from.get(number, 0) <= end}
        for key, entry in reversed(past._records.items()):
            if joined.isdisjoint({entry.record.partition, *(entry.repeats or ())}):
                continue
            newer = self._records.pop(key, None)
            if newer is not None:
                self._bytes -= newer.size
                entry.repeats = {
                    **(entry.repeats or {}),
                    newer.record.partition: newer.record.offset,
                    **(newer.repeats or {}),
                }
            self._records[key] = entry
            self._records.move_to_end(key, last=False)
            self._bytes += entry.size
        for number in joined & past.complete_from.keys():
            self.complete_from[number] = min(self.complete_from.get(number, 0), past.complete_from[number])
        past._records.clear()
        past._bytes = 0
        self.trim()

    def _forget(self, partition: int, offset: int) -> None:
        if self.complete_from.get(partition, 0) <= offset:
            self.complete_from[partition] = offset + 1


def size_of(record: Record) -> int:
    """Bytes of memory that a record is counted with."""
    size = OVERHEAD + len(record.value or b"") + len(record.key or b"")
    for name, value in record.headers or ():
        size += len(name) + len(value or b"")
    return size
