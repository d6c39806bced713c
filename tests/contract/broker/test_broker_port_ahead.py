"""What a member without room reads ahead of its place: what must not wait, and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.contract.broker.world import Member, World, reading
from tests.support.polling import until

pytestmark = pytest.mark.timeout(60)


def write(world: World, *texts: str, partition: int = 0) -> None:
    for text in texts:
        world.write(text.encode(), partition=partition)


def ahead(member: Member) -> list[bytes | None]:
    return [record.value for batch in member.batches if batch.is_ahead for record in batch.records]


def in_order(member: Member) -> list[bytes | None]:
    return [record.value for batch in member.batches if not batch.is_ahead for record in batch.records]


@asynccontextmanager
async def looking_ahead(world: World, allowed: int = 0) -> AsyncIterator[Member]:
    async with reading(world, allowed=allowed) as member:
        member.events.look_ahead(True)
        yield member


async def test_what_must_not_wait_comes_without_room_and_again_in_its_order(world):
    write(world, "0", "1", "urgent", "3")
    async with looking_ahead(world, allowed=1) as member:
        await member.until(2)
        assert (in_order(member), ahead(member)) == ([b"0"], [b"urgent"])
        member.commit()
        await member.committed({0: 1})
        member.events.allow(4)
        await member.until(5)
        assert in_order(member) == [b"0", b"1", b"urgent", b"3"]
        member.commit()
        await member.committed({0: 4})


async def test_it_comes_from_every_partition_and_when_it_is_written_later(world):
    async with looking_ahead(world) as member:
        for number in range(3):
            write(world, "waits", f"urgent {number}", partition=number)
            await member.until(number + 1)
            member.commit()
        assert ahead(member) == [b"urgent 0", b"urgent 1", b"urgent 2"]
    assert world.committed() == {}  # a member that leaves has committed all that it owed


async def test_it_comes_ahead_once_though_the_room_comes_and_goes(world):
    write(world, "0", "urgent 1", "2", "urgent 3", "4")
    async with looking_ahead(world) as member:
        await member.until_true(lambda: len(ahead(member)) == 2)
        member.commit()
        member.events.allow(2)
        await member.until_true(lambda: len(in_order(member)) == 2)
        write(world, "urgent 5")
        await member.until_true(lambda: b"urgent 5" in ahead(member))
    assert ahead(member) == [b"urgent 1", b"urgent 3", b"urgent 5"]
    assert in_order(member) == [b"0", b"urgent 1"]


async def test_the_next_batch_ahead_waits_until_the_last_is_safe(world):
    async with looking_ahead(world) as member:
        write(world, "urgent 0")
        await member.until(1)
        write(world, "urgent 1")
        member.events.allow(1)
        await member.until_true(lambda: len(in_order(member)) == 1)  # it has had its turns
        assert ahead(member) == [b"urgent 0"]
        member.commit()
        await member.until_true(lambda: b"urgent 1" in ahead(member))


async def test_nothing_comes_ahead_unless_it_is_wanted(world):
    write(world, "0", "urgent")
    async with reading(world, allowed=1) as member:
        await member.until(1)
        member.events.look_ahead(True)
        member.events.look_ahead(False)
        member.commit()
        await member.committed({0: 1})
        member.events.allow(2)
        await member.until(2)
    assert ahead(member) == []


async def test_a_partition_that_moves_is_read_ahead_by_its_new_member(world):
    for number in range(3):
        write(world, "waits", f"urgent {number}", partition=number)
    everything = {b"urgent 0", b"urgent 1", b"urgent 2"}
    async with looking_ahead(world) as first:
        await until(lambda: _commit_ahead(first, everything), 15)
        async with looking_ahead(world) as second:
            await second.until(1)
            moved = set(ahead(second))
            assert moved
            assert moved <= everything
        write(world, "urgent again")
        await until(lambda: _commit_ahead(first, {*everything, b"urgent again"}), 30)


def _commit_ahead(member: Member, wanted: set[bytes]) -> bool:
    member.commit()
    return wanted <= set(ahead(member))
