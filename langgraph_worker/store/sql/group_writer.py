"""Group commit: the writes that come while one transaction is written go into the next one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from langgraph_worker.errors import StoreError
from langgraph_worker.store.sql.run_writes import Outcome, Write

_MAX_WRITES = 200  # in one transaction: a bound for how long its locks are held


@dataclass(frozen=True, slots=True)
class _Waiting:
    write: Write
    done: asyncio.Future[bool]


class GroupWriter:
    """Collects writes in the event loop, in order, and hands them on together.

    :param commit: writes a batch in one transaction, and returns for each write whether it was written, or the error
        that refused it alone.
    """

    def __init__(self, commit: Callable[[Sequence[Write]], Awaitable[list[Outcome]]]) -> None:
        self._commit = commit
        self._waiting: list[_Waiting] = []
        self._writer: asyncio.Task[None] | None = None

    async def write(self, write: Write) -> bool:
        """Write, durably when this returns. If the call is cancelled, the write may or may not happen.

        :returns: False if the lease is void: nothing was written.
        :raises StoreError: it is not written, or that cannot be known. An error that lies in this write does not fail
            the other writes of the same transaction.
        """
        waiting = _Waiting(write, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._writer is None:
            self._writer = asyncio.create_task(self._run(), name="group-writer")
        return await waiting.done

    async def _run(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:_MAX_WRITES], self._waiting[_MAX_WRITES:]
                batch = [waiting for waiting in batch if not waiting.done.cancelled()]
                if batch:
                    await self._write(batch)
        finally:
            self._writer = None

    async def _write(self, batch: list[_Waiting]) -> None:
        try:
            written = await self._commit([waiting.write for waiting in batch])
        except Exception as error:  # noqa: BLE001  (each write's caller gets it)
            # An error that passes by itself concerns all of them. Any other may lie in a single write.
            alone = len(batch) == 1 or (isinstance(error, StoreError) and error.retriable)
            if alone:
                self._fail(batch, error)
                return
            for waiting in batch:
                await self._write([waiting])
            return
        for waiting, outcome in zip(batch, written, strict=True):
            if isinstance(outcome, StoreError):
                self._fail([waiting], outcome)
            elif not waiting.done.done():
                waiting.done.set_result(outcome)

    @staticmethod
    def _fail(batch: list[_Waiting], error: Exception) -> None:
        for waiting in batch:
            if not waiting.done.done():
                waiting.done.set_exception(error)
