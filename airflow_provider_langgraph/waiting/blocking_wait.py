"""``deferrable=False``: wait in the task's own process, on the same shared consumer as a trigger."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import Any

from airflow_provider_langgraph.exceptions import KafkaError, RunCancelled
from airflow_provider_langgraph.requests.cancel import CANNOT_WAIT, KILLED, Canceller
from airflow_provider_langgraph.requests.handle import RequestHandle
from airflow_provider_langgraph.requests.kill_signal import KillSignal
from airflow_provider_langgraph.requests.outcome import decode_reply, no_reply
from workflow_events.codec import Record
from workflow_events.results import WorkflowResultEvent


def wait_for_result(handle: RequestHandle, kill: KillSignal, canceller: Canceller, log: Any) -> WorkflowResultEvent:
    """Block until the result is there; a request whose result cannot come is cancelled.

    :raises RunTimedOut: no reply came by the deadline and its grace.
    :raises RunCancelled: the task was killed.
    :raises KafkaError: the reply cannot be waited for, or cannot be read.
    """
    wait = BlockingWait(handle)
    kill.stop_with(wait.kill)
    try:
        return decode_reply(wait.reply(log))
    except TimeoutError as error:
        raise no_reply(handle.correlation_id, str(error), canceller, getattr(error, "heard", "")) from None
    except RunCancelled:
        if kill.is_set:
            canceller.cancel(handle.correlation_id, KILLED)
        raise
    except KafkaError:
        canceller.cancel(handle.correlation_id, CANNOT_WAIT)
        raise


class BlockingWait:
    """One wait that another thread, or a signal handler, can end."""

    def __init__(self, handle: RequestHandle) -> None:
        self._handle = handle
        self._killed = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Record] | None = None

    def reply(self, log: Any) -> Record:
        """Block until the reply is there, and return its record.

        :raises TimeoutError: none came by the deadline and its grace.
        :raises WaitError: the results cannot be read.
        :raises RunCancelled: :meth:`kill` was called.
        """
        return asyncio.run(self._wait(log))

    def kill(self) -> None:
        """End the wait. Safe in a signal handler: all it does is to wake the event loop."""
        self._killed.set()
        if self._loop is not None and self._task is not None:
            with suppress(RuntimeError):  # the loop is closed: the wait is over
                self._loop.call_soon_threadsafe(self._task.cancel)

    async def _wait(self, log: Any) -> Record:
        from airflow_provider_langgraph.waiting.reply_wait import wait_for_reply

        self._loop = asyncio.get_running_loop()
        self._task = asyncio.ensure_future(wait_for_reply(self._handle, log))
        if self._killed.is_set():
            self._task.cancel()
        try:
            return await self._task
        except asyncio.CancelledError:
            if self._killed.is_set():
                raise RunCancelled(
                    f"the task was killed while it waited for request {self._handle.correlation_id}"
                ) from None
            raise
