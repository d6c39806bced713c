"""What agents tell while their tasks wait: one consumer of the progress topic for all of them, best effort.

Nothing here may hold up, fail or answer a wait: a progress topic that is missing or forbidden costs the lines, no more.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_langgraph.triggers.shared import Shared, Turns
from airflow_provider_langgraph.triggers.topic_reader import TopicReader, addressed, record_of, refused
from airflow_provider_langgraph.triggers.words import Told, told
from workflow_events.codec import Record, decode_progress
from workflow_events.errors import DecodeError

if TYPE_CHECKING:
    from confluent_kafka import Message

log = logging.getLogger(__name__)

GATHER_SECONDS = 0.25
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
HOUSEKEEPING_SECONDS = 10.0

MOST_BEHIND = 20_000
"""Records of one partition that are read back at most, to hear who was taken before this listener started."""

MOST_REMEMBERED = 10_000
LARGEST_REMEMBERED = 4_096
"""Requests whose latest message is kept for a waiter that is yet to come, and bytes of one."""

MOST_NEWS = 20
"""Messages that are kept for a waiter that has no time to look; the oldest go first."""


class News:
    """What one request's run has told. Belongs to the event loop.

    :param ring: called when there is something new.
    :ivar messages: what the waiter has not looked at yet.
    :ivar dropped: how many more there were.
    :ivar heard: whether anything was told at all.
    """

    __slots__ = ("_ring", "dropped", "heard", "messages")

    def __init__(self, ring: Callable[[], None]) -> None:
        self.messages: list[Told] = []
        self.dropped = 0
        self.heard = False
        self._ring = ring

    def add(self, message: Told) -> None:
        """There is something new."""
        self.heard = True
        if not message.words:
            return
        self.messages.append(message)
        if len(self.messages) > MOST_NEWS:
            del self.messages[0]
            self.dropped += 1
        self._ring()

    def take(self) -> tuple[list[Told], int]:
        """All that is new, and how many messages were dropped before it."""
        taken = self.messages, self.dropped
        self.messages, self.dropped = [], 0
        return taken


class ProgressListener:
    """Hands each message to who follows its request. Belongs to one event loop; use :func:`join_progress`."""

    failed = False  # it tries again for ever

    def __init__(self, settings: dict[str, Any], topic: str, since: datetime) -> None:
        self._loop = asyncio.get_running_loop()
        self._followers: dict[bytes, list[News]] = {}
        self._turns = Turns(self._loop, self._hand_out)
        self._thread = ProgressThread(settings, topic, since, self._deliver)
        self._thread.start()
        self.users = 0

    @property
    def trouble(self) -> str | None:
        """Why nothing can be heard just now; None while it can."""
        return self._thread.trouble

    def covers(self, asked_at: datetime | None) -> bool:
        """Whether a request's acceptance cannot have been missed: all since then was read."""
        since = self._thread.covered_since
        return asked_at is not None and since is not None and since <= asked_at and self.trouble is None

    @property
    def line_seconds(self) -> float:
        """How often a follower may write a line: each passes through Airflow's supervisor, one after the other."""
        return max(1.0, len(self._followers) / 50)

    def follow(self, key: bytes, ring: Callable[[], None]) -> News:
        """Hear of one request from now on, and the latest of what it told before.

        :param ring: as for :class:`News`.
        """
        news = News(ring)
        self._followers.setdefault(key, []).append(news)
        self._thread.follow(key)
        return news

    def leave(self, key: bytes, news: News) -> None:
        """Hear no more."""
        followers = self._followers.get(key, [])
        if news in followers:
            followers.remove(news)
        if not followers and self._followers.pop(key, None) is not None:
            self._thread.leave(key)

    def close(self) -> None:
        """Stop reading. Returns at once."""
        self._thread.stop()

    def _deliver(self, batch: list[tuple[bytes, Told]]) -> None:
        try:
            self._loop.call_soon_threadsafe(self._turns.add, batch)
        except RuntimeError:  # the loop is closed
            self._thread.stop()

    def _hand_out(self, told: tuple[bytes, Told]) -> None:
        key, message = told
        for news in self._followers.get(key, ()):
            news.add(message)


