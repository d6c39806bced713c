"""Wait for the run store: it comes back by itself, and until then no call may be skipped."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from typing import TypeVar

from langgraph_worker.errors import StoreError
from workflow_events.backoff import Backoff

logger = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0

_T = TypeVar("_T")


async def retry_store(call: Callable[[], Awaitable[_T]], what: str) -> _T:
    """Call the store until it answers. Every method of the store may be repeated.

    :param what: what the call does, for the log.
    :raises StoreError: an error that does not pass by itself.
    """
    backoff = Backoff(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
    while True:
        try:
            return await call()
        except StoreError as error:
            log_if_it_passes(error, what)
        await asyncio.sleep(backoff.next_seconds())


def retry_store_in_thread(call: Callable[[], _T], what: str, over: threading.Event) -> _T:
    """As :func:`retry_store`, for a call that blocks.

    :param over: once it is set, no further call is made.
    :raises StoreError: an error that does not pass by itself, or the last one.
    """
    backoff = Backoff(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
    while True:
        try:
            return call()
        except StoreError as error:
            log_if_it_passes(error, what)
            if over.wait(backoff.next_seconds()):
                raise


def log_if_it_passes(error: StoreError, what: str) -> None:
    """Log an error of the store that passes by itself.

    :raises StoreError: it does not.
    """
    if not error.retriable:
        raise error
    logger.error("cannot %s, trying again: %s", what, error, extra={"action": "store_trouble"})
