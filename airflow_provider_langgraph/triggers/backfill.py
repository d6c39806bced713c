"""One read back over a results topic for all waiters that came late, also for those that come while it reads."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from airflow_provider_langgraph.triggers.seen import SeenResults
from airflow_provider_langgraph.triggers.topic_reader import Reader, addressed, record_of, refused
from workflow_events.codec import Record

log = logging.getLogger(__name__)

READ_SECONDS = 0.1

STALLED_SECONDS = 30.0
"""A read back that gets nothing for this long gives up, and is tried again."""

MOST_RECORDS = 1_000_000
"""What lies further back than this is not read: the workers are asked to publish the result again."""

Need = Mapping[int, int]
"""By partition, from where on a waiter's reply may lie; up to where the pass ends."""


@dataclass(frozen=True, slots=True)
class Passed:
    """How a pass went. Waiters that it does not name came too late for it: another one has to look for their replies.

    :param gone: waiters whose replies it has not found, and that may have lain where nothing is left, or too far back.
    :param missing: the others whose replies it has not found: they are still to come.
    :param memory: what it read, for those who come yet.
    """

    gone: set[bytes]
    missing: set[bytes]
    memory: SeenResults


@dataclass(slots=True)
class Pass:
    """Reads a topic once, from the earliest place where a waiter's reply may lie, up to ``until``.

    :param reader: a reader of its own, standing nowhere.
    :param until: by partition, where it ends.
    :param memory: remembers what it reads, so that who comes later needs no pass of his own.
    """

    reader: Reader
    topic: str
    until: dict[int, int]
    memory: SeenResults
    done: bool = False
    _is_whole: bool = True
    _lows: dict[int, int] = field(default_factory=dict)
    _ends: dict[int, int] = field(default_factory=dict)
    _keys: set[bytes] = field(default_factory=set)
    _gone: set[bytes] = field(default_factory=set)
    _too_long: set[bytes] = field(default_factory=set)

    def begin(self, needs: Mapping[bytes, Need]) -> None:
        """Find out what is there, and stand where the first of it lies.

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
        """Where it stands in the partitions that it has not read to their end."""
        return {number: at for number, at in self.reader.next.items() if at < self._ends.get(number, 0)}

    def result(self) -> Passed:
        """How it went; asked for once it is done."""
        lost = self._gone & self._keys if self._is_whole else self._keys
        return Passed(lost | self._too_long, self._keys - lost, self.memory)

    def _span(self, need: Need) -> dict[int, int]:
        """What there is of what a waiter needs: by partition, its first offset."""
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
        """Retention may overtake a pass."""
        if self.reader.lost:
            moved = {number: self.reader.watermarks(number)[0] for number in sorted(self.reader.lost)}
            self._gone |= self._keys
            self._lows |= moved
            self.memory.complete_from |= moved
            self.reader.stand_at(moved)

    def _end_if_read(self) -> None:
        self.done = all(self.reader.next.get(number, end) >= end for number, end in self._ends.items())


class Backfill(threading.Thread):
    """Drives a pass in a thread of its own, and ends with it.

    :param open_reader: makes the pass's reader.
    :param until: as for :class:`Pass`.
    :param found: called from this thread with replies, as soon as they are read.
    :param done: called from this thread at the end, with None and why if not everything could be read.
    """

    def __init__(
        self,
        open_reader: Callable[[], Reader],
        topic: str,
        needs: dict[bytes, Need],
        until: dict[int, int],
        memory: SeenResults,
        found: Callable[[dict[bytes, Record]], None],
        done: Callable[[Passed | None, str], None],
    ) -> None:
        super().__init__(name=f"langgraph-backfill-{topic}", daemon=True)
        self._open_reader = open_reader
        self._topic = topic
        self._needs = needs
        self._until = until
        self._memory = memory
        self._found = found
        self._done = done
        self._joining: queue.SimpleQueue[tuple[bytes, Need]] = queue.SimpleQueue()
        self._stop_asked = threading.Event()

    def stop(self) -> None:
        """Ask the thread to end early; does not wait for it."""
        self._stop_asked.set()

    def join_in(self, key: bytes, need: Need) -> None:
        """Serve one more waiter. If the pass is over by then, nothing happens: whoever started it looks after that."""
        self._joining.put((key, need))

    def run(self) -> None:
        """Read, then report."""
        began = time.monotonic()
        count = len(self._needs)
        passed: Passed | None = None
        error = ""
        try:
            reader = self._open_reader()
            try:
                passed = self._read(reader)
            finally:
                reader.close()
        except Exception as problem:  # noqa: BLE001 - whoever waits must hear of it, whatever it is
            error = f"{type(problem).__name__}: {problem}"
        log.info(
            "Read %s back for %d late waiters in %.1f s: %s",
            self._topic,
            count,
            time.monotonic() - began,
            error or "done",
            extra={"action": "backfill"},
        )
        self._done(passed, error)

    def _read(self, reader: Reader) -> Passed:
        reading = Pass(reader, self._topic, self._until, self._memory)
        reading.begin(self._needs)
        self._needs = {}
        heard = time.monotonic()
        at = reading.unread
        while not reading.done and not self._stop_asked.is_set():
            found = reading.step()
            found |= self._take_in(reading)
            if found:
                self._found(found)
            if reading.unread != at:
                at, heard = reading.unread, time.monotonic()
            elif time.monotonic() - heard > STALLED_SECONDS:
                why = refused(reader, self._topic) or reader.errors.explain()
                raise TimeoutError(f"no record for {STALLED_SECONDS:.0f} s: {why}")
        return reading.result()

    def _take_in(self, reading: Pass) -> dict[bytes, Record]:
        found = {}
        while not self._joining.empty():
            key, need = self._joining.get()
            record = reading.join(key, need)
            if record is not None:
                found[key] = record
        return found
