"""What the worker relies on when it reads events, of Kafka and of the broker in memory."""

from __future__ import annotations

import asyncio

import pytest

from langgraph_worker.broker.port import Batch
from tests.contract.broker.world import CLUSTER, Member, reading
from tests.support.polling import until

A_DAY_IN_2024 = 1_714_521_600_123


def write(world, *texts: str, partition: int = 0) -> None:
    for text in texts:
        world.write(text.encode(), partition=partition)


async def passes(world, member: Member, partition: int) -> None:
    """Write, read and commit one more record: all earlier commands of the member are done then."""
    before = await asyncio.to_thread(world.committed)
    write(world, "last", partition=partition)
    await member.until_true(lambda: b"last" in member.values)
    member.commit(member.batches[-1])
    await member.committed({**before, partition: member.records[-1].offset + 1})


async def test_records_come_as_they_were_written(world):
    headers = [("h", b"1"), ("empty", b""), ("h", b"2"), ("none", None)]
    world.write(b"body", key=b"key", headers=headers, partition=1, timestamp_ms=A_DAY_IN_2024)
    async with reading(world) as member:
        await member.until(1)
    (record,) = member.records
    assert (record.value, record.key, record.headers) == (b"body", b"key", headers)
    assert (record.topic, record.partition, record.offset, record.cluster) == (world.events, 1, 0, CLUSTER)
    assert record.timestamp_ms == A_DAY_IN_2024


async def test_what_a_record_does_not_have_is_none(world):
    world.write(None, partition=0)
    world.write(b"", key=b"", partition=0)
    async with reading(world) as member:
        await member.until(2)
    nothing, empty = member.records
    assert (nothing.value, nothing.key, nothing.headers) == (None, None, None)
    assert (empty.value, empty.key, empty.headers) == (b"", b"", None)
    assert 0 < nothing.timestamp_ms <= empty.timestamp_ms


async def test_records_of_a_partition_come_in_order_and_without_a_gap(world):
    texts = [str(number) for number in range(20)]
    for partition in range(3):
        write(world, *texts, partition=partition)
    async with reading(world, allowed=0) as member:
        for total in range(17, 60, 17):
            member.events.allow(total)
            await member.until(total)
            assert len(member.records) == total
        member.events.allow(1_000)
        await member.until(60)
    for partition in range(3):
        found = [(record.offset, record.value) for record in member.records if record.partition == partition]
        assert found == [(number, text.encode()) for number, text in enumerate(texts)]


async def test_nothing_comes_before_it_is_allowed_nor_beyond_it(world):
    write(world, "0", "1", "2", "3")
    async with reading(world, allowed=0) as member:
        assert member.values == []
        member.events.allow(2)
        await member.until(2)
        member.commit()
        await member.committed({0: 2})  # it has had its turns, and delivered nothing more in them
        assert member.values == [b"0", b"1"]
        member.events.allow(0)
        member.events.allow(3)
        await member.until(3)
        member.events.allow(1_000)
        await member.until(4)
    assert member.values == [b"0", b"1", b"2", b"3"]


async def test_what_is_written_later_comes_too(world):
    async with reading(world) as member:
        for number in range(3):
            write(world, str(number), partition=number)
            await member.until(number + 1)
    assert member.values == [b"0", b"1", b"2"]


async def test_nothing_is_committed_unasked(world):
    write(world, "0", "1")
    async with reading(world) as member:
        await member.until(2)
    assert world.committed() == {}


async def test_a_commit_covers_what_was_handed_over_and_no_more(world):
    write(world, "0", "1", "2", "3")
    write(world, "4", partition=2)
    async with reading(world, allowed=0) as member:
        for total in range(1, 6):  # batches of one
            member.events.allow(total)
            await member.until(total)
        by_partition = {number: [b for b in member.batches if b.records[0].partition == number] for number in (0, 2)}
        member.commit(*by_partition[0][:2])
        await member.committed({0: 2})
        member.commit(by_partition[0][2], *by_partition[2])
        await member.committed({0: 3, 2: 1})


async def test_the_next_member_goes_on_behind_the_last_commit(world):
    write(world, "0", "1", "2")
    async with reading(world, allowed=2) as first:
        await first.until(2)
        first.commit()
    async with reading(world) as second:
        await second.until(1)
        assert second.values == [b"2"]
        assert second.records[0].offset == 2


