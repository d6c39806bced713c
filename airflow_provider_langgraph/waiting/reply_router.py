"""Gives each reply to its waiter. The reply was read before, is read now, or is read back.

The bookkeeping of a shared consumer around one reader, without a thread of its own:
:mod:`airflow_provider_langgraph.waiting.consumer_thread` runs it in the product, a state machine in the tests.
"""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from airflow_provider_langgraph.kafka.topic_reader import Ends, Reader, addressed, record_of, refused
from airflow_provider_langgraph.waiting.catch_up import MOST_RECORDS, CatchUpResult, Need
from airflow_provider_langgraph.waiting.catch_up_schedule import LONGEST_PAUSE_SECONDS, CatchUpSchedule, StartCatchUp
from airflow_provider_langgraph.waiting.commands import Command, Found, Look, ReadBack, Register, Unregister
from airflow_provider_langgraph.waiting.looks import Looks
from airflow_provider_langgraph.waiting.republish import RepublishRequests
from airflow_provider_langgraph.waiting.result_cache import ResultCache
from airflow_provider_langgraph.waiting.troubles import Troubles
from workflow_events.codec import Record
from workflow_events.control import WorkflowQueryEvent

log = logging.getLogger(__name__)

POLL_SECONDS = 0.1
HOUSEKEEPING_SECONDS = 10.0

Replies = list[tuple[bytes, Record]]


@dataclass(slots=True)
class _Waiter:
    """A correlation id whose reply is waited for.

    :ivar unread: by partition, the first offset that was not searched for the reply; None once all was searched, so
        that the reply can only come later.
    :ivar control_topic: where the workers are asked to publish the reply again.
    :ivar gone: whether the reply may have been removed from the topic, so that the workers have to be asked for it.
    """

    unread: Mapping[int, int] | None
    control_topic: str
    gone: bool = False


