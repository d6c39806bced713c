"""Cases that only the broker in memory can produce."""

from __future__ import annotations

import asyncio

import pytest

from langgraph_worker.testing.memory_broker import MemoryProducer
from tests.contract.broker.world import Member, MemoryWorld, reading


@pytest.fixture
async def memory() -> MemoryWorld:
    return MemoryWorld()


async def test_a_member_that_is_taken_for_dead_reads_again_what_it_has_not_committed(memory):
    for partition in range(3):
        memory.write(b"x", partition=partition)
    async with reading(memory) as member:
        await member.until(3)
        member.commit(*member.batches)
        memory.broker.throw_out(member.events)  # before the commit has gone
        member.commit(*member.batches)
        await member.until(6)
        assert memory.committed() == {}
        member.commit(*member.batches[-1:])
        await member.committed(dict.fromkeys(range(3), 1))


async def test_nobody_gets_a_dead_members_partitions_until_it_is_noticed(memory):
    memory.write(b"x", partition=0)
    dead = Member(memory)
    dead.events.allow(1)
    await dead.events.start()
    dead.events.die()
    heir = Member(memory)
    heir.events.allow(1)
    joining = asyncio.create_task(heir.events.start())
    await asyncio.sleep(0)
    assert (heir.events.owned, joining.done()) == ([], False)
    memory.broker.expire_sessions()
    await joining
    await heir.until(1)
    await heir.events.close()
    assert dead.values == []


async def test_nobody_joins_a_broker_that_is_away_but_anyone_may_give_up(memory):
    async with memory.away():
        waiting, leaving = Member(memory), Member(memory)
        joining = [asyncio.create_task(member.events.start()) for member in (waiting, leaving)]
        await asyncio.sleep(0)
        await leaving.events.close()
        await joining[1]
        assert not joining[0].done()
    await joining[0]
    assert (waiting.events.owned, leaving.events.owned) == ([0, 1, 2], [])
    await waiting.events.close()


async def test_what_a_closing_member_owes_is_lost_when_the_broker_stays_away(memory):
    memory.write(b"x", partition=0)
    async with reading(memory) as member:
        await member.until(1)
        member.events._leave_seconds = 0.0
        async with memory.away():
            member.commit()
            await member.events.close()
    assert memory.committed() == {}


async def test_a_message_that_was_given_up_is_not_written_later(memory):
    producer = MemoryProducer(memory.broker, 0.0)
    async with memory.away():
        sending = await asyncio.gather(producer.send("replies", None, b"x", []), return_exceptions=True)
        assert sending[0].retriable
    producer.close(0)
    assert memory.read("replies") == []
