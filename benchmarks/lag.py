"""How much the triggers that wait disturb the other users of an event loop and of a process."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psutil

TICK_SECONDS = 0.005
"""Between two checks whether the event loop keeps up."""
NOTHING: dict[str, Any] = {"late": [], "collected": 0.0}
"""The answer of :meth:`Lag.worst` where there is no event loop."""


class Lag:
    """How late the event loop was, and how long Python's garbage collector stopped everything."""

    def __init__(self) -> None:
        self._late: list[tuple[float, int]] = []
        self._collected = 0.0
        self._collecting = 0.0

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """While this is entered, the loop is watched."""
        gc.callbacks.append(self._note_collection)
        ticking = asyncio.create_task(self._tick())
        try:
            yield
        finally:
            ticking.cancel()

    def _note_collection(self, phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            self._collecting = time.perf_counter()
        else:
            self._collected = max(self._collected, time.perf_counter() - self._collecting)

    async def _tick(self) -> None:
        while True:
            before = time.monotonic_ns()
            await asyncio.sleep(TICK_SECONDS)
            now = time.monotonic_ns()
            self._late.append(((now - before) / 1e6 - TICK_SECONDS * 1000, now))

    async def worst(self) -> dict[str, Any]:
        """Since the last call: the milliseconds that the loop was late at worst, and until when, in nanoseconds of the
        monotonic clock; and the longest pause of the collector, in milliseconds.
        """
        await asyncio.sleep(3 * TICK_SECONDS)
        late, self._late = self._late, []
        collected, self._collected = self._collected, 0.0
        return {"late": sorted(late, reverse=True)[:3], "collected": collected * 1000}


def full_collection() -> float:
    """Milliseconds of processor time that Python's collector takes for all objects. Everything stops meanwhile."""
    began = time.thread_time()
    gc.collect()
    return (time.thread_time() - began) * 1000


def memory() -> dict[str, int]:
    """Resident bytes and threads of this process."""
    process = psutil.Process()
    return {"rss": process.memory_info().rss, "threads": process.num_threads()}
