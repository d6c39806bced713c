"""One read back of a results topic for all waiters that came late, also for those that come while it reads."""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from airflow_provider_langgraph.kafka.owned_thread import OwnedThread
from airflow_provider_langgraph.kafka.topic_reader import Reader, addressed, record_of, refused
from airflow_provider_langgraph.waiting.result_cache import ResultCache
from workflow_events.codec import Record
from workflow_events.log_words import counted, in_seconds

log = logging.getLogger(__name__)

READ_SECONDS = 0.1

STALLED_SECONDS = 30.0
"""A read back that gets nothing for this long gives up, and is tried again."""

MOST_RECORDS = 1_000_000
"""If more records than this would have to be read, the workers are asked to publish the result again instead."""

Need = Mapping[int, int]
"""By partition, the first offset at which a waiter's reply may lie. The read back ends at its ``until``."""


@dataclass(frozen=True, slots=True)
class CatchUpResult:
    """How a read back ended. A waiter that it does not name came too late: another read back has to find its reply.

    :param gone: waiters whose replies were not found, and may have been removed from the topic or lie too far back.
    :param missing: waiters whose replies were not found although all was read: these replies are still to come.
    :param memory: what was read, for later waiters.
    """

    gone: set[bytes]
    missing: set[bytes]
    memory: ResultCache


@dataclass(slots=True)
class CatchUp:
    """Reads a topic once, from the earliest place where a waiter's reply may lie, up to ``until``.

    :param reader: a reader of its own, standing nowhere.
    :param until: by partition, where it ends.
    :param memory: remembers what it reads, so that a later waiter needs no read back of its own.
    :ivar done: whether it has read everything.
    """

    reader: Reader
    topic: str
    until: dict[int, int]
    memory: ResultCache
    done: bool = field(default=False, init=False)
    _is_whole: bool = field(default=True, init=False)
    _lows: dict[int, int] = field(default_factory=dict, init=False)
    _ends: dict[int, int] = field(default_factory=dict, init=False)
    _keys: set[bytes] = field(default_factory=set, init=False)
    _gone: set[bytes] = field(default_factory=set, init=False)
    _too_long: set[bytes] = field(default_factory=set, init=False)

    def begin(self, needs: Mapping[bytes, Need]) -> None:
        """Ask the broker for the topic's offsets, and start at the earliest that a waiter needs.

        :raises confluent_kafka.KafkaException: the broker gave no answer.
        """
        present = set(self.reader.partitions())
        for number in sorted(self.until.keys() & present):
            low, high = self.reader.watermarks(number)
            self._lows[number], self._ends[number] = low, min(high, self.until[number])
        self._is_whole = all(self._ends.get(number) == end for number, end in self.until.items())
        starts: dict[int, int] = {}
        for key, need in needs.items():
            if self._is_too_long(key, need):
                continue
            self._keys.add(key)
            for number, start in self._span(need).items():
                starts[number] = min(start, starts.get(number, start))
        self.memory.complete_from = dict(starts)
        self.reader.stand_at(starts)
        self._end_if_read()

    def join(self, key: bytes, need: Need) -> Record | None:
        """Serve one more waiter: with what was read already, or with what is read from now on."""
        if self._is_too_long(key, need):
            return None
        remembered = self.memory.complete_from
        if any(start < remembered.get(number, self._ends[number]) for number, start in self._span(need).items()):
            return None
        found = self.memory.get(key, self.topic, self.reader.cluster)
        if found is None:
            self._keys.add(key)
        return found

    def step(self) -> dict[bytes, Record]:
        """Read one batch, and return the replies in it that are waited for."""
        found: dict[bytes, Record] = {}
        for message in self.reader.read(READ_SECONDS):
            if (message.offset() or 0) >= self._ends.get(message.partition() or 0, 0):
                continue
            pair = addressed(message)
            if pair is None:
                continue
            key, pairs = pair
            self.memory.add(key, message.partition() or 0, message.offset() or 0, message.value(), pairs)
            if key in self._keys:
                self._keys.discard(key)
                found[key] = record_of(message, pairs, self.reader.cluster)
        self.memory.trim()
        self._go_on_where_something_is_left()
        self.reader.skip_gaps()
        self._end_if_read()
        return found

    @property
    def unread(self) -> dict[int, int]:
        """The next offset in each partition that it has not read to its end."""
        return {number: at for number, at in self.reader.next.items() if at < self._ends.get(number, 0)}

    def result(self) -> CatchUpResult:
        """How it ended; called once it is done."""
        lost = self._gone & self._keys if self._is_whole else self._keys
        return CatchUpResult(lost | self._too_long, self._keys - lost, self.memory)

    def _span(self, need: Need) -> dict[int, int]:
        """The part of a waiter's need that the topic still holds: by partition, its first offset."""
        return {
            number: max(start, self._lows[number])
            for number, start in need.items()
            if number in self._ends and max(start, self._lows[number]) < self._ends[number]
        }

    def _is_too_long(self, key: bytes, need: Need) -> bool:
        length = sum(self._ends[number] - start for number, start in self._span(need).items())
        if length > MOST_RECORDS:
            self._too_long.add(key)
            return True
        if any(start < self._lows.get(number, 0) for number, start in need.items()):
            self._gone.add(key)
        return False

    def _go_on_where_something_is_left(self) -> None:
        """Go on where records are left: retention may overtake a read back, and what it passes may be a reply."""
        moved = {number: self.reader.watermarks(number)[0] for number in sorted(self.reader.lost)}
        if moved:
            self.reader.stand_at(moved)
        moved |= self.reader.take_passed()
        if moved:
            self._gone |= self._keys
            self._lows |= moved
            self.memory.complete_from |= moved

    def _end_if_read(self) -> None:
        self.done = all(self.reader.next.get(number, end) >= end for number, end in self._ends.items())


