"""The consumer of the events topic, owned by one thread.

Since confluent-kafka 2.16 every call on a consumer waits for the one in progress, so nothing but the owning thread may
touch it: the event loop sends commands through a queue, and gets records by one ``call_soon_threadsafe`` per batch. The
thread never stops polling (a consumer that does not poll is thrown out of its group); without room it pauses.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from langgraph_worker.errors import BrokerError
from langgraph_worker.kafka.port import Batch, Events
from langgraph_worker.kafka.records import to_record
from langgraph_worker.kafka.trouble import HOPELESS, TroubleLog, explain, refused_settings
from workflow_events.codec import Record

logger = logging.getLogger(__name__)

_POLL = 0.1  # seconds; also how late a command may be seen while the topic is silent
_POLL_PAUSED = 0.02  # paused, the next command is most likely "go on"
_LARGEST_BATCH = 500
_LARGEST_BYTES = 8_000_000  # of bodies, which take many times as much when they are read
_COMMIT_RETRY = 1.0
_PATIENCE = 1.0  # seconds without room before the partitions are paused
_LAST_COMMIT = 5.0  # seconds a closing consumer waits for its commits

# The group is rebalancing. What another member gets is no longer owed, and it meets requests that the store knows
# already; what stays here (rebalances are incremental) is still to be committed.
_REBALANCING = frozenset(
    {KafkaError.ILLEGAL_GENERATION, KafkaError.UNKNOWN_MEMBER_ID, KafkaError.REBALANCE_IN_PROGRESS, KafkaError._STATE}
)


class EventConsumer(Events):
    """The port on Kafka; feeds the intake.

    Its methods belong to the event loop; ``_run`` and what it calls to the owning thread.

    :param on_batch: called in the loop with each batch.
    """

    THREAD = "event-consumer"
    """The name of its thread."""

    def __init__(self, config: Mapping[str, Any], topic: str, cluster: str, on_batch: Callable[[Batch], None]) -> None:
        self._config = dict(config)
        self._servers = str(config["bootstrap.servers"])
        self._topic = topic
        self._cluster = cluster
        self._on_batch = on_batch
        self._log_trouble = TroubleLog("consumer", self._servers)
        self._commands: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._main, name=self.THREAD, daemon=True)
        self._loop: asyncio.AbstractEventLoop
        self._joined: asyncio.Future[None]
        self.ended: asyncio.Future[None]  # done when the thread is
        # From here on: owned by the thread.
        self._consumer: Consumer
        self._closing = False
        self._allowed = 0
        self._delivered = 0
        self._paused = False
        self._full_since: float | None = None
        self._epochs: dict[int, int] = {}
        self._epoch = 0
        self._owed: dict[int, int] = {}
        self._committing: dict[int, int] = {}
        self._commit_after = 0.0

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._joined = self._loop.create_future()
        self.ended = self._loop.create_future()
        self._thread.start()
        await asyncio.wait({self._joined, self.ended}, return_when=asyncio.FIRST_COMPLETED)
        if self.ended.done():
            self.ended.result()

    def allow(self, total: int) -> None:
        self._commands.put(lambda: self._set_allowed(total))

    def commit(self, batch: Batch) -> None:
        self._commands.put(lambda: self._owe(batch))

    async def close(self) -> None:
        if self._thread.ident is None:
            return
        self._commands.put(self._close)
        await asyncio.wait({self.ended})
        self._thread.join()  # it has nothing left to do

    # ---- the owning thread ----

    def _main(self) -> None:
        problem: BaseException | None = None
        try:
            self._run()
        except BaseException as error:  # noqa: BLE001  (handed to the loop, which ends the worker)
            problem = error
        self._loop.call_soon_threadsafe(self._report_end, problem)

    def _report_end(self, problem: BaseException | None) -> None:
        if problem is None:
            self.ended.set_result(None)
        else:
            self.ended.set_exception(problem)

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
                self._turn()
            self._finish_commits()
        finally:
            self._consumer.close()

    def _turn(self) -> None:
        self._serve_commands()
        self._commit_owed()
        if self._is_full_for_a_moment():
            time.sleep(_POLL_PAUSED)
            return
        self._pause_or_resume()
        message = self._consumer.poll(_POLL_PAUSED if self._paused else _POLL)
        if message is None:
            return
        most = min(self._allowed - self._delivered, _LARGEST_BATCH)
        size = 0
        found = []
        while message is not None:
            record = self._to_record(message)
            if record is not None:
                found.append(record)
                size += len(record.value or b"")
            message = self._consumer.poll(0) if len(found) < most and size < _LARGEST_BYTES else None
        if found:
            records = tuple(found)
            self._delivered += len(records)
            self._loop.call_soon_threadsafe(self._on_batch, Batch(records, dict(self._epochs)))

    def _serve_commands(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                self._commands.get_nowait()()

    def _set_allowed(self, total: int) -> None:
        self._allowed = total

    def _close(self) -> None:
        self._closing = True

    def _owe(self, batch: Batch) -> None:
        for record in batch.records:
            epoch = batch.epochs.get(record.partition)  # None: taken away before the batch was handed over
            if epoch is not None and self._epochs.get(record.partition) == epoch:
                self._owed[record.partition] = record.offset + 1

    def _is_full_for_a_moment(self) -> bool:
        """Whether there is no room, and there may be in a moment.

        A pause throws away what was read of every partition, and it takes a second until the first of it is back: a
        worker with two slots and quick runs took two events a second, of whichever partition answered first. Meanwhile
        the group hears from the client's own thread.
        """
        now = time.monotonic()
        if self._delivered < self._allowed:
            self._full_since = None
        elif self._full_since is None:
            self._full_since = now
        return self._full_since is not None and now - self._full_since < _PATIENCE

    def _pause_or_resume(self) -> None:
        paused = self._delivered >= self._allowed
        if paused != self._paused:
            self._paused = paused
            self._apply_pause(self._consumer.assignment())

    def _apply_pause(self, partitions: list[TopicPartition]) -> None:
        (self._consumer.pause if self._paused else self._consumer.resume)(partitions)

    def _to_record(self, message: Message) -> Record | None:
        error = message.error()
        if error is not None:
            self._on_error(error)
            return None
        return to_record(message, self._topic, self._cluster)

    def _on_error(self, error: KafkaError) -> None:
        # Until the group is joined, nobody would notice a worker that waits for ever; later librdkafka tries again.
        if error.fatal() or (error.code() in HOPELESS and not self._joined.done()):
            raise BrokerError(explain(error, self._servers))
        self._log_trouble(error)

    # ---- assignment ----

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        consumer.incremental_assign(partitions)
        self._epoch += 1
        self._epochs.update((partition.partition, self._epoch) for partition in partitions)
        # librdkafka keeps a partition's pause over a rebalance, so the state of every one is set.
        self._apply_pause(partitions)
        logger.info(
            "assigned %s; reading partitions %s of %s",
            [partition.partition for partition in partitions],
            sorted(self._epochs),
            self._topic,
            extra={"action": "assigned"},
        )
        self._loop.call_soon_threadsafe(_resolve, self._joined)

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        del consumer
        for partition in partitions:
            for per_partition in (self._epochs, self._owed):
                per_partition.pop(partition.partition, None)
        gone = [partition.partition for partition in partitions]
        logger.info("gave up partitions %s of %s", gone, self._topic, extra={"action": "revoked"})

    # ---- commits ----

    def _commit_owed(self) -> None:
        if not self._owed or self._committing or time.monotonic() < self._commit_after:
            return
        self._committing = dict(self._owed)
        offsets = [TopicPartition(self._topic, partition, offset) for partition, offset in self._owed.items()]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=True)
        except KafkaException as error:
            self._on_commit(error.args[0], [])

    def _on_commit(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        sent, self._committing = self._committing, {}
        problem = error or next((partition.error for partition in partitions if partition.error), None)
        if problem is None:
            for partition, offset in sent.items():
                if self._owed.get(partition) == offset:
                    del self._owed[partition]
            return
        self._commit_after = time.monotonic() + _COMMIT_RETRY
        if problem.code() in _REBALANCING:
            logger.info("a commit met a rebalance: %s", problem.str(), extra={"action": "commit_late"})
        else:
            self._log_trouble(problem)

    def _finish_commits(self) -> None:
        end = time.monotonic() + _LAST_COMMIT
        self._allowed = 0
        while (self._owed or self._committing) and time.monotonic() < end:
            self._commit_owed()
            self._pause_or_resume()
            self._consumer.poll(_POLL_PAUSED)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
