"""Who waits for which reply, what was read already, and what has to be read back or asked for again.

The bookkeeping of a listener around one reader, without a thread of its own: :mod:`.poll` drives it in the product, a
state machine in the tests.
"""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from airflow_provider_langgraph.triggers.backfill import MOST_RECORDS, Need, Passed
from airflow_provider_langgraph.triggers.commands import Command, Found, ReadBack, Register, Unregister
from airflow_provider_langgraph.triggers.inquiry import Inquiries
from airflow_provider_langgraph.triggers.read_backs import LONGEST_PAUSE, ReadBacks, StartBackfill
from airflow_provider_langgraph.triggers.seen import SeenResults
from airflow_provider_langgraph.triggers.topic_reader import Ends, Reader, addressed, record_of, refused
from workflow_events.codec import Record
from workflow_events.control import WorkflowQueryEvent

log = logging.getLogger(__name__)

POLL_SECONDS = 0.1
HOUSEKEEPING_SECONDS = 10.0

Replies = list[tuple[bytes, Record]]


@dataclass(slots=True)
class _Waiter:
    """One correlation id that is waited for.

    :ivar unread: from where on its reply may lie unseen; None once it can only be ahead.
    :ivar gone: its reply may have lain where nothing is left.
    """

    unread: Mapping[int, int] | None
    control_topic: str
    gone: bool = False