class ReplyRouter:
    """Hands out replies. Belongs to the thread that owns the reader, which stands at the end of every partition.

    It keeps the waiters for its thread, with the offsets that are still to be searched. SharedConsumer keeps them too,
    as futures, because only the event loop may resolve a future.

    :param start_catch_up: starts a read back; what it finds and how it ends come back through :meth:`obey`.
    :param ask: sends a query; must not block.
    :param now: the clock, in seconds.
    :ivar troubles: why replies cannot be read at the moment.
    """

    def __init__(
        self,
        reader: Reader,
        topic: str,
        start_catch_up: StartCatchUp,
        ask: Callable[[str, WorkflowQueryEvent], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reader = reader
        self._topic = topic
        self._ask = ask
        self._now = now
        self._seen = ResultCache(now=now)
        self._seen.complete_from = dict(reader.next)
        self._topic_id = reader.topic_id
        self._waiters: dict[bytes, _Waiter] = {}
        self._late: dict[bytes, None] = {}  # in the order in which they came
        self._catch_ups = CatchUpSchedule(topic, start_catch_up, now)
        self._serve_at = 0.0
        self._keep_house_at = now() + HOUSEKEEPING_SECONDS
        self._queries = RepublishRequests()
        self._looks = Looks(reader)
        self.troubles = Troubles()

    def close(self) -> None:
        """Stop the read back that is under way. The owner of the reader closes it."""
        self._catch_ups.stop()

    def obey(self, commands: queue.SimpleQueue[Command | None]) -> Replies | None:
        """Carry out commands, and serve late waiters; None once it has to stop."""
        replies: Replies = []
        while not commands.empty():
            command = commands.get()
            if command is None:
                return None
            self._carry_out(command, replies)
        if self._late and self._now() >= self._serve_at:
            self._serve_late(replies)
        if not self._late and not self._catch_ups.is_under_way:  # the waiters concerned have left
            self.troubles.note("catch_up", None)
            self.troubles.note("ends", None)
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
        if passed := self._reader.take_passed():  # any waiter's reply may have been there
            self._seen.complete_from |= passed
            self._ask_for_all()
        now = self._now()
        if self._reader.lost or now >= self._keep_house_at:
            self._keep_house()
            self._keep_house_at = now + HOUSEKEEPING_SECONDS
        for topic, query in self._queries.due(now, self._waiters.__contains__):
            log.warning(
                "%d results of %s can no longer be read, asking the workers for them again",
                len(query.correlation_ids),
                self._topic,
                extra={"action": "query"},
            )
            self._ask(topic, query)
        return replies

    def not_there(self) -> list[bytes]:
        """The keys of replies that somebody looks for and the topic does not have. To be called after each reading."""
        self._looks.begin()
        if _differ(self._reader.topic_id, self._topic_id):  # created anew: what was read says nothing of this one
            self._keep_house_at = self._now()
            return []
        return self._looks.settle(self._waiters.__contains__, self._is_searched)

    def _is_searched(self, key: bytes) -> bool:
        waiter = self._waiters[key]
        return waiter.unread is None and not waiter.gone and not self._queries.is_open(key)

    def _carry_out(self, command: Command, replies: Replies) -> None:
        match command:
            case Register():
                self._register(command)
            case Unregister(key):
                if key in self._waiters:
                    self._drop(key)
            case Look(key):
                self._looks.add(key)
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
        # Wait a moment: waiters come in crowds, and share what is asked of the broker.
        self._serve_at = min(self._serve_at, self._now() + POLL_SECONDS)

    def _reply(self, key: bytes, record: Record, replies: Replies) -> None:
        if key in self._waiters:
            self._drop(key)
            replies.append((key, record))

    def _drop(self, key: bytes) -> None:
        del self._waiters[key]
        self._late.pop(key, None)

    def _serve_late(self, replies: Replies) -> None:
        """Answer late waiters from what is remembered, and start one read back for all others."""
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
            self._queries.add(keys, topic)
        self.troubles.note("ends", ends.trouble)
        self._serve_at = self._now() + LONGEST_PAUSE_SECONDS if ends.trouble else float("inf")  # until a waiter comes
        if needs and not self._catch_ups.look_for(needs, self._seen):
            self._late |= dict.fromkeys(needs)
            self._serve_at = self._catch_ups.may_begin_at

    def _unseen(self, waiter: _Waiter, ends: Ends) -> Need:
        """Where the waiter's reply may lie and is not remembered."""
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

    def _finish_read_back(self, passed: CatchUpResult | None, error: str) -> None:
        ended = self._catch_ups.end(passed, error)
        self.troubles.note("catch_up", ended.trouble)
        self._serve_at = self._catch_ups.may_begin_at
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
        """Read partitions that were added, and notice when the topic was created anew."""
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
            self.troubles.note("read", reader.errors.explain(error.args[0]))
            return
        reader.errors.forget()
        self.troubles.note("read", refused(reader, self._topic))
        if reader.refusals:  # a quiet partition does not report by itself that it may be read again
            reader.stand_at({number: reader.next[number] for number in reader.refusals if number in reader.next})

    def _go_on_where_something_is_left(self) -> None:
        """Go on where records are left: retention has overtaken the reader, and may have removed any waiter's reply."""
        if not self._reader.lost:
            return
        marks = {number: self._reader.watermarks(number) for number in sorted(self._reader.lost)}
        moved = {number: low if high - low <= MOST_RECORDS else high for number, (low, high) in marks.items()}
        log.warning("%s: results are gone; reading on from %s", self._topic, moved, extra={"action": "offset_gone"})
        self._reader.stand_at(moved)
        self._seen.complete_from |= moved
        self._ask_for_all()

    def _begin_anew(self, present: list[int]) -> None:
        """Read a topic that was deleted and created anew: offsets of the old one mean nothing in it."""
        reader = self._reader
        marks = {number: reader.watermarks(number) for number in present}
        is_long = sum(high - low for low, high in marks.values()) > MOST_RECORDS
        log.warning("%s was created anew; reading it from its start", self._topic, extra={"action": "topic_recreated"})
        self._topic_id = reader.topic_id
        reader.forget()
        reader.stand_at({number: high if is_long else low for number, (low, high) in marks.items()})
        self._seen = ResultCache(now=self._now)
        self._seen.complete_from = dict(reader.next)
        self._catch_ups.disregard()
        for waiter in self._waiters.values():
            waiter.unread = None
        self._ask_for_all()

    def _ask_for_all(self) -> None:
        for key, waiter in self._waiters.items():
            waiter.gone = True
            self._late[key] = None
        self._serve_at = 0.0


def _differ(one: str, other: str) -> bool:
    return bool(one and other and one != other)
