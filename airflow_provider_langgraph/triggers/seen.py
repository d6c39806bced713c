"""A bounded memory of recent results, for waiters that come after their reply did."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from workflow_events.codec import Record

MAX_BYTES = 64 * 1024 * 1024
MAX_AGE = 600.0


class SeenResults:
    """Records by correlation id, oldest forgotten first, and exactly which offsets are still remembered.

    Belongs to one thread.

    :param max_bytes: bodies kept at most, in bytes.
    :param max_age: seconds that a body is kept at most.
    """

    def __init__(
        self, max_bytes: int = MAX_BYTES, max_age: float = MAX_AGE, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._max_bytes = max_bytes
        self._max_age = max_age
        self._now = now
        self._records: OrderedDict[bytes, tuple[float, Record]] = OrderedDict()
        self._bytes = 0
        self.complete_from: dict[int, int] = {}
        """By partition: every result at or after this offset, and before the live position, is remembered."""

    def __len__(self) -> int:
        return len(self._records)

    def add(self, key: bytes, record: Record) -> None:
        """Remember a result. The first of a correlation id stands: later ones are repeats."""
        if key in self._records:
            return
        self._records[key] = (self._now(), record)
        self._bytes += len(record.value or b"")
        self.trim()

    def get(self, key: bytes) -> Record | None:
        """The remembered result of a correlation id."""
        entry = self._records.get(key)
        return entry[1] if entry else None

    def trim(self) -> None:
        """Forget what is too old or too much, and move :attr:`complete_from` past it."""
        oldest = self._now() - self._max_age
        while self._records:
            key, (since, record) = next(iter(self._records.items()))
            if since >= oldest and self._bytes <= self._max_bytes:
                return
            del self._records[key]
            self._bytes -= len(record.value or b"")
            known = self.complete_from.get(record.partition, 0)
            self.complete_from[record.partition] = max(known, record.offset + 1)