class CatchUpThread(OwnedThread):
    """Runs one read back in a thread of its own, and ends with it.

    :param open_reader: makes its reader.
    :param until: as for :class:`CatchUp`.
    :param found: called from this thread with replies, as soon as they are read.
    :param done: called from this thread at the end; with None and the reason if the read back failed.
    """

    def __init__(
        self,
        open_reader: Callable[[], Reader],
        topic: str,
        needs: dict[bytes, Need],
        until: dict[int, int],
        memory: ResultCache,
        found: Callable[[dict[bytes, Record]], None],
        done: Callable[[CatchUpResult | None, str], None],
    ) -> None:
        super().__init__(f"catch-up-{topic}")
        self._open_reader = open_reader
        self._topic = topic
        self._needs = needs
        self._until = until
        self._memory = memory
        self._found = found
        self._done = done
        self._joining: queue.SimpleQueue[tuple[bytes, Need]] = queue.SimpleQueue()

    def join_in(self, key: bytes, need: Need) -> None:
        """Serve one more waiter. If the read back is over by then, nothing happens: its result names no such waiter."""
        self._joining.put((key, need))

    def run(self) -> None:
        """Read, then report."""
        began = time.monotonic()
        count = len(self._needs)
        passed: CatchUpResult | None = None
        error = ""
        try:
            reader = self._open_reader()
            try:
                passed = self._read(reader)
            finally:
                reader.close()
        except Exception as problem:  # noqa: BLE001 - the waiters must learn of any error
            error = f"{type(problem).__name__}: {problem}"
        log.info(
            "%s earlier answers to %s (in %s, %s)",
            f"Could not look for ({error})" if error else "Looked for",
            counted(count, "task"),
            self._topic,
            in_seconds(time.monotonic() - began),
            extra={"action": "catch_up"},
        )
        self._done(passed, error)

    def _read(self, reader: Reader) -> CatchUpResult:
        reading = CatchUp(reader, self._topic, self._until, self._memory)
        reading.begin(self._needs)
        self._needs = {}
        moved_at = time.monotonic()
        at = reading.unread
        while not reading.done and not self.stop_asked.is_set():
            found = reading.step()
            found |= self._take_in(reading)
            if found:
                self._found(found)
            if reading.unread != at:
                at, moved_at = reading.unread, time.monotonic()
            elif time.monotonic() - moved_at > STALLED_SECONDS:
                why = refused(reader, self._topic) or reader.errors.explain()
                raise TimeoutError(f"no record for {STALLED_SECONDS:.0f} s: {why}")
        return reading.result()

    def _take_in(self, reading: CatchUp) -> dict[bytes, Record]:
        found = {}
        while not self._joining.empty():
            key, need = self._joining.get()
            record = reading.join(key, need)
            if record is not None:
                found[key] = record
        return found
