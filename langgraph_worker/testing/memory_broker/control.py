"""Reads a control topic in memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

from langgraph_worker.broker.port import Control
from langgraph_worker.testing.memory_broker.broker import MemoryBroker
from workflow_events.codec import Record


class MemoryControl(Control):
    """A reader that belongs to no group.

    :param since: how old a message may be; each partition is read from the first that is young enough.
    :param on_records: awaited with each batch, and whether the batch was there before the start.
    """

    def __init__(
        self,
        broker: MemoryBroker,
        topic: str,
        since: timedelta,
        on_records: Callable[[Sequence[Record], bool], Awaitable[None]],
        *,
        largest_batch: int = 500,
    ) -> None:
        self._broker = broker
        self._topic = topic
        self._since = since
        self._on_records = on_records
        self._largest_batch = largest_batch
        self._news = asyncio.Event()
        self._positions: dict[int, int] = {}
        self._reading: asyncio.Task[None] | None = None

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self.ended, self._caught_up = loop.create_future(), loop.create_future()
        self._reading = asyncio.create_task(self._read())
        self._reading.add_done_callback(self._end)
        await asyncio.wait({self._caught_up, self.ended}, return_when=asyncio.FIRST_COMPLETED)
        if self.ended.done():
            self.ended.result()

    async def close(self) -> None:
        if self._reading is None:
            return
        self._reading.cancel()
        await asyncio.wait({self.ended})

    def wake(self) -> None:
        """There may be something to read."""
        self._news.set()

    def _end(self, reading: asyncio.Task[None]) -> None:
        self._broker.readers.remove(self)
        problem = None if reading.cancelled() else reading.exception()
        if problem is None:
            self.ended.set_result(None)
        else:
            self.ended.set_exception(problem)

    async def _read(self) -> None:
        self._broker.readers.append(self)
        await self._broker.reachable()
        oldest = (time.time() - self._since.total_seconds()) * 1000
        for number, log in enumerate(self._broker.partitions(self._topic)):
            young = [record.offset for record in log if (record.timestamp_ms or 0) >= oldest]
            self._positions[number] = young[0] if young else len(log)
        while True:
            await self._broker.reachable()
            self._news.clear()
            records = self._take()
            if records:
                await self._on_records(records, not self._caught_up.done())
            else:
                if not self._caught_up.done():
                    self._caught_up.set_result(None)
                await self._news.wait()

    def _take(self) -> list[Record]:
        taken: list[Record] = []
        for number, log in enumerate(self._broker.partitions(self._topic)):
            position = self._positions.setdefault(number, 0)
            found = log[position : position + self._largest_batch - len(taken)]
            self._positions[number] += len(found)
            taken += found
        return taken
