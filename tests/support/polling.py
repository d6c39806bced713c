"""Waiting for what sends no event: a broker's offsets, another process's output, a log. The one loop that polls."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable

LOOK_EVERY_SECONDS = 0.02


async def until(condition: Callable[[], bool | Awaitable[bool]], seconds: float) -> None:
    """Wait until a condition holds.

    :raises TimeoutError: it does not within so many seconds.
    """
    async with asyncio.timeout(seconds):
        while True:
            answer = condition()
            if await answer if inspect.isawaitable(answer) else answer:
                return
            await asyncio.sleep(LOOK_EVERY_SECONDS)
