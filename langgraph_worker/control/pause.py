"""Keeps a worker to the pauses of its fleet: what runs stops, and what has waited starts when a pause ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence

from langgraph_worker.domain.pauses import PauseChange
from langgraph_worker.store.port import RunStore
from langgraph_worker.store.retrying import retry_store

logger = logging.getLogger(__name__)


class PauseWatch:
    """Looks at the store, where another worker may have written a pause that this one has not heard of.

    Claims ask the store by themselves: the watch is for what runs already, and for the log.

    :param obey: called in the event loop with all that is paused, at each look.
    :param every_seconds: between two looks, unless :meth:`hurry` wakes it.
    """

    def __init__(self, store: RunStore, obey: Callable[[Sequence[PauseChange]], None], every_seconds: float) -> None:
        self._store = store
        self._obey = obey
        self._every_seconds = every_seconds
        self._hurry = asyncio.Event()
        self._known: Sequence[PauseChange] = ()

    @property
    def known(self) -> Sequence[PauseChange]:
        """What was paused at the last look."""
        return self._known

    def hurry(self) -> None:
        """Look now: control messages may have changed what is paused."""
        self._hurry.set()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), self._every_seconds)
            self._hurry.clear()

    async def look(self) -> None:
        """Let the worker keep to what is paused now."""
        pauses = await retry_store(self._store.pauses, "read what is paused")
        for pause in pauses:
            if pause not in self._known:
                what = "what runs is stopped now" if pause.at_once else "what runs stops before its next superstep"
                logger.warning("%s. Nothing of it starts, %s", pause.in_words, what, extra={"action": "paused"})
        left = {pause.key for pause in pauses}
        for pause in self._known:
            if pause.key not in left:
                logger.warning("the pause of %s has ended", pause.scope_in_words, extra={"action": "unpaused"})
        self._known = pauses
        self._obey(pauses)
