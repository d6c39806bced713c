"""Reading the control topic: all of it that still counts, then whatever comes, by every worker for itself."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from datetime import UTC, datetime, timedelta
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from langgraph_worker.errors import BrokerError
from langgraph_worker.kafka.port import Control
from langgraph_worker.kafka.records import to_record
from langgraph_worker.kafka.trouble import HOPELESS, TroubleLog, explain, refused_settings
from workflow_events.codec import Record

_POLL = 0.1  # seconds
_ASK = 10.0  # seconds for a question to the broker
_LARGEST_BATCH = 500
_LARGEST_BYTES = 8_000_000
_CLOCKS = timedelta(hours=1)  # hosts' clocks differ, and reading too much does no harm


class ControlReader(Control):
    """The port on Kafka. No member of a group: each worker reads every partition.

    :param since: how far back a message may count.
    :param on_records: awaited with each batch, in order; the next one is read afterwards.
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
        self._closing = threading.Event()
        self._handling: Future[None] | None = None
        self._thread = threading.Thread(target=self._main, name=self.THREAD, daemon=True)
        self._loop: asyncio.AbstractEventLoop
        self._caught_up: asyncio.Future[None]
        self.ended: asyncio.Future[None]
        # From here on: owned by the thread.
        self._consumer: Consumer
        self._behind: set[int] = set()

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._caught_up = self._loop.create_future()
        self.ended = self._loop.create_future()
        self._thread.start()
        await asyncio.wait({self._caught_up, self.ended}, return_when=asyncio.FIRST_COMPLETED)
        if self.ended.done():
            self.ended.result()

    async def close(self) -> None:
        if self._thread.ident is None:
            return
        self._closing.set()
        if self._handling is not None:
            self._handling.cancel()
        await asyncio.wait({self.ended})
        self._thread.join()  # it has nothing left to do

    # ---- the owning thread ----

    def _main(self) -> None:
        problem: BaseException | None = None
        try:
            self._run()
        except BaseException as error:  # noqa: BLE001  (handed to the loop, which ends the worker)
            problem = error
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._report_end, problem)

    def _report_end(self, problem: BaseException | None) -> None:
        if problem is None:
            self.ended.set_result(None)
        else:
            self.ended.set_exception(problem)

    def _run(self) -> None:
        try:
            self._consumer = Consumer(self._config | {"error_cb": self._on_error})
        except KafkaException as error:
            raise refused_settings(error) from None
        try:
            places = self._places()
            if places:
                self._behind = {place.partition for place in places}
                self._consumer.assign(places)
            while not self._closing.is_set():
                self._turn()
        finally:
            self._consumer.close()

    def _places(self) -> list[TopicPartition]:
        """Where to begin in each partition; none if the reader is closed first."""
        while not self._closing.is_set():
            try:
                found = self._consumer.list_topics(self._topic, timeout=_ASK).topics[self._topic]
                if found.error is not None:
                    raise KafkaException(found.error)
                since = int((datetime.now(UTC) - self._since - _CLOCKS).timestamp() * 1000)
                wanted = [TopicPartition(self._topic, number, max(0, since)) for number in found.partitions]
                # Taken first: where nothing is as young as that, what is written from now on is read all the same.
                ends = {place.partition: self._end(place) for place in wanted}
                places = self._consumer.offsets_for_times(wanted, timeout=_ASK)
                for place in places:
                    if place.error is not None:
                        raise KafkaException(place.error)
                    if place.offset < 0:
                        place.offset = ends[place.partition]
            except KafkaException as error:
                self._on_error(error.args[0])
                self._closing.wait(_POLL)
            else:
                return places
        return []

    def _end(self, place: TopicPartition) -> int:
        found = self._consumer.get_watermark_offsets(place, timeout=_ASK, cached=False)
        if found is None:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        return int(found[1])

    def _turn(self) -> None:
        message = self._consumer.poll(_POLL)
        if message is None:
            return
        size = 0
        records = []
        while message is not None:
            record = self._see(message)
            if record is not None:
                records.append(record)
                size += len(record.value or b"")
            has_room = len(records) < _LARGEST_BATCH and size < _LARGEST_BYTES
            message = self._consumer.poll(0) if has_room else None
        was_behind = not self._caught_up.done()
        if records and not self._hand_over(records, was_behind):
            return
        if was_behind and not self._behind:
            self._loop.call_soon_threadsafe(_resolve, self._caught_up)

    def _see(self, message: Message) -> Record | None:
        error = message.error()
        if error is None:
            return to_record(message, self._topic, self._cluster)
        if error.code() == KafkaError._PARTITION_EOF:
            self._behind.discard(message.partition() or 0)
        else:
            self._on_error(error)
        return None

    def _hand_over(self, records: Sequence[Record], old: bool) -> bool:
        """Wait until they are dealt with; False if the reader is closed meanwhile."""
        self._handling = asyncio.run_coroutine_threadsafe(self._deal_with(records, old), self._loop)
        if self._closing.is_set():
            self._handling.cancel()
        try:
            self._handling.result()
        except CancelledError:
            return False
        return True

    async def _deal_with(self, records: Sequence[Record], old: bool) -> None:
        await self._on_records(records, old)

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal() or (error.code() in HOPELESS and not self._caught_up.done()):
            raise BrokerError(explain(error, self._servers))
        self._log_trouble(error)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