class ProgressThread(threading.Thread):
    """Owns the consumer of the progress topic.

    :param since: from when on it reads, if that is not too much.
    :param deliver: called from this thread, a few times a second at most; must not block.
    :ivar covered_since: all that was written since then was read, and the latest of each request is remembered; None
        before it reads.
    """

    def __init__(self, settings: dict[str, Any], topic: str, since: datetime, deliver: Any) -> None:
        super().__init__(name=f"langgraph-progress-{topic}", daemon=True)
        self._settings = settings
        self._topic = topic
        self._since = since
        self._deliver = deliver
        self._lock = threading.Lock()
        self._followed: set[bytes] = set()
        self._new: set[bytes] = set()
        self._latest: OrderedDict[bytes, tuple[Record, datetime]] = OrderedDict()
        self._stopped = threading.Event()
        self.trouble: str | None = None
        self.covered_since: datetime | None = None

    def follow(self, key: bytes) -> None:
        """Deliver what is told of this request."""
        with self._lock:
            self._followed.add(key)
            self._new.add(key)

    def leave(self, key: bytes) -> None:
        """Deliver nothing of it any more."""
        with self._lock:
            self._followed.discard(key)
            self._new.discard(key)

    def stop(self) -> None:
        """Ask the thread to end; does not wait for it."""
        self._stopped.set()

    def run(self) -> None:
        """Read until stopped. Whatever goes wrong is told, and tried again later."""
        pause = FIRST_PAUSE
        while not self._stopped.is_set():
            began = time.monotonic()
            try:
                self._read()
            except Exception as error:  # noqa: BLE001 - lines in a log are not worth a crash
                if self.trouble is None:
                    log.warning("Cannot read %s: %s", self._topic, error, extra={"action": "progress_failed"})
                self.trouble = self.trouble or str(error)
            # What is told from here on is missed: nobody may conclude anything from not having heard of a worker.
            self.covered_since = None
            self._since = datetime.now(UTC)
            pause = FIRST_PAUSE if time.monotonic() - began > LONGEST_PAUSE else min(pause * 2, LONGEST_PAUSE)
            self._stopped.wait(pause)

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
        """Begin where the first follower's request was asked, or as near as can be afforded."""
        # The ends first: what is written meanwhile is then found by its time.
        ends = {number: reader.watermarks(number)[1] for number in reader.partitions()}
        starts = ends | reader.offsets_at(self._since, list(ends))
        is_all = all(ends[number] - first <= MOST_BEHIND for number, first in starts.items())
        starts = {number: max(first, ends[number] - MOST_BEHIND) for number, first in starts.items()}
        self._since = self._since if is_all else datetime.now(UTC)
        reader.stand_at(starts)
        self.covered_since = self._since
        self.trouble = None

    def _follow_topic(self, reader: TopicReader) -> None:
        gathered: list[tuple[bytes, Told]] = []
        told_at = 0.0
        look_at = time.monotonic() + HOUSEKEEPING_SECONDS
        while not self._stopped.is_set():
            gathered += self._wanted(reader.read(GATHER_SECONDS))
            now = time.monotonic()
            if gathered and now - told_at >= GATHER_SECONDS:
                self._deliver(gathered)
                gathered, told_at = [], now
            if reader.lost or now >= look_at:
                self._keep_house(reader)
                look_at = now + HOUSEKEEPING_SECONDS

    def _wanted(self, batch: Iterable[Message]) -> list[tuple[bytes, Told]]:
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
            if len(record.value or b"") <= LARGEST_REMEMBERED:
                self._latest[key] = record, now
                self._latest.move_to_end(key)
            if key in self._followed:
                found += _decoded(key, record)
        while len(self._latest) > MOST_REMEMBERED:
            _, (_, forgotten) = self._latest.popitem(last=False)
            if self.covered_since is not None:
                self.covered_since = max(self.covered_since, forgotten)
        return found

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
            # A quiet partition does not say by itself that it may be read again.
            places |= {number: reader.next[number] for number in reader.refusals if number not in fresh}
            if places:
                reader.stand_at(places)
        except KafkaException as error:
            self.trouble = reader.errors.explain(error.args[0])
        else:
            reader.errors.forget()
            self.trouble = why


def _decoded(key: bytes, record: Record) -> list[tuple[bytes, Told]]:
    try:
        return [(key, told(decode_progress(record)))]
    except DecodeError as error:
        log.debug("No progress: %s", error, extra={"action": "progress_unreadable"})
        return []


_shared: Shared[ProgressListener] = Shared()


def join_progress(settings: dict[str, Any], topic: str, since: datetime) -> ProgressListener:
    """The process's listener for a progress topic over a connection; :func:`leave_progress` when done.

    :param since: when the request was asked that is to be followed.
    """
    return _shared.join(settings, topic, lambda: ProgressListener(settings, topic, since))


def leave_progress(listener: ProgressListener) -> None:
    """Use it no more; it is closed with its last user."""
    _shared.leave(listener)
