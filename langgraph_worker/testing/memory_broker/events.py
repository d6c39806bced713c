"""A member of a group."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from langgraph_worker.broker.port import Batch, Events
from langgraph_worker.testing.memory_broker.broker import MemoryBroker
from workflow_events.codec import Record


class MemoryEvents(Events):
    """A member of a group.

    :param on_batch: called in the loop with each batch.
    :param is_urgent: whether a record must not wait behind others while there is no room.
    :param leave_seconds: how long a closing member waits for a broker that is away.
    """

    def __init__(
        self,
        broker: MemoryBroker,
        topic: str,
        group: str,
        on_batch: Callable[[Batch], None],
        *,
        is_urgent: Callable[[Record], bool] = lambda record: False,
        largest_batch: int = 500,
        leave_seconds: float = 5.0,
    ) -> None:
        self.group = broker.group(group, topic)
        self.dead = False
        self._broker = broker
        self._on_batch = on_batch
        self._largest_batch = largest_batch
        self._leave_seconds = leave_seconds
        self._started = self._closing = self._turn_is_due = False
        self._joined = asyncio.Event()
        self._allowed = self._delivered = self._epoch = 0
        self._epochs: dict[int, int] = {}
        self._positions: dict[int, int] = {}
        self._owed: dict[int, int] = {}
        self._is_urgent = is_urgent
        self._looks_ahead = self._ahead_is_taken = False
        self._ahead: dict[int, int] = {}

    @property
    def owned(self) -> list[int]:
        """The partitions it has now."""
        return sorted(self._positions)

    async def start(self) -> None:
        self._started = True
        self.ended = asyncio.get_running_loop().create_future()
        self.group.add(self)
        await self._joined.wait()

    def allow(self, total: int) -> None:
        self._allowed = total
        self.wake()

    def look_ahead(self, wanted: bool) -> None:
        self._looks_ahead = wanted
        self.wake()

    def commit(self, batch: Batch) -> None:
        if batch.is_ahead:
            self._ahead_is_taken = False
        for record in batch.records:
            epoch = batch.epochs.get(record.partition)
            if epoch is not None and self._epochs.get(record.partition) == epoch:
                self._owed[record.partition] = record.offset + 1
        self.wake()

    async def close(self) -> None:
        if not self._started or self.dead:
            return
        if not self._closing:
            self._closing = True
            await self._leave()
            self.ended.set_result(None)
            self._joined.set()
        await asyncio.wait({self.ended})

    def die(self) -> None:
        """Stop, like a killed process; the group notices it in :meth:`MemoryBroker.expire_sessions`."""
        self.dead = True

    async def _leave(self) -> None:
        try:
            async with asyncio.timeout(self._leave_seconds if self._owed else 0):
                await self._broker.reachable()
        except TimeoutError:
            self._owed.clear()
        self._commit_owed()
        self.group.remove([self])

    # ---- the group's side ----

    def assign(self, partitions: Iterable[int]) -> None:
        """Begin to read partitions from the group's committed offsets."""
        self._epoch += 1
        for number in partitions:
            self._epochs[number] = self._epoch
            self._ahead.pop(number, None)
            self._positions[number] = self.group.committed.get(number, 0)
        self._joined.set()
        self.wake()

    def revoke(self, partitions: Iterable[int]) -> None:
        """Give up partitions, and the commits that are still to be written for them."""
        for number in partitions:
            for per_partition in (self._epochs, self._positions, self._owed, self._ahead):
                per_partition.pop(number, None)

    def wake(self) -> None:
        """There may be something to do."""
        if self._started and not self._turn_is_due:
            self._turn_is_due = True
            self.ended.get_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self._turn_is_due = False
        if self.dead or self._closing or self._broker.away:
            return
        self._commit_owed()
        records = self._take(min(self._allowed - self._delivered, self._largest_batch))
        if records:
            self._delivered += len(records)
            self._on_batch(Batch(records, dict(self._epochs)))
            self.wake()
        elif self._delivered >= self._allowed and self._looks_ahead and not self._ahead_is_taken:
            self._read_ahead()

    def _take(self, room: int) -> tuple[Record, ...]:
        taken: list[Record] = []
        for number, position in self._positions.items():
            found = self.group.partitions[number][position : position + max(0, room - len(taken))]
            self._positions[number] += len(found)
            taken += found
        return tuple(taken)

    def _read_ahead(self) -> None:
        urgent: list[Record] = []
        for number, position in self._positions.items():
            behind = self.group.partitions[number][max(position, self._ahead.get(number, 0)) :]
            self._ahead[number] = len(self.group.partitions[number])
            urgent += filter(self._is_urgent, behind)
        if urgent:
            self._ahead_is_taken = True
            self._on_batch(Batch(tuple(urgent), {}, is_ahead=True))

    def _commit_owed(self) -> None:
        self.group.committed.update(self._owed)
        self._owed.clear()
