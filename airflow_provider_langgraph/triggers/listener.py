"""One listener per process, connection and topic: however many tasks wait, one consumer reads the results."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from airflow_provider_langgraph.exceptions import WaitError
from airflow_provider_langgraph.fleet import configured_topic
from airflow_provider_langgraph.handle import RequestHandle
from airflow_provider_langgraph.triggers.commands import Register, Unregister
from airflow_provider_langgraph.triggers.connections import fresh_settings
from airflow_provider_langgraph.triggers.control_sender import control_sender
from airflow_provider_langgraph.triggers.poll import Outcome, PollThread
from airflow_provider_langgraph.triggers.shared import Shared, Turns
from workflow_events.codec import Record
from workflow_events.control import WorkflowQueryEvent

log = logging.getLogger(__name__)

_End = tuple[bytes, Record | WaitError]


class ResultListener:
    """Hands each result to whoever waits for it. Belongs to one event loop; use :func:`shared_listener`.

    A reply cannot be missed: a waiter says where it can lie at the earliest (the handle's start offsets), and is served
    from what was read since the listener started, from what is read back, or from what still comes.
    """

    def __init__(self, settings: dict[str, Any], topic: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._settings = settings
        self._waiters: dict[bytes, list[asyncio.Future[Record]]] = {}
        self._turns = Turns(self._loop, self._wake, _size)
        self._failed: WaitError | None = None
        self._asking: set[asyncio.Task[None]] = set()
        self._kafka_config_id = ""
        self._thread = PollThread(settings, topic, self._deliver, self._ask)
        self._thread.start()
        self.users = 0

    @property
    def failed(self) -> bool:
        """Whether the listener has given up; a new one must take its place."""
        return self._failed is not None

    @property
    def trouble(self) -> str | None:
        """Why results cannot be read just now; None while they can."""
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
            Register(
                key,
                handle.start_offsets,
                handle.cluster,
                handle.results_topic_id,
                configured_topic("control", handle.control_topic),
            )
        )
        return future

    def close(self) -> None:
        """Stop reading. Whoever still waits gets a :class:`WaitError`. Returns at once."""
        self._thread.stop()
        self._fail(WaitError("the listener was closed"))

    def _left(self, key: bytes, done: asyncio.Future[Record]) -> None:
        if not done.cancelled():
            done.exception()  # looked at: a waiter that has gone must not be reported as one that ignores its error
        futures = self._waiters.get(key, [])
        if done in futures:
            futures.remove(done)
            if not futures:
                del self._waiters[key]
                self._thread.send(Unregister(key))

    def _ask(self, topic: str, query: WorkflowQueryEvent) -> None:
        with suppress(RuntimeError):  # the loop is closed, so nobody waits any more
            self._loop.call_soon_threadsafe(self._start_asking, topic, query)

    def _start_asking(self, topic: str, query: WorkflowQueryEvent) -> None:
        asking = self._loop.create_task(self._send_query(topic, query))
        self._asking.add(asking)
        asking.add_done_callback(self._asking.discard)

    async def _send_query(self, topic: str, query: WorkflowQueryEvent) -> None:
        settings = self._settings
        try:
            # The sender is a new client: credentials that this listener began with may be refused to it by now.
            settings = await fresh_settings(self._kafka_config_id)
        except Exception as error:  # noqa: BLE001 - whatever keeps connections is away: old ones may do
            log.warning("Airflow connection %r cannot be read: %s", self._kafka_config_id, error)
        control_sender(settings).send(topic, query, f"the query for {len(query.correlation_ids)} results")

    def _deliver(self, outcome: Outcome) -> None:
        try:
            self._loop.call_soon_threadsafe(self._settle, outcome)
        except RuntimeError:  # the loop is closed, so nobody waits any more
            self._thread.stop()

    def _settle(self, outcome: Outcome) -> None:
        self._turns.add(outcome.replies)
        if outcome.fatal is not None:
            self._fail(outcome.fatal)

    def _fail(self, error: WaitError) -> None:
        self._failed = error
        self._turns.add([(key, error) for key in self._waiters])

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


_shared: Shared[ResultListener] = Shared()


def join_listener(settings: dict[str, Any], topic: str) -> ResultListener:
    """The process's listener for a topic over a connection; :func:`leave_listener` when done.

    :param settings: librdkafka settings of the connection.
    """
    return _shared.join(settings, topic, lambda: ResultListener(settings, topic))


def leave_listener(listener: ResultListener) -> None:
    """Use it no more; it is closed with its last user."""
    _shared.leave(listener)


@asynccontextmanager
async def shared_listener(settings: dict[str, Any], topic: str) -> AsyncIterator[ResultListener]:
    """:func:`join_listener` for a while."""
    listener = join_listener(settings, topic)
    try:
        yield listener
    finally:
        leave_listener(listener)
