"""The producer of results and dead letters: a send is done when the broker has acknowledged it.

It is the library's plain ``Producer``, and a thread that polls it: the library's asyncio producer takes no headers, and
two seconds.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message
from confluent_kafka import Producer as Client

from langgraph_worker.broker.kafka.error_hints import TroubleLog, explain, refused_settings
from langgraph_worker.broker.port import Producer, SendError
from langgraph_worker.errors import BrokerError

_POLL_SECONDS = 0.1
_PERMANENT = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError.TOPIC_EXCEPTION,
        KafkaError.INVALID_RECORD,
        KafkaError.POLICY_VIOLATION,
    }
)
_TOO_LARGE = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE})

_Waiter = asyncio.Future[None]


class AckProducer(Producer):
    """The port on Kafka: sends and waits for the delivery report."""

    def __init__(self, config: Mapping[str, Any], limit_of: Callable[[str], int | None] = lambda topic: None) -> None:
        """Start the client, and the thread that polls it.

        :param limit_of: a topic's ``max.message.bytes``; None if it is not known. Called from another thread, and only
            if the broker has refused a record for its size.
        :raises SettingsError: librdkafka does not take KAFKA_CONFIG.
        """
        self._client_limit = config.get("message.max.bytes")
        self._limit_of = limit_of
        self._servers = str(config["bootstrap.servers"])
        self._log_trouble = TroubleLog("producer", self._servers)
        self._loop = asyncio.get_running_loop()
        self._reports: deque[tuple[_Waiter, KafkaError | None]] = deque()
        self._stop = threading.Event()
        self.failed: asyncio.Future[None] = self._loop.create_future()
        try:
            self._producer = Client(dict(config) | {"error_cb": self._log_trouble})
        except KafkaException as error:
            raise refused_settings(error) from None
        self._thread = threading.Thread(target=self._poll, name="producer", daemon=True)
        self._thread.start()

    async def send(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes | str | None]]
    ) -> None:
        waiter: _Waiter = self._loop.create_future()

        def on_delivery(error: KafkaError | None, message: Message) -> None:
            del message
            self._reports.append((waiter, error))

        try:
            self._producer.produce(topic, value=value, key=key, headers=list(headers), on_delivery=on_delivery)
        except BufferError:
            raise SendError("the client's queue is full", retriable=True) from None
        except KafkaException as error:
            if error.args[0].code() == KafkaError.MSG_SIZE_TOO_LARGE:
                raise self._over_the_clients_limit(topic, _size(key, value, headers)) from None
            raise self._refused(error.args[0], topic) from None
        try:
            await waiter
        except KafkaException as error:
            refused = error.args[0]
            if refused.code() not in _TOO_LARGE:
                raise self._refused(refused, topic) from None
            limit = await asyncio.to_thread(self._limit_of, topic)
            raise self._refused(refused, topic, _sizes(_size(key, value, headers), limit)) from None

    def _refused(self, error: KafkaError, topic: str, sizes: str = "") -> SendError:
        return SendError(
            f"topic {topic}{sizes}: {explain(error, self._servers)}",
            retriable=error.code() not in _PERMANENT,
            too_large=error.code() in _TOO_LARGE,
        )

    def _over_the_clients_limit(self, topic: str, size: int) -> SendError:
        limit = (
            f"{self._client_limit:,}" if isinstance(self._client_limit, int) else str(self._client_limit or "1000000")
        )
        text = (
            f"topic {topic}: the record of {size:,} bytes is over the Kafka client's message.max.bytes of {limit}, "
            "which follows from LANGGRAPH_WORKER_MAX_MESSAGE_BYTES; the broker was not asked"
        )
        return SendError(text, retriable=False, too_large=True)

    def close(self, timeout: float) -> None:
        with suppress(KafkaException, SystemError):  # a fatal error, while it calls back
            self._producer.flush(timeout)
        self._stop.set()
        self._thread.join()

    # ---- the polling thread; delivery reports are called from its poll() or close()'s flush() ----

    def _poll(self) -> None:
        while not self._stop.is_set():
            try:
                self._producer.poll(_POLL_SECONDS)
            except KafkaException as error:
                # A fatal error is raised here, error_cb does not get it. Reports of what was under way still come.
                self._give_up(error.args[0])
            self._report()
        self._report()

    def _give_up(self, error: KafkaError) -> None:
        self._log_trouble(error)
        self._loop.call_soon_threadsafe(self._fail, BrokerError(explain(error, self._servers)))
        self._stop.wait(_POLL_SECONDS)

    def _fail(self, error: BrokerError) -> None:
        if not self.failed.done():
            self.failed.set_exception(error)

    def _report(self) -> None:
        reports = [self._reports.popleft() for _ in range(len(self._reports))]
        if reports:
            self._loop.call_soon_threadsafe(_hand_over, reports)


def _size(key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes | str | None]]) -> int:
    return len(key or b"") + len(value or b"") + sum(len(name.encode()) + len(text or b"") for name, text in headers)


def _sizes(size: int, limit: int | None) -> str:
    known = f"max.message.bytes is {limit:,}" if limit is not None else "its max.message.bytes cannot be read"
    return f" (the record has {size:,} bytes, {known})"


def _hand_over(reports: list[tuple[_Waiter, KafkaError | None]]) -> None:
    for waiter, error in reports:
        if waiter.done():  # its caller was cancelled
            continue
        if error is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(KafkaException(error))