async def test_what_was_not_committed_comes_again(world):
    write(world, "0", "1", "2")
    async with reading(world) as first:
        await first.until(3)
    async with reading(world) as second:
        await second.until(3)
    assert second.records == first.records


async def test_closing_commits_what_is_owed(world):
    for partition in range(3):
        write(world, "0", "1", partition=partition)
    async with reading(world) as member:
        await member.until(6)
        member.commit()
    assert world.committed() == {0: 2, 1: 2, 2: 2}


async def test_a_closed_member_delivers_no_more_and_ends_without_an_error(world):
    async with reading(world) as member:
        assert not member.events.ended.done()
        await member.events.close()
        assert member.events.ended.done()
        assert member.events.ended.exception() is None
        write(world, "0")
        await member.events.close()
        async with reading(world) as other:
            await other.until(1)
    assert member.values == []


async def test_closing_a_member_that_was_not_started_is_harmless(world):
    await Member(world).events.close()


async def test_a_member_beyond_the_partitions_joins_and_takes_over(world):
    async with reading(world, topic=world.replies) as first:
        async with reading(world, topic=world.replies) as second:
            assert (first.values, second.values) == ([], [])
        producer = world.producer()
        await producer.send(world.replies, None, b"0", [])
        producer.close(5)
        await first.until(1)


@pytest.mark.timeout(60)
async def test_two_members_share_the_partitions_until_one_leaves(world):
    async with reading(world, keen=True) as first:
        async with reading(world, keen=True) as second:
            early = await _until_it_has_a_share(world, second)
            for partition in range(3):
                write(world, "shared", partition=partition)
            await until(lambda: len(_shared(first)) + len(_shared(second)) >= 3, 15)
            await second.committed(dict.fromkeys(range(3), early + 1))
            assert (len(_shared(first)), len(_shared(second))) in ((1, 2), (2, 1))
            assert sorted(_shared(first) + _shared(second)) == [0, 1, 2]
        for partition in range(3):
            write(world, "alone", partition=partition)
        await first.until_true(lambda: first.values.count(b"alone") == 3)
    assert b"alone" not in second.values


async def _until_it_has_a_share(world, member: Member) -> int:
    """Write to all partitions until this member reads, and return how many each has got.

    A member joins before the other one has given up its share, which may still read of it, and may not commit that.
    """
    written = 0

    def reads() -> bool:
        nonlocal written
        if not member.records:
            written += 1
            for partition in range(3):
                write(world, "early", partition=partition)
        return bool(member.records)

    await until(reads, 15)
    return written


def _shared(member: Member) -> list[int]:
    """The partitions of which it has read the records ``shared``."""
    return [record.partition for record in member.records if record.value == b"shared"]


@pytest.mark.timeout(60)
async def test_a_commit_from_before_a_partition_was_lost_is_dropped_even_when_it_is_back(world):
    for partition in range(3):
        write(world, "0", partition=partition)
    async with reading(world) as first:
        await first.until(3)
        old = list(first.batches)
        async with reading(world) as second:
            await second.until(1)  # it has what the first one gave up, which was not committed
            moved, kept = second.partitions, {0, 1, 2} - second.partitions
            taken_away_before_delivery = [Batch(batch.records, {}) for batch in old]
            first.commit(*old, *taken_away_before_delivery)
            await first.committed(dict.fromkeys(kept, 1))
        await first.until(3 + len(moved))
        first.commit(*old)
        mine = min(kept)
        await passes(world, first, mine)
        assert world.committed() == {**dict.fromkeys(kept, 1), mine: 2}
        first.commit(*first.batches[len(old) :])
        await first.committed({**dict.fromkeys(range(3), 1), mine: 2})


@pytest.mark.timeout(60)
async def test_what_a_dead_member_had_read_comes_again(world):
    write(world, "0", "1")
    write(world, "2", partition=2)
    await world.die_after_reading(3)
    async with reading(world) as heir:
        await heir.until(3)
        assert sorted(heir.values) == [b"0", b"1", b"2"]
        heir.commit()
        await heir.committed({0: 2, 2: 1})


async def test_a_commit_is_repeated_until_the_broker_is_back(world):
    write(world, "0", "1")
    async with reading(world, allowed=2) as member:
        await member.until(2)
        async with world.away():
            member.commit()
        await member.committed({0: 2})
        member.events.allow(3)
        write(world, "2")
        await member.until(3)
    assert member.values == [b"0", b"1", b"2"]
