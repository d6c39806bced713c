"""Records that the client cannot decode, on a real Kafka: the worker's readers go past them, and past nothing else."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from devtools.broker import Broker
from tests.contract.broker.kafka_world import KafkaWorld
from tests.contract.broker.test_broker_port_ahead import ahead, looking_ahead
from tests.contract.broker.test_broker_port_control import Reader
from tests.contract.broker.world import CLUSTER, Member, reading
from tests.support.kafka import KafkaTopics
from tests.support.undecodable import UNPACKS_LITTLE, write_undecodable
from workflow_events.undecodable import UndecodablePlace

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]


@dataclass
class Bombed:
    """A topic, and how to write into its first partition."""

    world: KafkaWorld
    kafka: KafkaTopics

    def write(self, *texts: str, partition: int = 0) -> None:
        for text in texts:
            self.world.write(text.encode(), partition=partition)

    def bomb(self, records: int = 1) -> UndecodablePlace:
        return UndecodablePlace(
            self.world.events, 0, *write_undecodable(self.kafka, self.world.events, 0, records), CLUSTER
        )


@pytest.fixture
def topic(broker: Broker, tmp_path: Path) -> Iterator[Bombed]:
    if broker.kind == "embedded":
        pytest.skip("the embedded broker does not keep records as they were compressed")
    kafka = KafkaTopics(broker, f"u{uuid.uuid4().hex[:10]}")
    kafka.client = {**kafka.client, "fetch.wait.max.ms": "20"}
    yield Bombed(KafkaWorld(kafka, tmp_path, UNPACKS_LITTLE), kafka)
    kafka.close()


def places(member: Member) -> list[UndecodablePlace]:
    return [place for batch in member.batches for place in batch.undecodable]


async def test_events_behind_an_undecodable_record_are_read_and_its_place_is_delivered(topic):
    topic.write("before")
    place = topic.bomb()
    topic.write("behind")
    async with reading(topic.world) as member:
        await member.until(2)
        assert member.values == [b"before", b"behind"]
        assert places(member) == [place]
        member.commit()
        await member.committed({0: 3})


async def test_a_batch_of_many_is_one_place_and_its_neighbours_are_read(topic):
    topic.write("before")
    many = topic.bomb(3_000)
    topic.write("between")
    one, other = topic.bomb(), topic.bomb(5)
    topic.write("behind")
    async with reading(topic.world) as member:
        await member.until(3)
        assert member.values == [b"before", b"between", b"behind"]
        row = UndecodablePlace(topic.world.events, 0, one.first, other.last, CLUSTER)
        assert places(member) == [many, row]


async def test_other_partitions_lose_nothing(topic):
    topic.bomb()
    topic.write(*map(str, range(20)), partition=1)
    topic.write("behind")
    async with reading(topic.world) as member:
        await member.until(21)
        assert sorted(member.values) == sorted([*(str(number).encode() for number in range(20)), b"behind"])


async def test_its_offset_is_not_committed_before_the_place_is_safe(topic):
    topic.write("before")
    topic.bomb()
    async with reading(topic.world) as member:
        await member.until_true(lambda: bool(places(member)))
    assert topic.world.committed() == {}
    async with reading(topic.world) as member:
        await member.until_true(lambda: bool(places(member)))
        member.commit()
        await member.committed({0: 2})


async def test_an_answer_behind_an_undecodable_record_comes_ahead(topic):
    topic.write("waits")
    topic.bomb(10)
    topic.write("urgent")
    async with looking_ahead(topic.world) as member:
        await member.until(1)
        assert ahead(member) == [b"urgent"]
        assert places(member) == []
        member.commit()
        member.events.allow(10)
        await member.until(3)
        assert len(places(member)) == 1


@pytest.mark.parametrize("records", [1, 500])
@pytest.mark.parametrize("behind", [["cancel"], []])
async def test_a_control_reader_is_ready_and_reads_on(topic, caplog, records, behind):
    topic.write("first")
    place = topic.bomb(records)
    topic.write(*behind)
    reader = Reader(topic.world)
    await reader.control.start()
    topic.write("new")
    await reader.until(2 + len(behind))
    await reader.control.close()
    assert reader.values() == [b"first", *map(str.encode, behind), b"new"]
    said = [record.message for record in caplog.records if "cannot be decoded" in record.message]
    assert len(said) == 1
    assert f"{topic.world.events}[0]: offsets {place.first} to {place.last}" in said[0]
