"""One read back over a results topic for all waiters that came late."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from airflow_provider_langgraph.triggers.topic_reader import TopicReader, key_of, record_of
from workflow_events.codec import Record

log = logging.getLogger(__name__)

STALLED_SECONDS = 30.0
"""A read back that gets nothing for this long gives up, and is tried again."""


@dataclass(frozen=True, slots=True)
class Range:
    """Offsets from ``start`` up to, not including, ``end``."""

    start: int
    end: int

    def widened(self, other: Range) -> Range:
        """The smallest range that holds both."""
        return Range(min(self.start, other.start), max(self.end, other.end))


class Backfill(threading.Thread):
    """Reads ranges of a topic once, with a consumer of its own, and ends.

    :param keys: correlation ids that somebody waits for, as they stand in the header.
    :param done: called from this thread with what was found, and None or why not everything could be read.
    """

    def __init__(
        self,
        settings: dict[str, Any],
        topic: str,
        ranges: dict[int, Range],
        keys: Collection[bytes],
        done: Callable[[dict[bytes, Record], str | None], None],
    ) -> None:
        super().__init__(name=f"langgraph-backfill-{topic}", daemon=True)
        self._settings = settings
        self._topic = topic
        self._ranges = ranges
        self._keys = keys
        self._done = done
        self._found: dict[bytes, Record] = {}
        self._stop_asked = threading.Event()

    def stop(self) -> None:
        """Ask the thread to end early; does not wait for it."""
        self._stop_asked.set()

    def run(self) -> None:
        """Read every range, then report."""
        error: str | None = None
        began = time.monotonic()
        try:
            reader = TopicReader(self._settings, self._topic)
            try:
                self._read(reader)
            finally:
                reader.close()
        except Exception as problem:  # noqa: BLE001 - whoever waits must hear of it, whatever it is
            error = f"{type(problem).__name__}: {problem}"
        log.info(
            "Read %d offsets of %s back for %d waiters in %.1f s, found %d replies",
            sum(span.end - span.start for span in self._ranges.values()),
            self._topic,
            len(self._keys),
            time.monotonic() - began,
            len(self._found),
            extra={"action": "backfill"},
        )
        self._done(self._found, error)

    def _read(self, reader: TopicReader) -> None:
        ends = self._start(reader)
        last = time.monotonic()
        while not self._stop_asked.is_set() and any(reader.next[number] < end for number, end in ends.items()):
            batch = reader.read(0.1)
            for message in batch:
                key = key_of(message)
                if key is not None and key in self._keys and key not in self._found:
                    self._found[key] = record_of(message, reader.cluster)
            if batch:
                last = time.monotonic()
                continue
            reader.recover_lost()
            reader.skip_gaps()
            if time.monotonic() - last > STALLED_SECONDS:
                raise TimeoutError(f"no record for {STALLED_SECONDS:.0f} s: {reader.errors.explain()}")

    def _start(self, reader: TopicReader) -> dict[int, int]:
        """Stand where each range begins; return where each ends. What retention has removed is skipped."""
        present = set(reader.partitions())
        starts: dict[int, int] = {}
        ends: dict[int, int] = {}
        for number, span in self._ranges.items():
            if number not in present:
                continue
            low, high = reader.watermarks(number)
            if low > span.start:
                log.warning(
                    "%s[%d]: results before offset %d are gone",
                    self._topic,
                    number,
                    low,
                    extra={"action": "backfill_gone"},
                )
            starts[number], ends[number] = max(low, span.start), min(high, span.end)
        reader.stand_at({number: start for number, start in starts.items() if start < ends[number]})
        return {number: end for number, end in ends.items() if starts[number] < end}
