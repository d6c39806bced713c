"""Waits in the task's own process, on the same shared consumer as a trigger: with ``deferrable=False``, and before the
task defers.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from airflow_provider_langgraph.exceptions import KafkaError, RunCancelled
from airflow_provider_langgraph.requests.cancel import CANNOT_WAIT, KILLED, Canceller
from airflow_provider_langgraph.requests.handle import RequestHandle
from airflow_provider_langgraph.requests.kill_signal import KillSignal
from airflow_provider_langgraph.requests.outcome import decode_reply, no_reply, sensor_timeout
from workflow_events.codec import Record
from workflow_events.results import WorkflowResultEvent

_T = TypeVar("_T")


def wait_for_result(
    handle: RequestHandle, kill: KillSignal, canceller: Canceller, log: Any, most_seconds: float | None = None
) -> WorkflowResultEvent:
    """Block until the result is there; a request whose result cannot come is cancelled.

    :param most_seconds: how long to wait at most; None: until the request's deadline and its grace have passed.
    :raises AirflowSensorTimeout: that time has passed.
    :raises RunTimedOut: no reply came by the deadline and its grace.
    :raises RunCancelled: the task was killed.
    :raises KafkaError: the reply cannot be waited for, or cannot be read.
    """
    with _cancelled_if_it_fails(handle, canceller):
        try:
            wait = _wait(handle, kill)
            record = wait.reply(log) if most_seconds is None else wait.reply_at_most(most_seconds, log)
        except TimeoutError as error:
            raise no_reply(handle.correlation_id, str(error), canceller, getattr(error, "heard", "")) from None
        if record is None:
            raise sensor_timeout(handle, most_seconds or 0.0, canceller)
        return decode_reply(record)


def result_within(
    handle: RequestHandle, seconds: float, kill: KillSignal, canceller: Canceller, log: Any
) -> WorkflowResultEvent | None:
    """Block for so many seconds at most. None: the result is still to come, and the task may defer.

    :raises RunCancelled: the task was killed; the request is cancelled.
    :raises WaitError: the reply cannot be read; the request is cancelled.
    """
    if seconds <= 0:
        return None
    with _cancelled_if_it_fails(handle, canceller):
        record = _wait(handle, kill).reply_within(seconds, log)
        return None if record is None else decode_reply(record)


def _wait(handle: RequestHandle, kill: KillSignal) -> BlockingWait:
    wait = BlockingWait(handle)
    kill.stop_with(wait.kill)
    return wait


@contextmanager
def _cancelled_if_it_fails(handle: RequestHandle, canceller: Canceller) -> Iterator[None]:
    try:
        yield
    except (RunCancelled, KeyboardInterrupt):  # the latter: Ctrl-C in `airflow dags test`
        canceller.cancel(handle.correlation_id, KILLED)
        raise
    except KafkaError:
        canceller.cancel(handle.correlation_id, CANNOT_WAIT)
        raise


async def _at_most(seconds: float, wait: Coroutine[Any, Any, _T]) -> _T | None:
    """The outcome of a wait; None if it has none after so many seconds."""
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            return await wait
    except TimeoutError:
        if limit.expired():
            return None
        raise


class BlockingWait:
    """One wait that another thread, or a signal handler, can end."""

    def __init__(self, handle: RequestHandle) -> None:
        self._handle = handle
        self._killed = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None

    def reply(self, log: Any) -> Record:
        """Block until the reply is there, and return its record.

        :raises TimeoutError: none came by the deadline and its grace.
        :raises WaitError: the results cannot be read.
        :raises RunCancelled: :meth:`kill` was called.
        """
        from airflow_provider_langgraph.waiting.reply_wait import wait_for_reply

        return asyncio.run(self.run(wait_for_reply(self._handle, log)))

    def reply_at_most(self, seconds: float, log: Any) -> Record | None:
        """:meth:`reply` for so many seconds at most; None: there was none."""
        from airflow_provider_langgraph.waiting.reply_wait import wait_for_reply

        return asyncio.run(self.run(_at_most(seconds, wait_for_reply(self._handle, log))))

    def reply_within(self, seconds: float, log: Any) -> Record | None:
        """Block for so many seconds at most, and return the reply's record; None if there was none.

        :raises RunCancelled: :meth:`kill` was called.
        """
        from airflow_provider_langgraph.waiting.reply_wait import reply_within

        return asyncio.run(self.run(reply_within(self._handle, seconds, log)))

    def kill(self) -> None:
        """End the wait. Safe in a signal handler: all it does is to wake the event loop."""
        self._killed.set()
        if self._loop is not None and self._task is not None:
            with suppress(RuntimeError):  # the loop is closed: the wait is over
                self._loop.call_soon_threadsafe(self._task.cancel)

    async def run(self, wait: Coroutine[Any, Any, _T]) -> _T:
        """The outcome of a wait, which :meth:`kill` ends; for ``asyncio.run``.

        :raises RunCancelled: :meth:`kill` was called.
        """
        from airflow_provider_langgraph.waiting.connection_cache import finish_lookups

        self._loop = asyncio.get_running_loop()
        task = asyncio.ensure_future(wait)
        self._task = task
        if self._killed.is_set():
            task.cancel()
        try:
            return await task
        except asyncio.CancelledError:
            if self._killed.is_set():
                raise RunCancelled(
                    f"the task was killed while it waited for request {self._handle.correlation_id}"
                ) from None
            raise
        finally:
            await finish_lookups()
