"""The thread that owns the consumer of a results topic.

Only this thread touches the consumer: calls from two threads wait for each other without a time limit. The outside
speaks to it through a queue of commands, and hears from it once per batch.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_langgraph.exceptions import WaitError
from airflow_provider_langgraph.triggers.backfill import Backfill, Range
from airflow_provider_langgraph.triggers.seen import SeenResults
from airflow_provider_langgraph.triggers.topic_reader import Ends, TopicReader, key_of, record_of
from workflow_events.codec import Record

if TYPE_CHECKING:
    from confluent_kafka import Message

log = logging.getLogger(__name__)

POLL_SECONDS = 0.1
HOUSEKEEPING_SECONDS = 10.0
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 10.0

HOPELESS_SECONDS = 30.0
"""How long a refused login or an unknown topic must last to be believed: a broker that is behind its controller, or a
topic that is being created anew, gives the same answer for a moment."""


@dataclass(frozen=True, slots=True)
class Register:
    """A waiter has come.

    :param key: the correlation id as it stands in the header.
    :param start: where its reply can lie at the earliest, by partition; a missing partition means from its start.
    :param cluster: the Kafka cluster that ``start`` is about.
    """

    key: bytes
    start: dict[int, int]
    cluster: str


@dataclass(frozen=True, slots=True)
class Unregister:
    """A waiter has left."""

    key: bytes


@dataclass(frozen=True, slots=True)
class ReadBack:
    """A backfill has ended.

    :param error: None, or why it could not read everything.
    """

    found: dict[bytes, Record]
    error: str | None


@dataclass(slots=True)
class Outcome:
    """What the thread brings to the waiters.

    :param fatal: the thread has given up: every waiter ends with this.
    """

    replies: list[tuple[bytes, Record]] = field(default_factory=list)
    fatal: WaitError | None = None


class PollThread(threading.Thread):
    """Reads a results topic from its end, and back where a waiter needs it.

    :param settings: librdkafka settings of the connection.
    :param deliver: called from this thread with what each batch brings; must not block.
    """

    def __init__(self, settings: dict[str, Any], topic: str, deliver: Callable[[Outcome], None]) -> None:
        super().__init__(name=f"langgraph-results-{topic}", daemon=True)
        self._troubles: dict[str, str] = {}
        self._settings = settings
        self._topic = topic
        self._deliver = deliver
        self._commands: queue.SimpleQueue[Register | Unregister | ReadBack | None] = queue.SimpleQueue()
        self._wanted: Counter[bytes] = Counter()
        self._late: list[Register] = []
        self._being_read_back: list[Register] = []
        self._backfill: Backfill | None = None
        self._backfill_pause = FIRST_PAUSE
        self._serve_at = 0.0
        self._seen = SeenResults()

    @property
    def trouble(self) -> str | None:
        """Why the topic cannot be read just now; None while it can."""
        return next(iter(list(self._troubles.values())), None)

    def send(self, command: Register | Unregister) -> None:
        """Ask the thread for something; it obeys within a tenth of a second."""
        self._commands.put(command)

    def stop(self) -> None:
        """Ask the thread to end; does not wait for it."""
        self._commands.put(None)

    def run(self) -> None:
        """Poll until told to stop. A failure of the thread itself fails every waiter, with its cause."""
        try:
            reader = TopicReader(self._settings, self._topic)
            try:
                if self._stand_at_end(reader):
                    self._poll(reader)
            finally:
                if self._backfill is not None:
                    self._backfill.stop()
                reader.close()
        except Exception as error:
            log.exception("The listener of %s failed", self._topic, extra={"action": "listener_failed"})
            self._give_up(f"the listener of {self._topic} failed: {type(error).__name__}: {error}")

    def _give_up(self, why: str) -> None:
        self._troubles["fatal"] = why
        self._deliver(Outcome(fatal=WaitError(why)))

    def _stand_at_end(self, reader: TopicReader) -> bool:
        """Begin at the end of every partition. A broker that is away is waited for; False: stopped, or hopeless."""
        from confluent_kafka import KafkaException

        pause = FIRST_PAUSE
        hopeless_since: float | None = None
        while True:
            reader.errors.forget()
            try:
                reader.stand_at_end()
            except KafkaException as error:
                why = self._troubles["start"] = reader.errors.explain(error.args[0])
                log.warning("Cannot read %s yet: %s", self._topic, why, extra={"action": "listener_waiting"})
                if reader.errors.refused or error.args[0].name() == "UNKNOWN_TOPIC_OR_PART":
                    hopeless_since = hopeless_since or time.monotonic()
                    if time.monotonic() - hopeless_since >= HOPELESS_SECONDS:
                        self._give_up(f"cannot read {self._topic}: {why}")
                        return False
                else:
                    hopeless_since = None
                if not self._pause(pause):
                    return False
                pause = min(pause * 2, LONGEST_PAUSE)
                continue
            self._seen.complete_from = dict(reader.next)
            self._troubles.clear()
            return True

    def _pause(self, seconds: float) -> bool:
        """Obey commands for a while, without a broker; False when told to stop."""
        ends = time.monotonic() + seconds
        while (left := ends - time.monotonic()) > 0:
            try:
                command = self._commands.get(timeout=left)
            except queue.Empty:
                break
            if command is None:
                return False
            self._note(command, Outcome())
        return True

    def _poll(self, reader: TopicReader) -> None:
        due = time.monotonic() + HOUSEKEEPING_SECONDS
        while self._obey(reader):
            batch = reader.read(POLL_SECONDS)
            if batch:
                self._take(reader, batch)
            if reader.lost or time.monotonic() >= due:
                self._keep_house(reader)
                due = time.monotonic() + HOUSEKEEPING_SECONDS

    def _obey(self, reader: TopicReader) -> bool:
        outcome = Outcome()
        while not self._commands.empty():
            command = self._commands.get()
            if command is None:
                return False
            self._note(command, outcome)
        if self._late and time.monotonic() >= self._serve_at:
            self._serve_late(reader, outcome)
        if outcome.replies:
            self._deliver(outcome)
        return True

    def _note(self, command: Register | Unregister | ReadBack, outcome: Outcome) -> None:
        match command:
            case Register(key):
                self._wanted[key] += 1
                self._late.append(command)
                self._serve_at = min(self._serve_at, time.monotonic() + POLL_SECONDS)
            case Unregister(key):
                self._wanted[key] -= 1
                if self._wanted[key] <= 0:
                    del self._wanted[key]
            case ReadBack(found, error):
                self._finish_backfill(found, error, outcome)

    def _take(self, reader: TopicReader, batch: list[Message]) -> None:
        outcome = Outcome()
        for message in batch:
            key = key_of(message)
            if key is None:
                continue
            record = record_of(message, reader.cluster)
            self._seen.add(key, record)
            self._reply(key, record, outcome)
        if outcome.replies:
            self._deliver(outcome)

    def _reply(self, key: bytes, record: Record, outcome: Outcome) -> None:
        if self._wanted.pop(key, 0) > 0:
            outcome.replies.append((key, record))

    def _serve_late(self, reader: TopicReader, outcome: Outcome) -> None:
        """Give new waiters what has been seen already, and read back, once for all of them, what has not."""
        reader.skip_gaps()
        ends = Ends(reader)
        ranges: dict[int, Range] = {}
        late, self._late = self._late, []
        for waiter in late:
            if self._wanted[waiter.key] <= 0:
                continue  # served or gone meanwhile
            record = self._seen.get(waiter.key)
            if record is not None:
                self._reply(waiter.key, record, outcome)
                continue
            unseen = self._unseen(reader, ends, waiter)
            for partition, span in unseen.items():
                ranges[partition] = ranges[partition].widened(span) if partition in ranges else span
            if unseen or ends.trouble:  # otherwise its reply can only be ahead
                self._late.append(waiter)
        if ends.trouble:
            self._troubles["ends"] = ends.trouble
            self._serve_at = time.monotonic() + LONGEST_PAUSE
            return
        self._troubles.pop("ends", None)
        self._serve_at = float("inf")  # until somebody comes, or the read back ends
        if self._late and self._backfill is None:
            self._start_backfill(ranges)

    def _start_backfill(self, ranges: dict[int, Range]) -> None:
        self._being_read_back, self._late = self._late, []
        keys = frozenset(waiter.key for waiter in self._being_read_back)
        self._backfill = Backfill(
            self._settings,
            self._topic,
            ranges,
            keys,
            lambda found, error: self._commands.put(ReadBack(found, error)),
        )
        self._backfill.start()

    def _finish_backfill(self, found: dict[bytes, Record], error: str | None, outcome: Outcome) -> None:
        for key, record in found.items():
            self._reply(key, record, outcome)
        if error is None:
            self._troubles.pop("backfill", None)
            self._backfill_pause = FIRST_PAUSE
            self._serve_at = 0.0
        else:
            why = self._troubles["backfill"] = f"reading {self._topic} back failed: {error}"
            log.warning("%s; again in %.1f s", why, self._backfill_pause, extra={"action": "backfill_failed"})
            self._late += self._being_read_back
            self._serve_at = time.monotonic() + self._backfill_pause
            self._backfill_pause = min(self._backfill_pause * 2, LONGEST_PAUSE)
        self._being_read_back = []
        self._backfill = None

    def _unseen(self, reader: TopicReader, ends: Ends, waiter: Register) -> dict[int, Range]:
        """What may hold the waiter's reply and is not remembered."""
        other_cluster = bool(waiter.cluster and reader.cluster and waiter.cluster != reader.cluster)
        unseen = {}
        for partition, complete in self._seen.complete_from.items():
            start = 0 if other_cluster else waiter.start.get(partition, 0)
            if start > reader.next[partition] and ends.lies_past(partition, start):
                start = 0  # the topic was created anew since
            if start < complete:
                unseen[partition] = Range(start, complete)
        return unseen

    def _keep_house(self, reader: TopicReader) -> None:
        """Forget old results, and read partitions that were added, from their start."""
        from confluent_kafka import KafkaException

        self._seen.trim()
        self._troubles.pop("read", None)
        try:
            added = {number: 0 for number in reader.partitions() if number not in reader.next}
            moved = reader.recover_lost()
        except KafkaException as error:
            self._troubles["read"] = reader.errors.explain(error.args[0])
            return
        reader.errors.forget()
        if reader.refusals:
            self._troubles["read"] = next(iter(reader.refusals.values()))
        if added:
            log.info("%s has new partitions: %s", self._topic, sorted(added), extra={"action": "partitions_added"})
            reader.stand_at(added)
        self._seen.complete_from |= added | moved
