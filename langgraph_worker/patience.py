"""Waiting for the run store: it comes back by itself, and until then nothing may be skipped."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from langgraph_worker.errors import StoreError

logger = logging.getLogger(__name__)

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0

_T = TypeVar("_T")


async def persist(call: Callable[[], Awaitable[_T]], what: str) -> _T:
    """Call the store until it answers; every method of the store may be repeated.

    :param what: for the log.
    :raises StoreError: one that no waiting helps.
    """
    pause = _FIRST_PAUSE
    while True:
        try:
            return await call()
        except StoreError as error:
            if not error.retriable:
                raise
            logger.error("cannot %s, trying again: %s", what, error, extra={"action": "store_trouble"})
        await asyncio.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE)
