"""The worker's two Kafka clients by themselves: delivery, commits, rebalances, acknowledgements."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest

from langgraph_worker.broker.kafka.admin import topic_limit
from langgraph_worker.broker.kafka.client_configs import consumer_config, producer_config
from langgraph_worker.broker.kafka.events import EventConsumer
from langgraph_worker.broker.kafka.producer import AckProducer
from langgraph_worker.broker.port import Batch, SendError
from langgraph_worker.errors import BrokerError, SettingsError
from langgraph_worker.settings.load import load_settings
from tests.support.kafka import KafkaTopics
from tests.support.polling import until

pytestmark = pytest.mark.integration


def settings(kafka: KafkaTopics, **more: Any):
    import json

    further = {name: value for name, value in kafka.client.items() if name != "bootstrap.servers"}
    quick = {"session.timeout.ms": 6000, "heartbeat.interval.ms": 500, "topic.metadata.propagation.max.ms": 1000}
    return load_settings(
        {
            "kafka_bootstrap_servers": kafka.client["bootstrap.servers"],
            "kafka_consumer_group_id": f"{kafka.prefix}-group",
            "kafka_config": json.dumps({**further, **kafka.broker.consumer, **quick, **more}),
        }
    )


class Reader:
    """An event consumer and what it has delivered."""

    def __init__(self, kafka: KafkaTopics, **more: Any) -> None:
        self.batches: list[Batch] = []
        self._news = asyncio.Event()
        config = consumer_config(settings(kafka, **more))
        self.consumer = EventConsumer(config, kafka.fleet.events, "c", self._take)

    def _take(self, batch: Batch) -> None:
        self.batches.append(batch)
        self._news.set()

    @property
    def values(self) -> list[bytes]:
        return [record.value for batch in self.batches for record in batch.records]

    async def until(self, count: int) -> None:
        while len(self.values) < count:
            self._news.clear()
            await asyncio.wait_for(self._news.wait(), 12)


@asynccontextmanager
async def reading(kafka: KafkaTopics, allowed: int, **more: Any) -> AsyncIterator[Reader]:
    reader = Reader(kafka, **more)
    reader.consumer.allow(allowed)
    await reader.consumer.start()
    try:
        yield reader
    finally:
        await reader.consumer.close()


async def committed(kafka: KafkaTopics, count: int) -> None:
    async def are_committed() -> bool:
        return sum(max(0, at) for at in await _offsets(kafka)) == count

    await until(are_committed, 12)


async def _offsets(kafka: KafkaTopics) -> list[int]:
    found = await asyncio.to_thread(kafka.committed, f"{kafka.prefix}-group", kafka.fleet.events)
    return list(found.values())


async def test_records_come_as_they_were_written(kafka):
    kafka.produce(kafka.fleet.events, b"body", key=b"key", headers=[("h", b"v")], partition=1)
    async with reading(kafka, 1) as reader:
        await reader.until(1)
    (record,) = reader.batches[0].records
    assert (record.value, record.key, record.headers) == (b"body", b"key", [("h", b"v")])
    assert (record.topic, record.partition, record.offset, record.cluster) == (kafka.fleet.events, 1, 0, "c")
    assert record.timestamp_ms > 1_600_000_000_000


async def test_it_delivers_what_is_allowed_and_goes_on_when_told(kafka):
    for number in range(6):
        kafka.produce(kafka.fleet.events, str(number).encode(), partition=0)
    async with reading(kafka, 2) as reader:
        await reader.until(2)
        reader.consumer.allow(4)
        await reader.until(4)
        assert reader.values == [b"0", b"1", b"2", b"3"]
        reader.consumer.allow(100)
        await reader.until(6)


async def test_nothing_is_committed_unasked_and_closing_commits_what_was_asked(kafka):
    for number in range(3):
        kafka.produce(kafka.fleet.events, b"x", partition=number)
    async with reading(kafka, 100) as reader:
        await reader.until(3)
    await committed(kafka, 0)
    async with reading(kafka, 100) as again:
        await again.until(3)
        for batch in again.batches:
            again.consumer.commit(batch)
    await committed(kafka, 3)


@pytest.mark.timeout(60)
async def test_a_commit_from_before_a_rebalance_is_dropped(kafka):
    for number in range(3):
        kafka.produce(kafka.fleet.events, b"x", partition=number)
    async with reading(kafka, 100) as first:
        await first.until(3)
        async with reading(kafka, 100) as second:
            await second.until(1)  # a partition moved, uncommitted, and was read again
            moved = {record.partition for batch in second.batches for record in batch.records}
            for batch in first.batches:
                first.consumer.commit(batch)
            await committed(kafka, 3 - len(moved))


async def test_closing_twice_and_closing_unstarted_are_harmless(kafka):
    reader = Reader(kafka)
    await reader.consumer.close()
    async with reading(kafka, 1) as reader:
        await reader.consumer.close()


async def test_a_consumer_that_librdkafka_refuses_says_which_setting(kafka):
    reader = Reader(kafka, **{"session.timeout.ms": 1_000_000})
    with pytest.raises(SettingsError, match="KAFKA_CONFIG"):
        await reader.consumer.start()


def newer_protocol(kafka: KafkaTopics) -> dict[str, Any]:
    if kafka.broker.kind == "embedded":
        pytest.skip("the embedded broker knows only the classic protocol")
    config = consumer_config(settings(kafka)) | {"group.protocol": "consumer"}
    for name in ("session.timeout.ms", "heartbeat.interval.ms", "partition.assignment.strategy"):
        config.pop(name, None)
    return config


async def test_the_newer_group_protocol_works_too(kafka):
    config = newer_protocol(kafka)
    kafka.produce(kafka.fleet.events, b"x", partition=0)
    reader = Reader(kafka)
    reader.consumer = EventConsumer(config, kafka.fleet.events, "c", reader._take)
    reader.consumer.allow(10)
    await reader.consumer.start()
    await reader.until(1)
    reader.consumer.commit(reader.batches[0])
    await reader.consumer.close()
    await committed(kafka, 1)


async def test_a_member_without_a_partition_is_ready_with_the_newer_group_protocol_too(kafka):
    config = newer_protocol(kafka)
    members = [EventConsumer(config, kafka.fleet.events, "c", lambda batch: None) for _ in range(4)]  # 3 partitions
    try:
        for member in members:
            await asyncio.wait_for(member.start(), 10)
    finally:
        await asyncio.gather(*(member.close() for member in members))


@pytest.fixture
async def producer(kafka) -> AsyncIterator[AckProducer]:
    made = AckProducer(producer_config(settings(kafka)))
    yield made
    made.close(5)


async def test_a_send_is_done_when_the_broker_has_it(kafka, producer):
    await asyncio.gather(
        *(producer.send(kafka.fleet.results, b"k", str(number).encode(), [("h", b"v")]) for number in range(50))
    )
    found = kafka.read_all(kafka.fleet.results)
    assert sorted(int(message.value()) for message in found) == list(range(50))
    assert found[0].headers() == [("h", b"v")]


async def test_a_message_that_is_too_large_will_not_pass_later(kafka, producer):
    with pytest.raises(
        SendError, match=r"1,200,001 bytes is over the Kafka client's message\.max\.bytes of 1,"
    ) as caught:
        await producer.send(kafka.fleet.results, b"k", b"x" * 1_200_000, [])
    assert "follows from LANGGRAPH_WORKER_MAX_MESSAGE_BYTES; the broker was not asked" in str(caught.value)
    assert (caught.value.retriable, caught.value.too_large) == (False, True)


async def test_a_topics_limit_is_named_with_its_value(kafka):
    if kafka.broker.kind == "embedded":
        pytest.skip("the embedded broker does not report a topic's settings")
    small = f"{kafka.prefix}-small"
    kafka.create(small, config={"max.message.bytes": "50000"})
    made = AckProducer(producer_config(settings(kafka)), partial(topic_limit, settings(kafka)))
    try:
        with pytest.raises(SendError, match=r"the record has 60,001 bytes, max\.message\.bytes is 50,000") as caught:
            await made.send(small, b"k", b"x" * 60_000, [])
    finally:
        made.close(5)
    assert "raise the topic's max.message.bytes, or lower LANGGRAPH" in str(caught.value).replace("Raise", "raise")


async def test_a_topic_that_is_missing_is_named_with_the_remedy(kafka, producer):
    if kafka.broker.kind == "embedded":
        pytest.skip("the embedded broker creates a missing topic by itself")
    with pytest.raises(SendError, match=f"topic {kafka.prefix}-none: .*--create-topics") as caught:
        await producer.send(f"{kafka.prefix}-none", b"k", b"v", [])
    assert not caught.value.retriable


async def test_wrong_credentials_end_a_consumer_that_has_not_joined(kafka, sasl):
    wrong = {**sasl, "sasl.password": "wrong"}
    config = consumer_config(settings(kafka)) | wrong
    consumer = EventConsumer(config, kafka.fleet.events, "c", lambda batch: None)
    with pytest.raises(BrokerError, match="refuses the credentials"):
        await consumer.start()
    await consumer.close()
