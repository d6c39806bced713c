"""How much may wait in the store before the intake leaves the rest in Kafka."""

from __future__ import annotations

import logging
import time

from langgraph_worker.patience import persist
from langgraph_worker.settings import WorkerSettings, env_name
from langgraph_worker.store.port import RunStore

logger = logging.getLogger(__name__)

_COMPLAIN_EVERY = 30.0  # seconds


class Bounds:
    """Counts what is unfinished, by graph, over all workers.

    Requests that wait for their thread or for their graph hold no slot, and the intake goes on beside them: a graph
    that is held up starves no other. But no graph may fill the store.
    """

    def __init__(self, store: RunStore, settings: WorkerSettings) -> None:
        self._store = store
        self._most = settings.max_waiting
        self._most_bytes = settings.max_waiting_bytes
        self._complained = -_COMPLAIN_EVERY
        self.is_full = False
        """Whether nothing more may be taken in, as of the last look."""

    async def look(self) -> None:
        """Count."""
        found = await persist(self._store.backlog, "count what waits")
        full = {
            graph: backlog
            for graph, backlog in found.items()
            if backlog.requests >= self._most or backlog.bytes >= self._most_bytes
        }
        self.is_full = bool(full)
        if full and time.monotonic() - self._complained >= _COMPLAIN_EVERY:
            self._complained = time.monotonic()
            logger.error(
                "no events are taken in, of any graph, until less is unfinished: %s. The limits are %s=%d and %s=%d; "
                "see what holds the graph up, give it more slots, or raise them",
                ", ".join(f"{graph}: {one.requests} requests, {one.bytes:,} bytes" for graph, one in full.items()),
                env_name("max_waiting"),
                self._most,
                env_name("max_waiting_bytes"),
                self._most_bytes,
                extra={"action": "full"},
            )