class ResultDesk:
    """Hands out replies. Belongs to the thread that owns the reader, which stands at the end of every partition.

    :param start_backfill: starts a read back; what it finds and how it ends come back through :meth:`obey`.
    :param ask: sends a query; must not block.
    :ivar troubles: why replies cannot be had just now, by what is affected.
    """

    def __init__(
        self,
        reader: Reader,
        topic: str,
        start_backfill: StartBackfill,
        ask: Callable[[str, WorkflowQueryEvent], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reader = reader
        self._topic = topic
        self._ask = ask
        self._now = now
        self._seen = SeenResults(now=now)
        self._seen.complete_from = dict(reader.next)
        self._topic_id = reader.topic_id
        self._waiters: dict[bytes, _Waiter] = {}
        self._late: dict[bytes, None] = {}  # in the order in which they came
        self._read_backs = ReadBacks(topic, start_backfill, now)
        self._serve_at = 0.0
        self._keep_house_at = now() + HOUSEKEEPING_SECONDS
        self._inquiries = Inquiries()
        self.troubles: dict[str, str] = {}

    def close(self) -> None:
        """Stop what was started. The reader stays its owner's."""
        self._read_backs.stop()

    def obey(self, commands: queue.SimpleQueue[Command | None]) -> Replies | None:
        """Take in what was asked of the desk, and serve late waiters; None when told to stop."""
        replies: Replies = []
        while not commands.empty():
            command = commands.get()
            if command is None:
                return None
            self._note(command, replies)
        if self._late and self._now() >= self._serve_at:
            self._serve_late(replies)
        if not self._late and not self._read_backs.is_under_way:  # whom it concerned has left
            self._note_trouble("backfill", None)
            self._note_trouble("ends", None)
        return replies

    def read(self) -> Replies:
        """Read a batch, and look after the topic when it is time."""
        replies: Replies = []
        remember, waiters = self._seen.add, self._waiters
        for message in self._reader.read(POLL_SECONDS):
            pair = addressed(message)
            if pair is None:
                continue
            key, found = pair
            remember(key, message.partition() or 0, message.offset() or 0, message.value(), found)
            if key in waiters:
                self._reply(key, record_of(message, found, self._reader.cluster), replies)
        self._seen.trim()
        now = self._now()
        if self._reader.lost or now >= self._keep_house_at:
            self._keep_house()
            self._keep_house_at = now + HOUSEKEEPING_SECONDS
        for topic, query in self._inquiries.due(now, self._waiters.__contains__):
            log.warning(
                "%d results of %s can no longer be read, asking the workers for them again",
                len(query.correlation_ids),
                self._topic,
                extra={"action": "query"},
            )
            self._ask(topic, query)
        return replies

    def _note(self, command: Command, replies: Replies) -> None:
        match command:
            case Register():
                self._register(command)
            case Unregister(key):
                if key in self._waiters:
                    self._drop(key)
            case Found(found):
                for key, record in found.items():
                    self._reply(key, record, replies)
            case ReadBack(passed, error):
                self._finish_read_back(passed, error)

    def _register(self, new: Register) -> None:
        known = self._waiters.get(new.key)
        foreign = _differ(new.cluster, self._reader.cluster) or _differ(new.topic_id, self._topic_id)
        start = {} if foreign else new.start
        if known is None:
            self._waiters[new.key] = _Waiter(start, new.control_topic, gone=foreign)
        else:
            known.unread, known.gone = start, known.gone or foreign
        self._late[new.key] = None
        # A moment's patience: waiters come in crowds, and share what is asked of the broker.
        self._serve_at = min(self._serve_at, self._now() + POLL_SECONDS)

    def _reply(self, key: bytes, record: Record, replies: Replies) -> None:
        if key in self._waiters:
            self._drop(key)
            replies.append((key, record))

    def _drop(self, key: bytes) -> None:
        del self._waiters[key]
        self._late.pop(key, None)

    def _serve_late(self, replies: Replies) -> None:
        """Give waiters what has been seen already, and have read back, once for all of them, what has not."""
        self._reader.skip_gaps()
        ends = Ends(self._reader)
        needs: dict[bytes, Need] = {}
        gone: dict[str, list[bytes]] = {}
        late, self._late = self._late, {}
        for key in late:
            record = self._seen.get(key, self._topic, self._reader.cluster)
            if record is not None:
                self._reply(key, record, replies)
                continue
            waiter = self._waiters[key]
            need = self._unseen(waiter, ends)
            if ends.trouble:
                self._late[key] = None
            elif need:
                needs[key] = need
            else:  # all that is there was searched: the reply is still to come, or it is gone
                waiter.unread = None
                if waiter.gone:
                    waiter.gone = False
                    gone.setdefault(waiter.control_topic, []).append(key)
        for topic, keys in gone.items():
            self._inquiries.add(keys, topic)
        self._note_trouble("ends", ends.trouble)
        self._serve_at = self._now() + LONGEST_PAUSE if ends.trouble else float("inf")  # until somebody comes
        if needs and not self._read_backs.look_for(needs, self._seen):
            self._late |= dict.fromkeys(needs)
            self._serve_at = self._read_backs.may_begin_at

    def _unseen(self, waiter: _Waiter, ends: Ends) -> Need:
        """What may hold the waiter's reply and is not remembered."""
        unseen: dict[int, int] = {}
        if waiter.unread is None:
            return unseen
        for partition, complete in self._seen.complete_from.items():
            start = waiter.unread.get(partition, 0)
            if start > self._reader.next[partition] and ends.lies_past(partition, start):
                start = 0  # the topic was created anew since, by a broker whose topics have no id; or its log was cut
                waiter.gone = True
            if start < complete:
                unseen[partition] = start
        return unseen

    def _finish_read_back(self, passed: Passed | None, error: str) -> None:
        ended = self._read_backs.end(passed, error)
        self._note_trouble("backfill", ended.trouble)
        self._serve_at = self._read_backs.may_begin_at
        members = [key for key in ended.members if key in self._waiters]
        self._late |= dict.fromkeys(members)
        if ended.passed is None:
            return
        for key in members:
            if key in ended.passed.missing or key in ended.passed.gone:
                waiter = self._waiters[key]
                waiter.unread = ended.until
                waiter.gone = waiter.gone or key in ended.passed.gone
        self._seen.put_before(ended.passed.memory, ended.until)

    def _keep_house(self) -> None:
        """Read partitions that were added, and notice a topic that is another one by now."""
        from confluent_kafka import KafkaException

        reader = self._reader
        try:
            present = reader.partitions()
            if _differ(reader.topic_id, self._topic_id):
                self._begin_anew(present)
            else:
                self._go_on_where_something_is_left()
                added = {number: 0 for number in present if number not in reader.next}
                if added:
                    log.info(
                        "%s has new partitions: %s", self._topic, sorted(added), extra={"action": "partitions_added"}
                    )
                    reader.stand_at(added)
                    self._seen.complete_from |= added
        except KafkaException as error:
            self._note_trouble("read", reader.errors.explain(error.args[0]))
            return
        reader.errors.forget()
        self._note_trouble("read", refused(reader, self._topic))
        if reader.refusals:  # a quiet partition does not say by itself that it may be read again
            reader.stand_at({number: reader.next[number] for number in reader.refusals if number in reader.next})

    def _go_on_where_something_is_left(self) -> None:
        """Retention has overtaken us. What lay between is unknown to everybody who waits."""
        if not self._reader.lost:
            return
        marks = {number: self._reader.watermarks(number) for number in sorted(self._reader.lost)}
        moved = {number: low if high - low <= MOST_RECORDS else high for number, (low, high) in marks.items()}
        log.warning("%s: results are gone; reading on from %s", self._topic, moved, extra={"action": "offset_gone"})
        self._reader.stand_at(moved)
        self._seen.complete_from |= moved
        self._ask_for_all()

    def _begin_anew(self, present: list[int]) -> None:
        """The topic was deleted and created anew: no offset means any more what it did."""
        reader = self._reader
        marks = {number: reader.watermarks(number) for number in present}
        is_long = sum(high - low for low, high in marks.values()) > MOST_RECORDS
        log.warning("%s was created anew; reading it from its start", self._topic, extra={"action": "topic_recreated"})
        self._topic_id = reader.topic_id
        reader.forget()
        reader.stand_at({number: high if is_long else low for number, (low, high) in marks.items()})
        self._seen = SeenResults(now=self._now)
        self._seen.complete_from = dict(reader.next)
        self._read_backs.disregard()
        for waiter in self._waiters.values():
            waiter.unread = None
        self._ask_for_all()

    def _ask_for_all(self) -> None:
        for key, waiter in self._waiters.items():
            waiter.gone = True
            self._late[key] = None
        self._serve_at = 0.0

    def _note_trouble(self, what: str, why: str | None) -> None:
        if why is None:
            self.troubles.pop(what, None)
        else:
            self.troubles[what] = why


def _differ(one: str, other: str) -> bool:
    return bool(one and other and one != other)
