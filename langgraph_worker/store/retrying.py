"""Wait for the run store: it comes back by itself, and until then no call may be skipped."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from langgraph_worker.errors import StoreError
from workflow_events.backoff import Backoff
from workflow_events.log_words import in_seconds

logger = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0
SAY_AGAIN_SECONDS = 60.0
"""Between two lines of the log about one call and one error."""

_T = TypeVar("_T")


async def retry_store(call: Callable[[], Awaitable[_T]], what: str) -> _T:
    """Call the store until it answers. Every method of the store may be repeated.

    :param what: what the call does, for the log.
    :raises StoreError: an error that does not pass by itself.
    """
    backoff, trouble = Backoff(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS), StoreTrouble(what)
    while True:
        try:
            found = await call()
        except StoreError as error:
            trouble.note(error)
        else:
            trouble.over()
            return found
        await asyncio.sleep(backoff.next_seconds())


def retry_store_in_thread(call: Callable[[], _T], what: str, over: threading.Event) -> _T:
    """As :func:`retry_store`, for a call that blocks.

    :param over: once it is set, no further call is made.
    :raises StoreError: an error that does not pass by itself, or the last one.
    """
    backoff, trouble = Backoff(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS), StoreTrouble(what)
    while True:
        try:
            found = call()
        except StoreError as error:
            trouble.note(error)
            if over.wait(backoff.next_seconds()):
                raise
        else:
            trouble.over()
            return found


class StoreTrouble:
    """What the log says of one call while the store is away: the first error, each other one, and the same one once a
    minute; and when the store answers again.

    :param what: what the call does.
    :param now: seconds of a monotonic clock.
    """

    def __init__(self, what: str, now: Callable[[], float] = time.monotonic) -> None:
        self._what = what
        self._now = now
        self._said = ""
        self._said_at = self._began_at = 0.0
        self._tries = 0

    def note(self, error: StoreError) -> None:
        """An error of the store that passes by itself.

        :raises StoreError: it does not.
        """
        if not error.retriable:
            raise error
        now, text = self._now(), str(error)
        if not self._tries:
            self._began_at = now
        self._tries += 1
        if text == self._said and now - self._said_at < SAY_AGAIN_SECONDS:
            return
        self._said, self._said_at = text, now
        lasting = f" (for {in_seconds(now - self._began_at)}, {self._tries} tries)" if self._tries > 1 else ""
        logger.error("cannot %s, trying again: %s%s", self._what, text, lasting, extra={"action": "store_trouble"})

    def over(self) -> None:
        """The store has answered."""
        if self._tries:
            lasted, tries = in_seconds(self._now() - self._began_at), self._tries + 1
            text = "the store answers again: it took %s and %d tries to %s"
            logger.info(text, lasted, tries, self._what, extra={"action": "store_back"})
