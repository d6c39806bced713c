"""How many events wait for the fleet, as a real cluster counts them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, TopicPartition

from devtools.broker import Broker
from langgraph_worker.broker.kafka.events_lag import EventsLag
from langgraph_worker.errors import BrokerError
from langgraph_worker.settings.load import load_settings
from tests.support.kafka import QUIET, KafkaTopics
from workflow_events.topics import consumer_group_of

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


@pytest.fixture
def kafka(broker: Broker) -> Iterator[KafkaTopics]:
    kafka = KafkaTopics(broker, f"lag{uuid.uuid4().hex[:8]}")
    kafka.create(kafka.fleet.events)
    yield kafka
    kafka.close()


def lag_of(kafka: KafkaTopics) -> EventsLag:
    config = {name: value for name, value in kafka.client.items() if name != "bootstrap.servers"}
    return EventsLag(
        load_settings(
            {
                "kafka_bootstrap_servers": str(kafka.client["bootstrap.servers"]),
                "fleet": kafka.prefix,
                **({"kafka_config": json.dumps(config)} if config else {}),
            }
        )
    )


async def first_answer(lag: EventsLag) -> None:
    """Wait until the partitions of a new topic have leaders."""
    while True:
        try:
            await lag.read()
        except BrokerError:
            continue
        return


async def test_what_the_group_has_not_committed_waits(kafka: KafkaTopics) -> None:
    lag = lag_of(kafka)
    await first_answer(lag)
    assert await lag.read() == 0
    for number in range(6):
        kafka.produce(kafka.fleet.events, b"x", partition=number % 3)
    assert await lag.read() == 6
    group = consumer_group_of(kafka.prefix)
    consumer = Consumer({**kafka.client, **QUIET, "group.id": group, "enable.auto.commit": False})
    consumer.commit(
        offsets=[TopicPartition(kafka.fleet.events, 0, 2), TopicPartition(kafka.fleet.events, 1, 1)], asynchronous=False
    )
    consumer.close()
    assert await lag.read() == 3
    lag.close()


async def test_a_topic_that_is_gone_is_said(kafka: KafkaTopics) -> None:
    lag = lag_of(kafka)
    kafka.admin.delete_topics([kafka.fleet.events])[kafka.fleet.events].result(15)
    while True:  # until each broker has heard of it
        try:
            await lag.read()
        except BrokerError:
            break
    lag.close()
