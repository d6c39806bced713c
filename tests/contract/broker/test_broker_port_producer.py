"""What the worker relies on when it writes, of Kafka and of the broker in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from langgraph_worker.broker.port import Producer, SendError


@pytest.fixture
async def producer(world) -> AsyncIterator[Producer]:
    made = world.producer()
    yield made
    made.close(5)


def knows_limits(world) -> None:
    if getattr(world, "kind", None) == "embedded":
        pytest.skip("the embedded broker takes messages of any size, and creates a missing topic by itself")


async def test_what_was_sent_can_be_read(world, producer):
    headers = [("h", b"1"), ("empty", b""), ("h", b"2"), ("none", None), ("text", "ä")]
    await producer.send(world.replies, b"key", b"body", headers)
    (record,) = await asyncio.to_thread(world.read, world.replies)
    assert (record.key, record.value) == (b"key", b"body")
    assert record.headers == [*headers[:-1], ("text", "ä".encode())]
    assert not producer.failed.done()


async def test_a_message_may_have_nothing(world, producer):
    await producer.send(world.replies, None, None, [])
    await producer.send(world.replies, b"", b"", [])
    nothing, empty = await asyncio.to_thread(world.read, world.replies)
    assert (nothing.key, nothing.value, nothing.headers) == (None, None, None)
    assert (empty.key, empty.value, empty.headers) == (b"", b"", None)


async def test_one_key_has_one_partition_and_its_messages_keep_their_order(world, producer):
    sends = [producer.send(world.events, key, b"%d" % number, []) for number in range(30) for key in (b"a", b"b")]
    await asyncio.gather(*sends)
    found = await asyncio.to_thread(world.read, world.events)
    for key in (b"a", b"b"):
        of_key = [record for record in found if record.key == key]
        assert [record.value for record in of_key] == [b"%d" % number for number in range(30)]
        assert len({record.partition for record in of_key}) == 1


async def test_messages_without_a_key_all_arrive(world, producer):
    await asyncio.gather(*(producer.send(world.events, None, b"%d" % number, []) for number in range(30)))
    found = await asyncio.to_thread(world.read, world.events)
    assert sorted(int(record.value) for record in found) == list(range(30))


async def test_what_is_too_large_for_the_topic_is_refused_for_good(world, producer):
    knows_limits(world)
    with pytest.raises(
        SendError, match=rf"topic {world.replies}(: | \(the record has 3,000 bytes, ).*max\.message\.bytes"
    ) as caught:
        await producer.send(world.replies, None, b"x" * 3_000, [])
    assert (caught.value.too_large, caught.value.retriable) == (True, False)
    await producer.send(world.replies, None, b"x" * 1_000, [])
    (record,) = await asyncio.to_thread(world.read, world.replies)
    assert len(record.value) == 1_000


async def test_keys_and_headers_count_too(world, producer):
    knows_limits(world)
    for key, headers in ((b"k" * 3_000, []), (None, [("h", b"v" * 3_000)])):
        with pytest.raises(SendError) as caught:
            await producer.send(world.replies, key, None, headers)
        assert caught.value.too_large


async def test_what_is_too_large_for_any_topic_is_refused_too(world, producer):
    with pytest.raises(SendError, match=f"topic {world.events}: ") as caught:
        await producer.send(world.events, b"k", b"x" * 2_000_000, [])
    assert (caught.value.too_large, caught.value.retriable) == (True, False)


async def test_a_topic_that_is_missing_is_refused_for_good(world, producer):
    knows_limits(world)
    with pytest.raises(SendError, match=f"topic {world.events}-none: the topic does not exist") as caught:
        await producer.send(f"{world.events}-none", b"k", b"v", [])
    assert (caught.value.too_large, caught.value.retriable) == (False, False)
    assert not producer.failed.done()


async def test_closing_waits_for_what_is_under_way(world):
    producer = world.producer()
    sending = [asyncio.create_task(producer.send(world.replies, None, b"%d" % number, [])) for number in range(5)]
    await asyncio.sleep(0)  # each has begun
    producer.close(10)
    await asyncio.gather(*sending)
    found = await asyncio.to_thread(world.read, world.replies)
    assert [record.value for record in found] == [b"%d" % number for number in range(5)]


async def test_a_caller_that_goes_does_not_take_its_message_back(world, producer):
    sending = asyncio.create_task(producer.send(world.replies, b"k", b"0", []))
    await asyncio.sleep(0)
    sending.cancel()
    await asyncio.wait({sending})
    await producer.send(world.replies, b"k", b"1", [])
    found = await asyncio.to_thread(world.read, world.replies)
    assert [record.value for record in found] == [b"0", b"1"]


async def test_a_send_waits_for_a_broker_that_is_away(world, producer):
    await producer.send(world.replies, b"k", b"0", [])
    async with world.away():
        sending = [asyncio.create_task(producer.send(world.replies, b"k", b"%d" % number, [])) for number in (1, 2)]
        await asyncio.sleep(0)
        assert not any(task.done() for task in sending)
    await asyncio.gather(*sending)
    found = await asyncio.to_thread(world.read, world.replies)
    assert [record.value for record in found] == [b"0", b"1", b"2"]


async def test_a_send_that_waits_too_long_fails_and_can_be_repeated(world):
    producer = world.producer(impatient=True)
    await producer.send(world.replies, b"k", b"0", [])
    async with world.away():
        with pytest.raises(SendError, match=f"topic {world.replies}: ") as caught:
            await producer.send(world.replies, b"k", b"1", [])
    assert (caught.value.too_large, caught.value.retriable) == (False, True)
    assert not producer.failed.done()
    producer.close(5)
    patient = world.producer()
    await patient.send(world.replies, b"k", b"1", [])
    patient.close(5)
    found = await asyncio.to_thread(world.read, world.replies)
    assert [record.value for record in found] in ([b"0", b"1"], [b"0", b"1", b"1"])  # the first may have been written
