"""The thread that owns the consumer of a progress topic."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_langgraph.kafka.owned_thread import OwnedThread
from airflow_provider_langgraph.kafka.topic_reader import TopicReader, addressed, record_of, refused, size_of
from airflow_provider_langgraph.task_log.phrases import ProgressLine, progress_line
from workflow_events.backoff import Backoff
from workflow_events.codec import Record, decode_progress
from workflow_events.errors import DecodeError
from workflow_events.plain_text import one_line

if TYPE_CHECKING:
    from confluent_kafka import Message

log = logging.getLogger(__name__)

GATHER_SECONDS = 0.25
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
HOUSEKEEPING_SECONDS = 10.0

MOST_RECORDS_BEHIND = 20_000
"""Records of one partition that are read back at most, to learn which requests were taken before the thread started."""

MOST_REMEMBERED_BYTES = 16 * 1024 * 1024
LARGEST_REMEMBERED_BYTES = 4_096
"""How much is kept of requests' latest messages, for waiters that are yet to come, and how large one may be."""

Lines = list[tuple[bytes, ProgressLine]]
"""Messages, each with the correlation id of its request as it stands in the header."""


class ProgressThread(OwnedThread):
    """Owns the consumer of the progress topic.

    :param since: from when on it reads, if that is not too much.
    :param deliver: called from this thread, a few times a second at most; must not block.
    :ivar covered_since: all that was written since then was read, and the latest of each request is remembered; None
        before it reads.
    :ivar heard_at: when the latest message that was read was written, of whatever request.
    """

    def __init__(self, settings: dict[str, Any], topic: str, since: datetime, deliver: Callable[[Lines], None]) -> None:
        super().__init__(f"progress-{topic}")
        self._settings = settings
        self._topic = topic
        self._since = since
        self._deliver = deliver
        self._lock = threading.Lock()
        self._followed: set[bytes] = set()
        self._new: set[bytes] = set()
        self._latest: OrderedDict[bytes, tuple[Record, datetime]] = OrderedDict()
        self._latest_bytes = 0
        self.trouble: str | None = None
        self.covered_since: datetime | None = None
        self.heard_at: datetime | None = None

    def follow(self, key: bytes) -> None:
        """Deliver the progress of this request."""
        with self._lock:
            self._followed.add(key)
            self._new.add(key)

    def leave(self, key: bytes) -> None:
        """Deliver no more of it."""
        with self._lock:
            self._followed.discard(key)
            self._new.discard(key)

    def run(self) -> None:
        """Read until stopped. What goes wrong is logged, and tried again later."""
        pauses = Backoff(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
        while not self.stop_asked.is_set():
            began = time.monotonic()
            try:
                self._read()
            except Exception as error:  # noqa: BLE001 - lines in a log are not worth a crash
                if self.trouble is None:
                    log.warning(
                        "Cannot read %s: %s", self._topic, one_line(str(error)), extra={"action": "progress_failed"}
                    )
                self.trouble = self.trouble or str(error)
            # Messages from here on are missed: that none of a worker has come proves nothing any more. Before it has
            # read at all, nothing is missed: it begins where it was to begin.
            if self.covered_since is not None:
                self.covered_since, self._since = None, datetime.now(UTC)
            if time.monotonic() - began > LONGEST_PAUSE_SECONDS:
                pauses.reset()
            self.stop_asked.wait(pauses.next_seconds())

    def _read(self) -> None:
        from confluent_kafka import KafkaException

        reader = TopicReader(self._settings, self._topic)
        try:
            try:
                self._stand(reader)
            except KafkaException as error:
                self.trouble = reader.errors.explain(error.args[0])
                return
            self._follow_topic(reader)
        finally:
            reader.close()

    def _stand(self, reader: TopicReader) -> None:
        """Start where the first followed request was published, or as near as :data:`MOST_RECORDS_BEHIND` allows."""
        # The ends first: what is written meanwhile is then found by its time.
        ends = {number: reader.watermarks(number)[1] for number in reader.partitions()}
        starts = ends | reader.offsets_at(self._since, list(ends))
        is_all = all(ends[number] - first <= MOST_RECORDS_BEHIND for number, first in starts.items())
        starts = {number: max(first, ends[number] - MOST_RECORDS_BEHIND) for number, first in starts.items()}
        self._since = self._since if is_all else datetime.now(UTC)
        reader.stand_at(starts)
        self.covered_since = self._since
        self.trouble = None

    def _follow_topic(self, reader: TopicReader) -> None:
        gathered: Lines = []
        delivered_at = 0.0
        look_at = time.monotonic() + HOUSEKEEPING_SECONDS
        while not self.stop_asked.is_set():
            gathered += self._wanted(reader.read(GATHER_SECONDS))
            if reader.take_passed():  # the only message of a request may have been there
                self.covered_since = datetime.now(UTC)
            now = time.monotonic()
            if gathered and now - delivered_at >= GATHER_SECONDS:
                self._deliver(gathered)
                gathered, delivered_at = [], now
            if reader.lost or now >= look_at:
                self._keep_house(reader)
                look_at = now + HOUSEKEEPING_SECONDS

    def _wanted(self, batch: Iterable[Message]) -> Lines:
        with self._lock:  # the event loop waits for it, so nothing is done under it
            new, self._new = self._new, set()
        now = datetime.now(UTC)
        found = [one for key in new if key in self._latest for one in _decoded(key, self._latest[key][0])]
        for message in batch:
            pair = addressed(message)
            if pair is None:
                continue
            key = pair[0]
            record = record_of(message, pair[1], "")
            self._note_heard(message.timestamp()[1])
            if len(record.value or b"") <= LARGEST_REMEMBERED_BYTES:
                self._remember(key, record, now)
            if key in self._followed:
                found += _decoded(key, record)
        return found

    def _note_heard(self, timestamp_ms: int) -> None:
        written = datetime.fromtimestamp(min(max(timestamp_ms, 0) / 1000, time.time()), UTC)
        self.heard_at = written if self.heard_at is None else max(self.heard_at, written)

    def _remember(self, key: bytes, record: Record, now: datetime) -> None:
        before = self._latest.pop(key, None)
        if before is not None:
            self._latest_bytes -= _size_of(before[0])
        self._latest[key] = record, now
        self._latest_bytes += _size_of(record)
        while self._latest_bytes > MOST_REMEMBERED_BYTES:
            _, (forgotten, since) = self._latest.popitem(last=False)
            self._latest_bytes -= _size_of(forgotten)
            if self.covered_since is not None:
                self.covered_since = max(self.covered_since, since)

    def _keep_house(self, reader: TopicReader) -> None:
        from confluent_kafka import KafkaException

        try:
            topic_id = reader.topic_id
            present = reader.partitions()
            if topic_id != reader.topic_id:  # created anew
                reader.forget()
            fresh = set(present) - reader.next.keys() | reader.lost
            places = {number: reader.watermarks(number)[0] for number in fresh}
            why = refused(reader, self._topic)
            # A quiet partition does not report by itself that it may be read again.
            places |= {number: reader.next[number] for number in reader.refusals if number not in fresh}
            if places:
                reader.stand_at(places)
        except KafkaException as error:
            self.trouble = reader.errors.explain(error.args[0])
        else:
            reader.errors.forget()
            self.trouble = why


def _size_of(record: Record) -> int:
    return size_of(record.value, record.headers or ())


def _decoded(key: bytes, record: Record) -> Lines:
    try:
        return [(key, progress_line(decode_progress(record)))]
    except DecodeError as error:
        log.debug("No progress: %s", one_line(str(error)), extra={"action": "progress_unreadable"})
        return []
