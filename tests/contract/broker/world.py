"""The environment that the contract needs: other writers and readers, members that die, a broker that is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from typing import Protocol

from langgraph_worker.broker.port import Batch, Control, Events, Producer
from langgraph_worker.testing.memory_broker import MemoryBroker, MemoryControl, MemoryEvents, MemoryProducer
from tests.support.polling import until
from workflow_events.codec import Record

Headers = Sequence[tuple[str, bytes | str | None]]
URGENT = b"urgent"
"""The beginning of records that must not wait."""
OnRecords = Callable[[Sequence[Record], bool], Awaitable[None]]

CLUSTER = "c"
GROUP = "group"
SHORT = 3.0  # seconds: the time limit of a send of an impatient producer


def is_urgent(record: Record) -> bool:
    """Whether a member of a world may deliver a record before others."""
    return (record.value or b"").startswith(URGENT)


class World(Protocol):
    """A broker with the topics ``events`` (three partitions) and ``replies`` (one, messages up to 2,000 bytes)."""

    events: str
    replies: str

    def write(
        self,
        value: bytes | None,
        *,
        key: bytes | None = None,
        headers: Headers = (),
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> None:
        """Write one record to ``events``; then it can be read."""

    def read(self, topic: str) -> list[Record]:
        """All of a topic, partition after partition."""

    def committed(self) -> dict[int, int]:
        """The group's commit of each partition of ``events`` that has one."""

    def member(self, on_batch: Callable[[Batch], None], topic: str | None = None) -> Events:
        """A member of the group, not started; of ``events`` unless another topic is named."""

    def control(self, on_records: OnRecords, since: timedelta) -> Control:
        """A reader of ``events`` as if it were the control topic, not started."""

    def producer(self, *, impatient: bool = False) -> Producer:
        """A producer; the test closes it."""

    async def die_after_reading(self, count: int) -> None:
        """Let a member read so many records of ``events`` and die: it commits nothing and does not leave."""

    def away(self) -> AbstractAsyncContextManager[None]:
        """The broker does not answer while this is entered."""


class Member:
    """A member of the group, and the batches that it has got.

    :param keen: whether it commits each batch at once.
    """

    def __init__(self, world: World, topic: str | None = None, *, keen: bool = False) -> None:
        self._world = world
        self._keen = keen
        self._news = asyncio.Event()
        self.batches: list[Batch] = []
        self.events = world.member(self._take, topic)

    def _take(self, batch: Batch) -> None:
        self.batches.append(batch)
        if self._keen:
            self.commit(batch)
        self._news.set()

    @property
    def records(self) -> list[Record]:
        return [record for batch in self.batches for record in batch.records]

    @property
    def values(self) -> list[bytes | None]:
        return [record.value for record in self.records]

    @property
    def partitions(self) -> set[int]:
        return {record.partition for record in self.records}

    async def until(self, count: int) -> None:
        """Wait until it has got so many records since the start."""
        await self.until_true(lambda: len(self.records) >= count)

    async def until_true(self, condition: Callable[[], bool]) -> None:
        """Wait until a batch makes the condition true."""
        while not condition():
            self._news.clear()
            await asyncio.wait_for(self._news.wait(), 15)

    def commit(self, *batches: Batch) -> None:
        for batch in batches or self.batches:
            self.events.commit(batch)

    async def committed(self, expected: dict[int, int]) -> None:
        """Wait until the group has committed exactly this."""

        async def is_so() -> bool:
            return await asyncio.to_thread(self._world.committed) == expected

        await until(is_so, 15)


@asynccontextmanager
async def reading(
    world: World, allowed: int = 1_000_000, topic: str | None = None, *, keen: bool = False
) -> AsyncIterator[Member]:
    """A member that has joined, and leaves at the end."""
    member = Member(world, topic, keen=keen)
    member.events.allow(allowed)
    await member.events.start()
    try:
        yield member
    finally:
        await member.events.close()


class MemoryWorld(World):
    """The broker in memory, in this event loop."""

    def __init__(self) -> None:
        self.events, self.replies = "events", "replies"
        self.broker = MemoryBroker(CLUSTER)
        self.broker.create(self.events)
        self.broker.create(self.replies, 1, 2_000)

    def write(
        self,
        value: bytes | None,
        *,
        key: bytes | None = None,
        headers: Headers = (),
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> None:
        self.broker.write(self.events, value, key=key, headers=headers, partition=partition, timestamp_ms=timestamp_ms)

    def read(self, topic: str) -> list[Record]:
        return self.broker.records(topic)

    def committed(self) -> dict[int, int]:
        return self.broker.committed(GROUP, self.events)

    def member(self, on_batch: Callable[[Batch], None], topic: str | None = None) -> MemoryEvents:
        return MemoryEvents(self.broker, topic or self.events, GROUP, on_batch, is_urgent=is_urgent)

    def control(self, on_records: OnRecords, since: timedelta) -> Control:
        return MemoryControl(self.broker, self.events, since, on_records)

    def producer(self, *, impatient: bool = False) -> Producer:
        return MemoryProducer(self.broker, SHORT if impatient else 30.0)

    async def die_after_reading(self, count: int) -> None:
        member = Member(self)
        member.events.allow(count)
        await member.events.start()
        await member.until(count)
        assert isinstance(member.events, MemoryEvents)
        member.events.die()
        self.broker.expire_sessions()

    @asynccontextmanager
    async def away(self) -> AsyncIterator[None]:
        self.broker.go_away()
        try:
            yield
        finally:
            self.broker.come_back()
