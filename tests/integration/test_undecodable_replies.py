"""Replies and progress that cannot be decoded, on a real Kafka: waiters get what lies behind, and ask for the rest."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from airflow_provider_langgraph.hooks.kafka import KafkaHook
from airflow_provider_langgraph.waiting.shared_consumer import shared_consumer
from tests.integration.test_progress_listener import follow, words
from tests.integration.test_progress_listener import report as report  # a fixture
from tests.support.kafka import PARTITIONS
from tests.support.reply_routing import is_answered
from tests.support.undecodable import UNPACKS_LITTLE, write_undecodable
from workflow_events.codec import Record, decode_control
from workflow_events.control import WorkflowQueryEvent

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]


@pytest.fixture
def bombed(exchange, kafka, monkeypatch):
    """The exchange on a results topic that takes compressed records, and how to write what cannot be decoded."""
    if kafka.broker.kind == "embedded":
        pytest.skip("the embedded broker does not keep records as they were compressed")
    exchange.topic = f"{kafka.prefix}-results"
    kafka.create(exchange.topic)
    exchange.connect(monkeypatch, {**kafka.client, **UNPACKS_LITTLE})
    exchange.settings = KafkaHook().settings()
    return exchange


def bomb(kafka, topic: str, records: int = 3) -> None:
    for partition in range(PARTITIONS):
        write_undecodable(kafka, topic, partition, records)


async def asked_for(kafka, handle) -> None:
    """Wait until the workers are asked for a reply."""
    while True:
        messages = await asyncio.to_thread(kafka.read_all, kafka.fleet.control)
        for message in messages:
            query = decode_control(Record(kafka.fleet.control, 0, 0, message.value(), message.headers()))
            assert isinstance(query, WorkflowQueryEvent)
            if handle.correlation_id in query.correlation_ids:
                return


async def test_who_waits_gets_what_lies_behind_and_has_the_workers_asked(bombed, kafka, caplog):
    async with bombed.listening() as consumer:
        handle, other = bombed.ask(), bombed.ask()
        waits, waits_too = consumer.wait(handle), consumer.wait(other)
        for asked in handle, other:  # who has read to the end needs no read back, which would log the places as well
            assert not await consumer.is_answered(asked)
        bomb(kafka, bombed.topic)
        bombed.answer(other)
        assert is_answered(await waits_too, other)
        await asked_for(kafka, handle)
        bombed.answer(handle)
        assert is_answered(await waits, handle)
    said = [record.message for record in caplog.records if "cannot be decoded" in record.message]
    assert len(said) == PARTITIONS, "once for each place"


async def test_who_comes_late_gets_what_lies_behind(bombed, kafka):
    handle, lost = bombed.ask(), bombed.ask()
    bomb(kafka, bombed.topic)
    bombed.answer(handle)
    async with shared_consumer(bombed.settings, bombed.topic) as consumer:
        assert is_answered(await consumer.wait(handle), handle)
        waits = consumer.wait(lost)
        await asked_for(kafka, lost)
        bombed.answer(lost)
        assert is_answered(await waits, lost)


async def test_progress_behind_it_is_read_and_its_absence_proves_nothing(bombed, kafka, report):
    topic = f"{kafka.prefix}-progress"
    kafka.create(topic, partitions=PARTITIONS)
    kafka.fleet = replace(kafka.fleet, progress=topic)
    handle = bombed.ask()
    async with follow(bombed, handle, topic=topic) as (listener, arrivals):
        report(handle, node="before")
        assert await words(arrivals, 1) == ["before started"]
        assert listener.covers(handle.asked_at)
        bomb(kafka, topic)
        report(handle, node="behind")
        assert await words(arrivals, 1) == ["behind started"]
        assert not listener.covers(handle.asked_at)
