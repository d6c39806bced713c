"""A bounded memory of recent results, for waiters that come after their reply did."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from workflow_events.codec import Record

MAX_BYTES = 64 * 1024 * 1024
MAX_AGE = 600.0

OVERHEAD = 1024
"""Bytes that a record costs beside its body, key and headers: measured with replies of 336 bytes."""


@dataclass(slots=True)
class _Entry:
    """A result, and by partition the highest offset where it or a repeat of it lies."""

    since: float
    record: Record
    highest: dict[int, int]


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

    def add(self, key: bytes, record: Record) -> None:
        """Remember a result. The first of a correlation id stands: later ones are repeats."""
        entry = self._records.get(key)
        if entry is not None:
            # Forgetting it will be forgetting its repeats as well.
            entry.highest[record.partition] = max(record.offset, entry.highest.get(record.partition, 0))
            return
        self._records[key] = _Entry(self._now(), record, {record.partition: record.offset})
        self._bytes += size_of(record)
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
            self._bytes -= size_of(entry.record)
            for partition, offset in entry.highest.items():
                self.complete_from[partition] = max(self.complete_from.get(partition, 0), offset + 1)


def size_of(record: Record) -> int:
    """Bytes of memory that a record is counted with."""
    headers = sum(len(name) + len(value or b"") for name, value in record.headers or ())
    return OVERHEAD + len(record.value or b"") + len(record.key or b"") + headers
