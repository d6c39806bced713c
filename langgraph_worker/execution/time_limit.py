"""How long a run is waited for. A stop of the run, or of the worker, shortens the time while something waits."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


class TimeLimit:
    """A time until which to wait. Its methods belong to the event loop.

    :param seconds: from now; None: no limit.
    """

    def __init__(self, seconds: float | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._shortened = asyncio.Event()
        self._end: float | None
        self.restart(seconds)

    def restart(self, seconds: float | None) -> None:
        """Wait so long from now, whatever the limit was."""
        self._end = None if seconds is None else self._loop.time() + seconds

    def shorten(self, seconds: float) -> None:
        """Wait no longer than this from now."""
        end = self._loop.time() + seconds
        if self._end is None or end < self._end:
            self._end = end
            self._shortened.set()

    async def wait(self, work: Coroutine[Any, Any, None]) -> bool:
        """Do work that waits; False if it is not done when the limit is reached. Then it is cancelled."""
        task = asyncio.create_task(work)
        while not await self._is_done(task):
            if self._end is not None and self._end <= self._loop.time():
                task.cancel()
                return False
        task.result()
        return True

    async def _is_done(self, task: asyncio.Task[None]) -> bool:
        """Wait until the task is done, the limit is reached, or the limit is another one; whether the task is done."""
        self._shortened.clear()
        shortened = asyncio.create_task(self._shortened.wait())
        seconds = None if self._end is None else max(0.0, self._end - self._loop.time())
        await asyncio.wait({task, shortened}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        shortened.cancel()
        return task.done()
