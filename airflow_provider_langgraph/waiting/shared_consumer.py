"""One consumer for each process, connection and results topic, however many tasks wait for a reply on it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from airflow_provider_langgraph.exceptions import WaitError
from airflow_provider_langgraph.kafka.control_sender import control_sender
from airflow_provider_langgraph.kafka.sharing import FanOut, Shared
from airflow_provider_langgraph.requests.handle import RequestHandle
from airflow_provider_langgraph.waiting.commands import Look, Register, Unregister
from airflow_provider_langgraph.waiting.connection_cache import fresh_settings
from airflow_provider_langgraph.waiting.consumer_thread import ConsumerThread, ReadOutcome
from workflow_events.codec import Record
from workflow_events.control import WorkflowQueryEvent

log = logging.getLogger(__name__)

_End = tuple[bytes, Record | WaitError]


class SharedConsumer:
    """Hands each result to its waiters. Belongs to one event loop; use :func:`shared_consumer`.

    No reply is missed: a waiter names the earliest offsets of its reply (the handle's start offsets), and gets it from
    what was read since the consumer started, from what is read back, or from what still comes.

    It keeps the waiters' futures for the event loop. ReplyRouter keeps the same waiters for the consumer's thread.
    """

    def __init__(self, settings: dict[str, Any], topic: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._settings = settings
        self._waiters: dict[bytes, list[asyncio.Future[Record]]] = {}
        self._looks: dict[bytes, list[asyncio.Future[None]]] = {}
        self._fan_out = FanOut(self._loop, self._wake, _size)
        self._failed: WaitError | None = None
        self._asking: set[asyncio.Task[None]] = set()
        self._kafka_config_id = ""
        self._thread = ConsumerThread(settings, topic, self._deliver, self._ask)
        self._thread.start()
        self.users = 0

    @property
    def failed(self) -> bool:
        """Whether the consumer has given up; a new one must take its place."""
        return self._failed is not None

    @property
    def trouble(self) -> str | None:
        """Why results cannot be read at the moment; None while they can."""
        return self._thread.trouble

    def wait(self, handle: RequestHandle) -> asyncio.Future[Record]:
        """A future for the reply's record, undecoded. Cancel it to leave.

        The future raises :class:`~airflow_provider_langgraph.exceptions.WaitError` if the topic cannot be read at all.
        """
        future: asyncio.Future[Record] = self._loop.create_future()
        if self._failed is not None:
            future.set_exception(self._failed)
            return future
        self._kafka_config_id = handle.kafka_config_id
        key = str(handle.correlation_id).encode()
        self._waiters.setdefault(key, []).append(future)
        future.add_done_callback(lambda done: self._left(key, done))
        self._thread.send(
            Register(key, handle.start_offsets, handle.cluster, handle.results_topic_id, handle.control_topic)
        )
        return future

    async def is_answered(self, handle: RequestHandle) -> bool:
        """Whether the reply is on the topic by now. Says so as soon as the topic was read to the end that it has now.

        Does not return while the topic cannot be read: set it a limit of time.

        :raises WaitError: the consumer has failed, so that this is not known.
        """
        key = str(handle.correlation_id).encode()
        reply = self.wait(handle)
        absent: asyncio.Future[None] = self._loop.create_future()
        self._looks.setdefault(key, []).append(absent)
        self._thread.send(Look(key))
        try:
            either: set[asyncio.Future[Any]] = {reply, absent}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not reply.done():
                return False
            reply.result()
            return True
        finally:
            reply.cancel()
            self._looks[key].remove(absent)
            if not self._looks[key]:
                del self._looks[key]

    def close(self) -> None:
        """Stop reading. Every remaining waiter gets a :class:`WaitError`. Returns at once."""
        self._thread.stop()
        self._fail(WaitError("the shared consumer was closed"))

    def _left(self, key: bytes, done: asyncio.Future[Record]) -> None:
        if not done.cancelled():
            done.exception()  # looked at: asyncio would report a waiter that has left as one that ignores its error
        futures = self._waiters.get(key, [])
        if done in futures:
            futures.remove(done)
            if not futures:
                del self._waiters[key]
                self._thread.send(Unregister(key))

    def _ask(self, topic: str, query: WorkflowQueryEvent) -> None:
        with suppress(RuntimeError):  # the loop is closed, so there is no waiter any more
            self._loop.call_soon_threadsafe(self._start_asking, topic, query)

    def _start_asking(self, topic: str, query: WorkflowQueryEvent) -> None:
        asking = self._loop.create_task(self._send_query(topic, query))
        self._asking.add(asking)
        asking.add_done_callback(self._asking.discard)

    async def _send_query(self, topic: str, query: WorkflowQueryEvent) -> None:
        settings = self._settings
        try:
            # The sender is a new client: it may be refused with the credentials that this consumer began with.
            settings = await fresh_settings(self._kafka_config_id)
        except Exception as error:  # noqa: BLE001 - connections cannot be read: old settings may still work
            log.warning("Airflow connection %r cannot be read: %s", self._kafka_config_id, error)
        control_sender(settings).send(topic, query, f"the query for {len(query.correlation_ids)} results")

    def _deliver(self, outcome: ReadOutcome) -> None:
        try:
            self._loop.call_soon_threadsafe(self._settle, outcome)
        except RuntimeError:  # the loop is closed, so there is no waiter any more
            self._thread.stop()

    def _settle(self, outcome: ReadOutcome) -> None:
        self._fan_out.add(outcome.replies)
        for key in outcome.absent:
            for look in self._looks.get(key, ()):
                if not look.done():
                    look.set_result(None)
        if outcome.fatal is not None:
            self._fail(outcome.fatal)

    def _fail(self, error: WaitError) -> None:
        self._failed = error
        self._fan_out.add([(key, error) for key in self._waiters])

    def _wake(self, end: _End) -> None:
        key, how = end
        for future in self._waiters.pop(key, ()):
            if future.done():
                continue
            if isinstance(how, WaitError):
                future.set_exception(type(how)(str(how)))  # one for each: it gets a traceback of its own
            else:
                future.set_result(how)


def _size(end: _End) -> int:
    return len(end[1].value or b"") if isinstance(end[1], Record) else 0


_shared: Shared[SharedConsumer] = Shared()


def join_consumer(settings: dict[str, Any], topic: str) -> SharedConsumer:
    """The process's consumer of a topic over a connection; :func:`leave_consumer` when done.

    :param settings: librdkafka settings of the connection.
    """
    return _shared.join(settings, topic, lambda: SharedConsumer(settings, topic))


def leave_consumer(consumer: SharedConsumer) -> None:
    """Use it no more; it is closed with its last user."""
    _shared.leave(consumer)


@asynccontextmanager
async def shared_consumer(settings: dict[str, Any], topic: str) -> AsyncIterator[SharedConsumer]:
    """:func:`join_consumer` for a while."""
    consumer = join_consumer(settings, topic)
    try:
        yield consumer
    finally:
        leave_consumer(consumer)
