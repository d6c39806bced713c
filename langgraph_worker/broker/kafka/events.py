"""The consumer of the events topic, owned by one thread.

Since confluent-kafka 2.16 every call on a consumer waits for the one in progress, so only the owning thread may use it:
the event loop sends commands through a queue, and gets one callback for each batch. The thread never stops polling (the
group removes a consumer that does not poll); without room it pauses.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import time
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from langgraph_worker.broker.kafka.commits import OwedCommits
from langgraph_worker.broker.kafka.error_hints import TroubleLog, explain, refused_settings
from langgraph_worker.broker.kafka.look_ahead import LookAhead
from langgraph_worker.broker.kafka.membership import REBALANCING, has_joined
from langgraph_worker.broker.kafka.owned_thread import OwnedThread
from langgraph_worker.broker.kafka.records import size_of, to_record
from langgraph_worker.broker.kafka.undecodable import undecodable_passer
from langgraph_worker.broker.port import Batch, Events
from langgraph_worker.errors import BrokerError
from workflow_events.codec import Record
from workflow_events.kafka_errors import HOPELESS
from workflow_events.log_words import number_ranges
from workflow_events.undecodable import UndecodablePlace

logger = logging.getLogger(__name__)

_POLL_SECONDS = 0.1  # also how late a command may be seen while the topic is silent
_POLL_PAUSED_SECONDS = 0.02  # the next command is most likely the one that ends the pause
_LARGEST_BATCH = 500
_LARGEST_BYTES = 8_000_000  # a body takes many times as much when it is read
_PAUSE_AFTER_SECONDS = 1.0  # without room
_LAST_COMMIT_SECONDS = 5.0  # for the commits of a consumer that closes


class EventConsumer(Events):
    """The port on Kafka; feeds the intake.

    Its public methods belong to the event loop, ``_run`` and all that it calls to the owning thread.

    :param on_batch: called in the loop with each batch.
    :param is_urgent: whether a record must not wait behind others while there is no room; called in the thread.
    """

    THREAD = "event-consumer"
    """The name of its thread."""

    def __init__(
        self,
        config: Mapping[str, Any],
        topic: str,
        cluster: str,
        on_batch: Callable[[Batch], None],
        is_urgent: Callable[[Record], bool] = lambda record: False,
    ) -> None:
        self._config = dict(config)
        self._servers = str(config["bootstrap.servers"])
        self._topic = topic
        self._cluster = cluster
        self._on_batch = on_batch
        self._log_trouble = TroubleLog("consumer", self._servers)
        self._commands: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._thread = OwnedThread(self.THREAD, self._run)
        self.ended: asyncio.Future[None]
        # From here on: owned by the thread.
        self._consumer: Consumer
        self._closing = False
        self._allowed = 0
        self._delivered = 0
        self._paused = False
        self._full_since: float | None = None
        self._commits = OwedCommits()
        self._epochs: Mapping[int, int] = {}
        """Another object after each change of the assignment."""
        self._places: dict[int, int] = {}
        ahead_config = self._config | {"error_cb": self._log_trouble}
        self._passer = undecodable_passer(ahead_config, topic, cluster)
        self._undecodable: list[UndecodablePlace] = []
        self._ahead = LookAhead(ahead_config, topic, cluster, is_urgent, self._log_trouble)
        self._looks_ahead = self._ahead_is_taken = False

    async def start(self) -> None:
        self.ended = self._thread.start()
        await self._thread.wait_ready()

    def allow(self, total: int) -> None:
        self._commands.put(lambda: self._set_allowed(total))

    def look_ahead(self, wanted: bool) -> None:
        self._commands.put(lambda: self._set_look_ahead(wanted))

    def commit(self, batch: Batch) -> None:
        self._commands.put(self._end_look if batch.is_ahead else lambda: self._commits.owe(batch))

    async def close(self) -> None:
        if not self._thread.is_started:
            return
        self._commands.put(self._close)
        await self._thread.join()

    # ---- the owning thread ----

    def _run(self) -> None:
        try:
            self._consumer = Consumer(self._config | {"error_cb": self._on_error, "on_commit": self._on_commit})
        except KafkaException as error:
            raise refused_settings(error) from None
        try:
            self._consumer.subscribe(
                [self._topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke
            )
            while not self._closing:
                self._poll_once()
            self._finish_commits()
        finally:
            self._ahead.close()
            self._consumer.close()

    def _poll_once(self) -> None:
        self._serve_commands()
        self._commit_owed()
        if self._is_full_for_a_moment():
            time.sleep(_POLL_PAUSED_SECONDS)
            return
        self._pause_or_resume()
        self._read_ahead()
        message = self._consumer.poll(_POLL_PAUSED_SECONDS if self._paused else _POLL_SECONDS)
        if message is not None:
            self._deliver_from(message)
        elif not self._thread.is_ready and has_joined(self._consumer):
            self._thread.report_ready()

    def _deliver_from(self, message: Message | None) -> None:
        """Deliver this message and what is there behind it, as batches of one assignment each.

        A poll may serve a rebalance and then return a record: what came before belongs to an assignment that is over.
        """
        most = min(self._allowed - self._delivered, _LARGEST_BATCH)
        count = size = 0
        found: list[Record] = []
        while message is not None:
            record = self._read(message)
            if record is not None:
                found.append(record)
                count, size = count + 1, size + size_of(record)
            epochs = self._epochs
            message = self._consumer.poll(0) if count < most and size < _LARGEST_BYTES else None
            if epochs is not self._epochs:
                self._deliver(found, epochs)
                found = []
        self._deliver(found, self._epochs)

    def _deliver(self, found: list[Record], epochs: Mapping[int, int]) -> None:
        places, self._undecodable = self._undecodable, []
        if found or places:
            self._delivered += len(found)
            self._thread.call_soon(self._on_batch, Batch(tuple(found), epochs, undecodable=tuple(places)))

    def _serve_commands(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                self._commands.get_nowait()()

    def _set_allowed(self, total: int) -> None:
        self._allowed = total

    def _set_look_ahead(self, wanted: bool) -> None:
        self._looks_ahead = wanted

    def _end_look(self) -> None:
        self._ahead_is_taken = False

    def _close(self) -> None:
        self._closing = True

    def _read_ahead(self) -> None:
        """Deliver what must not wait, if the consumer is paused, and the batch before was taken in."""
        if not self._paused or not self._looks_ahead:
            self._ahead.rest()
        elif not self._ahead_is_taken:
            urgent = self._ahead.read({number: self._places.get(number) for number in self._epochs})
            if urgent:
                self._ahead_is_taken = True
                self._thread.call_soon(self._on_batch, Batch(tuple(urgent), {}, is_ahead=True))

    def _is_full_for_a_moment(self) -> bool:
        """Whether there is no room, and there may be in a moment.

        A pause throws away what was read of every partition, and reading it again takes a second: a worker with two
        slots and quick runs took two events a second, of the partition that answered first. Meanwhile the client's own
        thread keeps the membership alive.
        """
        now = time.monotonic()
        if self._delivered < self._allowed:
            self._full_since = None
        elif self._full_since is None:
            self._full_since = now
        return self._full_since is not None and now - self._full_since < _PAUSE_AFTER_SECONDS

    def _pause_or_resume(self) -> None:
        paused = self._delivered >= self._allowed
        if paused != self._paused:
            self._paused = paused
            self._apply_pause(self._consumer.assignment())

    def _apply_pause(self, partitions: list[TopicPartition]) -> None:
        (self._consumer.pause if self._paused else self._consumer.resume)(partitions)
        # A resumed partition goes on behind the last record delivered, so that a place may have to be passed again.
        self._passer.forget(partition.partition for partition in partitions)

    def _read(self, message: Message) -> Record | None:
        error = message.error()
        if error is not None:
            self._note(message, error)
            return None
        record = to_record(message, self._topic, self._cluster)
        self._places[record.partition] = record.offset + 1
        return record

    def _note(self, message: Message, error: KafkaError) -> None:
        if self._passer.has_passed(message):
            return
        place = self._passer.go_past(self._consumer, message)
        if place is None:
            self._on_error(error)
        else:
            self._undecodable.append(place)
            self._places[place.partition] = place.after

    def _on_error(self, error: KafkaError) -> None:
        # Before it has joined, a worker would wait for ever unnoticed; afterwards librdkafka tries again.
        if error.fatal() or (error.name() in HOPELESS and not self._thread.is_ready):
            raise BrokerError(explain(error, self._servers))
        self._log_trouble(error)

    # ---- assignment ----

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        consumer.incremental_assign(partitions)
        self._commits.assign(partition.partition for partition in partitions)
        self._epochs = self._commits.epochs
        self._forget_places(partitions)
        # librdkafka keeps a partition's pause over a rebalance, so every partition is paused or resumed.
        self._apply_pause(partitions)
        logger.info(
            "reading partitions %s of %s (new: %s)",
            number_ranges(self._epochs),
            self._topic,
            number_ranges(partition.partition for partition in partitions),
            extra={"action": "assigned"},
        )
        self._thread.report_ready()

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        del consumer
        gone = [partition.partition for partition in partitions]
        self._commits.revoke(gone)
        self._epochs = self._commits.epochs
        self._forget_places(partitions)
        logger.info("gave up partitions %s of %s", number_ranges(gone), self._topic, extra={"action": "revoked"})

    def _forget_places(self, partitions: list[TopicPartition]) -> None:
        numbers = [partition.partition for partition in partitions]
        for number in numbers:
            self._places.pop(number, None)
        self._passer.forget(numbers)
        self._ahead.forget(numbers)

    # ---- commits ----

    def _commit_owed(self) -> None:
        due = self._commits.take_due(time.monotonic())
        if not due:
            return
        offsets = [TopicPartition(self._topic, partition, offset) for partition, offset in due.items()]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=True)
        except KafkaException as error:
            self._on_commit(error.args[0], [])

    def _on_commit(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        problem = error or next((partition.error for partition in partitions if partition.error), None)
        if problem is None:
            self._commits.succeeded()
            return
        self._commits.failed(time.monotonic())
        if problem.code() in REBALANCING:
            logger.info("a commit met a rebalance: %s", problem.str(), extra={"action": "commit_late"})
        else:
            self._log_trouble(problem)

    def _finish_commits(self) -> None:
        end = time.monotonic() + _LAST_COMMIT_SECONDS
        self._allowed = 0
        while not self._commits.is_settled and time.monotonic() < end:
            self._commit_owed()
            self._pause_or_resume()
            self._consumer.poll(_POLL_PAUSED_SECONDS)
