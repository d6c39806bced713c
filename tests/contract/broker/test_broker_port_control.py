"""What the worker relies on when it reads the control topic, of Kafka and of the broker in memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from tests.contract.broker.world import CLUSTER, World
from workflow_events.codec import Record

DAY = timedelta(days=1)


class Reader:
    """A control reader, and the batches that it has got.

    :ivar hold: a batch is handled when this is set.
    :ivar trouble: raised at the end of each batch, if it is set.
    """

    def __init__(self, world: World, since: timedelta = DAY) -> None:
        self.batches: list[tuple[list[Record], bool]] = []
        self.at_once = self.most_at_once = 0
        self.hold = asyncio.Event()
        self.hold.set()
        self.cancelled = False
        self.trouble: Exception | None = None
        self._news = asyncio.Event()
        self.control = world.control(self._take, since)

    async def _take(self, records: Sequence[Record], old: bool) -> None:
        self.batches.append((list(records), old))
        self._news.set()
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.hold.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        finally:
            self.at_once -= 1
        if self.trouble is not None:
            raise self.trouble

    def records(self, *, old: bool | None = None) -> list[Record]:
        return [record for records, was_old in self.batches if old in (None, was_old) for record in records]

    def values(self, *, old: bool | None = None) -> list[bytes | None]:
        return [record.value for record in self.records(old=old)]

    async def until(self, count: int) -> None:
        """Wait until it has got so many records."""
        await self.until_true(lambda: len(self.records()) >= count)

    async def until_true(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._news.clear()
            await asyncio.wait_for(self._news.wait(), 15)


@asynccontextmanager
async def reading(world: World, since: timedelta = DAY) -> AsyncIterator[Reader]:
    """A reader that has caught up, and is closed at the end."""
    reader = Reader(world, since)
    await reader.control.start()
    try:
        yield reader
    finally:
        await reader.control.close()


def write(world: World, *texts: str, partition: int = 0, age: timedelta = timedelta(0)) -> None:
    at = int((time.time() - age.total_seconds()) * 1000)
    for text in texts:
        world.write(text.encode(), partition=partition, timestamp_ms=at)


async def test_all_that_is_there_is_dealt_with_before_the_start_returns_and_told_as_old(world):
    for partition in range(3):
        write(world, *(str(number) for number in range(200)), partition=partition)
    async with reading(world) as reader:
        assert len(reader.records()) == 600
        assert all(old for _, old in reader.batches)
        assert reader.at_once == 0
    for partition in range(3):
        found = [(record.offset, record.value) for record in reader.records() if record.partition == partition]
        assert found == [(number, str(number).encode()) for number in range(200)]


async def test_what_is_written_later_is_told_as_new_and_in_order(world):
    write(world, "old")
    async with reading(world) as reader:
        for number in range(5):
            write(world, str(number))
        await reader.until(6)
    assert reader.values(old=True) == [b"old"]
    assert reader.values(old=False) == [b"0", b"1", b"2", b"3", b"4"]


async def test_records_come_as_they_were_written(world):
    world.write(b"body", key=b"key", headers=[("h", b"1")], partition=1)
    async with reading(world) as reader:
        [record] = reader.records()
    assert (record.value, record.key, record.headers) == (b"body", b"key", [("h", b"1")])
    assert (record.topic, record.partition, record.offset, record.cluster) == (world.events, 1, 0, CLUSTER)


async def test_an_empty_topic_is_read_to_its_end(world):
    async with reading(world) as reader:
        assert reader.batches == []
        for partition in range(3):
            write(world, "new", partition=partition)
        await reader.until(3)
    assert reader.values(old=False) == [b"new"] * 3


async def test_partitions_without_a_record_hold_nobody_up(world):
    write(world, "only", partition=2)
    async with reading(world) as reader:
        assert reader.values() == [b"only"]


async def test_every_reader_gets_everything(world):
    write(world, "old")
    async with reading(world) as first, reading(world) as second:
        write(world, "new")
        await first.until(2)
        await second.until(2)
    async with reading(world) as third:
        assert third.values(old=True) == [b"old", b"new"]
    assert first.values() == second.values() == [b"old", b"new"]


async def test_a_batch_is_dealt_with_before_the_next_is_told(world):
    async with reading(world) as reader, reading(world) as other:
        reader.hold.clear()
        write(world, "0")
        await reader.until(1)
        for number, partition in ((1, 0), (2, 0), (3, 1)):
            write(world, str(number), partition=partition)
            await other.until(number + 1)
        assert reader.values() == [b"0"]
        reader.hold.set()
        await reader.until(4)
    assert reader.most_at_once == 1
    assert [record.value for record in reader.records() if record.partition == 0] == [b"0", b"1", b"2"]


async def test_the_start_waits_for_the_last_batch(world):
    write(world, "0")
    reader = Reader(world)
    reader.hold.clear()
    starting = asyncio.create_task(reader.control.start())
    await reader.until(1)
    write(world, "1")  # while it is catching up
    assert not starting.done()
    reader.hold.set()
    await starting
    await reader.until(2)
    await reader.control.close()
    assert reader.values() == [b"0", b"1"]
    assert reader.values(old=True)[0] == b"0"


async def test_what_is_too_old_is_not_read(world):
    write(world, "too old", age=timedelta(days=3))
    write(world, "still counts", age=timedelta(hours=23))
    write(world, "too old", partition=1, age=timedelta(days=3))
    async with reading(world) as reader:
        assert reader.values(old=True) == [b"still counts"]
        write(world, "new", partition=1)
        await reader.until(2)
    assert reader.values(old=False) == [b"new"]


@pytest.mark.timeout(60)
async def test_a_broker_that_is_away_is_waited_for(world):
    write(world, "old")
    reader = Reader(world)
    async with world.away():
        starting = asyncio.create_task(reader.control.start())
        await asyncio.sleep(0)
        assert not starting.done()
    await starting
    async with world.away():
        pass
    write(world, "new")
    await reader.until(2)
    await reader.control.close()
    assert (reader.values(old=True), reader.values(old=False)) == ([b"old"], [b"new"])


async def test_closing_cancels_what_is_being_dealt_with_and_ends(world):
    async with reading(world) as reader:
        reader.hold.clear()
        write(world, "0")
        await reader.until(1)
        await reader.control.close()
        assert reader.cancelled
        assert reader.control.ended.result() is None
        write(world, "1")
        await reader.control.close()
        async with reading(world) as other:
            assert other.values() == [b"0", b"1"]
    assert reader.values() == [b"0"]


async def test_closing_while_it_catches_up_lets_the_start_return(world):
    write(world, "0")
    reader = Reader(world)
    reader.hold.clear()
    starting = asyncio.create_task(reader.control.start())
    await reader.until(1)
    await reader.control.close()
    await starting
    assert reader.cancelled
    assert reader.control.ended.result() is None


async def test_closing_a_reader_that_was_not_started_is_harmless(world):
    await Reader(world).control.close()


async def test_a_reader_goes_on_until_it_is_closed(world):
    async with reading(world) as reader:
        assert not reader.control.ended.done()
    assert reader.control.ended.result() is None


@pytest.mark.parametrize("old", [True, False])
async def test_what_cannot_be_dealt_with_ends_the_reader(world, old):
    reader = Reader(world)
    reader.trouble = ValueError("boom")
    if old:
        write(world, "0")
        with pytest.raises(ValueError, match="boom"):
            await reader.control.start()
    else:
        await reader.control.start()
        write(world, "0")
        await asyncio.wait({reader.control.ended}, timeout=15)
    with pytest.raises(ValueError, match="boom"):
        reader.control.ended.result()
    await reader.control.close()
