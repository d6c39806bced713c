"""What a worker does every second, and every ten seconds, beside its runs."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from langgraph_worker.checkpoints.memories import Memories
from langgraph_worker.domain.models import WorkerInfo
from langgraph_worker.execution.turn_queue import TurnQueue
from langgraph_worker.intake.free_room import FreeRoom
from langgraph_worker.publishing.outbox import Outbox
from langgraph_worker.store.port import RunStore
from langgraph_worker.store.retrying import retry_store
from langgraph_worker.store.sql.memory_store import SWEPT_AT_ONCE
from workflow_events.log_words import counted

logger = logging.getLogger(__name__)

_LOOK_EVERY_SECONDS = 1.0
_ANNOUNCE_EVERY_SECONDS = 10.0
_SWEEP_EVERY_MINUTES = 5.0  # unless the project's store.ttl says otherwise


class Housekeeping:
    """Announces the worker, ends what waited too long, removes what expired, and looks at what is unfinished.

    :param info: what the fleet may know of this worker; ``info.graphs`` are the graphs it can run.
    :param graph_grace_seconds: how long a request may wait for a graph that no worker knows.
    :param turns: looks which models take no calls; None: nothing calls any.
    """

    def __init__(
        self,
        store: RunStore,
        memories: Memories,
        outbox: Outbox,
        free_room: FreeRoom,
        info: WorkerInfo,
        graph_grace_seconds: float,
        now: Callable[[], float] = time.monotonic,
        turns: TurnQueue | None = None,
    ) -> None:
        self._store = store
        self._memories = memories
        minutes = (memories.config.ttl or {}).get("sweep_interval_minutes") or _SWEEP_EVERY_MINUTES
        self._sweep_every_seconds = minutes * 60.0
        self._outbox = outbox
        self._free_room = free_room
        self._info = info
        self._graph_grace_seconds = graph_grace_seconds
        self._now = now
        self._turns = turns
        self._announced_at = self._swept_at = float("-inf")

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self._look()
            await asyncio.sleep(_LOOK_EVERY_SECONDS)

    async def _look(self) -> None:
        if self._turns is not None:
            self._turns.look()
        if self._now() - self._announced_at >= _ANNOUNCE_EVERY_SECONDS:
            await retry_store(lambda: self._store.announce(self._info), "announce this worker")
            self._announced_at = self._now()
        if await retry_store(self._expire, "end what waited too long"):
            self._outbox.wake()
        await self._sweep()
        await self._free_room.look()

    async def _sweep(self) -> None:
        """One pass; at the next look another one, if there may be more."""
        if self._now() - self._swept_at >= self._sweep_every_seconds:
            began = self._now()
            if await self._memories.sweep() < SWEPT_AT_ONCE:
                self._swept_at = began

    async def _expire(self) -> int:
        ended = await self._store.expire(self._info.graphs.keys(), self._graph_grace_seconds)
        if ended:
            logger.warning(
                "ended %s that waited past the deadline, or too long for a graph that no worker knows; the answer says "
                "why",
                counted(ended, "request"),
                extra={"action": "expired"},
            )
        return ended
