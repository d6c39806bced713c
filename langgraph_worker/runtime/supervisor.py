"""Parts that run until the worker stops: started, watched, and waited for within bounds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Coroutine
from typing import Any

from langgraph_worker.errors import WorkerError

logger = logging.getLogger(__name__)

_COMPLAIN_EVERY_SECONDS = 30.0


class Part:
    """A task that the supervisor watches."""

    def __init__(self, task: asyncio.Task[None]) -> None:
        self._task = task

    @property
    def has_failed(self) -> bool:
        """Whether it ended with an exception."""
        return self._task.done() and not self._task.cancelled() and self._task.exception() is not None

    async def wait(self) -> None:
        """Wait for its end, however it ends."""
        await asyncio.wait({self._task})

    def cancel(self) -> None:
        """Cancel it. Harmless if it has ended."""
        self._task.cancel()

    async def end(self) -> None:
        """Cancel it, and wait for its end."""
        self.cancel()
        await self.wait()


class Supervisor:
    """Starts parts and watches them. The first failure requests the stop, as a signal does.

    Its methods belong to the event loop.

    :ivar failure: what the first part that failed raised.
    """

    def __init__(self) -> None:
        self.failure: BaseException | None = None
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, name: str, work: Coroutine[Any, Any, None]) -> Part:
        """Start a part. Its name appears in the log when it fails."""
        task = asyncio.create_task(work, name=name)
        self._tasks.append(task)
        self.watch(name, task)
        return Part(task)

    def watch(self, name: str, future: asyncio.Future[None]) -> None:
        """Request the stop when this fails. The supervisor neither cancels it nor waits for it."""
        future.add_done_callback(lambda ended: self._check(name, ended))

    def request_stop(self) -> None:
        """Begin an orderly stop. Idempotent."""
        self._stop.set()

    async def stop_requested(self) -> None:
        """Wait until a stop is requested."""
        await self._stop.wait()

    async def end_all(self) -> None:
        """Cancel every part that still runs, and wait for the end of all."""
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)

    def _check(self, name: str, ended: asyncio.Future[None]) -> None:
        error = None if ended.cancelled() else ended.exception()
        if error is None:
            return
        if self.failure is None:
            self.failure = error
        logger.error("%s failed: %s", name, error, extra={"action": "failed"})
        self.request_stop()


async def wait_within(seconds: float, work: Awaitable[Any], complaint: str) -> None:
    """Wait for a step of the stop, but not longer than this. A step that fails or takes too long is logged: the next
    steps happen all the same.
    """
    try:
        async with asyncio.timeout(seconds):
            await work
    except (TimeoutError, WorkerError) as error:
        logger.error("%s %s", complaint, error, extra={"action": "stopping"})


async def wait_and_complain(work: Coroutine[Any, Any, None], complaint: str) -> None:
    """Wait for a step of the start without a limit, and log the complaint while it takes long."""
    task = asyncio.create_task(work)
    while not task.done():
        await asyncio.wait({task}, timeout=_COMPLAIN_EVERY_SECONDS)
        if not task.done():
            logger.warning("%s", complaint, extra={"action": "waiting"})
    task.result()
