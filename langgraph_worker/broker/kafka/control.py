"""The reader of the control topic: first all that still counts, then what comes. Every worker reads all of it."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from datetime import UTC, datetime, timedelta
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from langgraph_worker.broker.kafka.error_hints import TroubleLog, explain, refused_settings
from langgraph_worker.broker.kafka.owned_thread import OwnedThread
from langgraph_worker.broker.kafka.records import size_of, to_record
from langgraph_worker.broker.kafka.undecodable import undecodable_passer
from langgraph_worker.broker.port import Control
from langgraph_worker.errors import BrokerError
from workflow_events.codec import Record
from workflow_events.kafka_errors import HOPELESS

logger = logging.getLogger(__name__)

_POLL_SECONDS = 0.1
_ASK_SECONDS = 10.0  # for a question to the broker
_LARGEST_BATCH = 500
_LARGEST_BYTES = 8_000_000
_CLOCK_SKEW = timedelta(hours=1)  # clocks of hosts differ, and to read too much does no harm


class ControlReader(Control):
    """The port on Kafka. No member of a group: each worker reads every partition.

    :param since: how long a message counts.
    :param on_records: awaited with each batch, in order, and whether the batch was written before the reader had caught
        up; the next batch is read afterwards.
    """

    THREAD = "control-reader"
    """The name of its thread."""

    def __init__(
        self,
        config: Mapping[str, Any],
        topic: str,
        cluster: str,
        since: timedelta,
        on_records: Callable[[Sequence[Record], bool], Awaitable[None]],
    ) -> None:
        self._config = dict(config)
        self._servers = str(config["bootstrap.servers"])
        self._topic = topic
        self._cluster = cluster
        self._since = since
        self._on_records = on_records
        self._log_trouble = TroubleLog("control reader", self._servers)
        self._passer = undecodable_passer(self._config | {"error_cb": self._log_trouble}, topic, cluster)
        self._closing = threading.Event()
        self._handling: Future[None] | None = None
        self._thread = OwnedThread(self.THREAD, self._run)
        self.ended: asyncio.Future[None]
        # From here on: owned by the thread.
        self._consumer: Consumer
        self._behind: set[int] = set()

    async def start(self) -> None:
        self.ended = self._thread.start()
        await self._thread.wait_ready()

    async def close(self) -> None:
        if not self._thread.is_started:
            return
        self._closing.set()
        if self._handling is not None:
            self._handling.cancel()
        await self._thread.join()

    # ---- the owning thread ----

    def _run(self) -> None:
        try:
            self._consumer = Consumer(self._config | {"error_cb": self._on_error})
        except KafkaException as error:
            raise refused_settings(error) from None
        try:
            places = self._start_offsets()
            if places:
                self._behind = {place.partition for place in places}
                self._consumer.assign(places)
            while not self._closing.is_set():
                self._poll_once()
        finally:
            self._consumer.close()

    def _start_offsets(self) -> list[TopicPartition]:
        """The offset to begin at in each partition; none if the reader is closed first."""
        while not self._closing.is_set():
            try:
                found = self._consumer.list_topics(self._topic, timeout=_ASK_SECONDS).topics[self._topic]
                if found.error is not None:
                    raise KafkaException(found.error)
                since = int((datetime.now(UTC) - self._since - _CLOCK_SKEW).timestamp() * 1000)
                wanted = [TopicPartition(self._topic, number, max(0, since)) for number in found.partitions]
                # The ends are taken first: where no record is so young, all that is written from now on is read.
                ends = {place.partition: self._end_offset(place) for place in wanted}
                places = self._consumer.offsets_for_times(wanted, timeout=_ASK_SECONDS)
                for place in places:
                    if place.error is not None:
                        raise KafkaException(place.error)
                    if place.offset < 0:
                        place.offset = ends[place.partition]
            except KafkaException as error:
                self._on_error(error.args[0])
                self._closing.wait(_POLL_SECONDS)
            else:
                return places
        return []

    def _end_offset(self, place: TopicPartition) -> int:
        found = self._consumer.get_watermark_offsets(place, timeout=_ASK_SECONDS, cached=False)
        if found is None:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        return int(found[1])

    def _poll_once(self) -> None:
        message = self._consumer.poll(_POLL_SECONDS)
        if message is None:
            return
        size = 0
        records = []
        while message is not None:
            record = self._read(message)
            if record is not None:
                records.append(record)
                size += size_of(record)
            has_room = len(records) < _LARGEST_BATCH and size < _LARGEST_BYTES
            message = self._consumer.poll(0) if has_room else None
        was_behind = not self._thread.is_ready
        if records and not self._hand_over(records, was_behind):
            return
        if was_behind and not self._behind:
            self._thread.report_ready()

    def _read(self, message: Message) -> Record | None:
        error = message.error()
        if error is None:
            return to_record(message, self._topic, self._cluster)
        if error.code() == KafkaError._PARTITION_EOF:
            self._behind.discard(message.partition() or 0)
        elif self._passer.has_passed(message):
            pass
        elif (place := self._passer.go_past(self._consumer, message)) is not None:
            logger.error("%s. If it was a cancel, send it again", place, extra={"action": "undecodable"})
        else:
            self._on_error(error)
        return None

    def _hand_over(self, records: Sequence[Record], old: bool) -> bool:
        """Wait until they are handled; False if the reader is closed meanwhile."""
        self._handling = self._thread.run_in_loop(self._handle(records, old))
        if self._closing.is_set():
            self._handling.cancel()
        try:
            self._handling.result()
        except CancelledError:
            return False
        return True

    async def _handle(self, records: Sequence[Record], old: bool) -> None:
        await self._on_records(records, old)

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal() or (error.name() in HOPELESS and not self._thread.is_ready):
            raise BrokerError(explain(error, self._servers))
        self._log_trouble(error)
