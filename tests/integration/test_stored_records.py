"""Reading what a topic holds, once, from a real Kafka."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from confluent_kafka import Producer, TopicPartition

from langgraph_worker.broker.kafka.client_configs import control_config
from langgraph_worker.broker.kafka.end_offsets import end_of
from langgraph_worker.broker.kafka.stored_records import StoredRecords
from langgraph_worker.errors import BrokerError
from langgraph_worker.settings.load import load_settings
from tests.support.kafka import QUIET, KafkaTopics
from tests.support.undecodable import UNPACKS_LITTLE, write_undecodable
from workflow_events.undecodable import UndecodablePlace

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def reader_of(kafka: KafkaTopics, topic: str, **settings: Any) -> StoredRecords:
    worker = load_settings({"kafka_bootstrap_servers": kafka.client["bootstrap.servers"]})
    return StoredRecords(control_config(worker) | {**kafka.client, **settings}, topic, "c1")


def write(kafka: KafkaTopics, topic: str, partition: int, *at: datetime) -> None:
    """Write records of these times; each says which it is."""
    producer = Producer({**kafka.client, **QUIET})
    for number, when in enumerate(at):
        stamp = int(when.timestamp() * 1000)
        producer.produce(topic, f"{partition}.{number}".encode(), partition=partition, timestamp=stamp)
    assert producer.flush(15) == 0


@pytest.fixture
def topic(kafka: KafkaTopics) -> str:
    name = f"{kafka.prefix}.stored"
    kafka.create(name)
    return name


def values(found: Any) -> list[str]:
    return [(one.value or b"").decode() for one in found]


def test_all_partitions_are_read_to_their_ends_as_they_were(kafka, topic):
    write(kafka, topic, 0, NOON, NOON)
    write(kafka, topic, 2, NOON)
    settings = load_settings({"kafka_bootstrap_servers": kafka.client["bootstrap.servers"]})
    assert end_of(settings, topic).offsets == {0: 2, 1: 0, 2: 1}
    with reader_of(kafka, topic) as reader:
        found = reader.read()
        first = next(found)
        write(kafka, topic, 0, NOON)
        write(kafka, topic, 2, NOON)
        assert values([first, *found]) == ["0.0", "0.1", "2.0"]
        assert (first.where, first.cluster, first.timestamp_ms) == (f"{topic}[0]@0", "c1", NOON.timestamp() * 1000)
        assert len(list(reader.read())) == 5  # it can be read again


def test_what_was_written_before_an_instant_is_left_out(kafka, topic):
    hour = timedelta(hours=1)
    write(kafka, topic, 0, NOON - hour, NOON, NOON + hour)
    write(kafka, topic, 1, NOON - hour)
    with reader_of(kafka, topic) as reader:
        assert values(reader.read(NOON)) == ["0.1", "0.2"]
        assert values(reader.read(NOON + 2 * hour)) == []


def test_one_place_is_read_and_a_place_without_a_record_is_none(kafka, topic):
    write(kafka, topic, 1, NOON, NOON, NOON)
    kafka.admin.delete_records([TopicPartition(topic, 1, 1)])[TopicPartition(topic, 1, 1)].result(15)
    with reader_of(kafka, topic) as reader:
        found = [reader.at(1, offset) for offset in (0, 1, 2, 3)]
        assert [one and one.value for one in found] == [None, b"1.1", b"1.2", None]
        assert reader.at(7, 0) is None
        assert values(reader.read()) == ["1.1", "1.2"]


def test_what_cannot_be_decoded_is_a_place_and_what_lies_behind_is_read(broker, kafka, topic):
    if broker.kind == "embedded":
        pytest.skip("the embedded broker has no settings of topics")
    write(kafka, topic, 0, NOON)
    first, last = write_undecodable(kafka, topic, 0, records=2)
    write(kafka, topic, 0, NOON)
    with reader_of(kafka, topic, **UNPACKS_LITTLE) as reader:
        before, place, behind = reader.read()
        assert place == UndecodablePlace(topic, 0, first, last, "c1")
        assert values([before, behind]) == ["0.0", "0.0"]
        assert reader.at(0, first) == place


def test_a_topic_that_is_not_there_is_an_error_with_a_remedy(kafka):
    with reader_of(kafka, f"{kafka.prefix}.nowhere") as reader, pytest.raises(BrokerError, match=r"KAFKA_\.\.\._TOPIC"):
        list(reader.read())
