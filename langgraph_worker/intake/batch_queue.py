"""Batches on their way from the consumer to the intake."""

from __future__ import annotations

import asyncio

from langgraph_worker.broker.port import Batch


class BatchQueue:
    """Keeps batches in order. Its length is bounded by what the consumer may deliver. It belongs to the event loop."""

    def __init__(self) -> None:
        self._batches: asyncio.Queue[Batch | None] = asyncio.Queue()

    def offer(self, batch: Batch) -> None:
        """Queue a batch; never blocks."""
        self._batches.put_nowait(batch)

    def close(self) -> None:
        """End the queue after what was offered before."""
        self._batches.put_nowait(None)

    async def next(self) -> Batch | None:
        """Wait for the next batch; None at the end."""
        return await self._batches.get()
