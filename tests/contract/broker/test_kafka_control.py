"""What only a reader of a real control topic can meet: a message between two questions to the broker."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from devtools.broker import Broker
from devtools.kafka import prefixed_fleet
from langgraph_worker.kafka.control import ControlReader
from tests.contract.broker.kafka_world import KafkaWorld
from tests.contract.broker.test_broker_port_control import Reader, write
from tests.support.kafka import KafkaTopics

pytestmark = pytest.mark.integration


@pytest.fixture
def world(broker: Broker, tmp_path: Path) -> Iterator[KafkaWorld]:
    prefix = f"c{uuid.uuid4().hex[:10]}"
    topics = KafkaTopics(broker, prefix, prefixed_fleet(prefix))
    yield KafkaWorld(topics, tmp_path)
    topics.close()


@pytest.mark.parametrize("old", [[], ["too old"]], ids=["empty", "too old"])
async def test_what_is_written_before_the_first_fetch_is_read(world, monkeypatch, old):
    write(world, *old, age=timedelta(days=3))
    reader = Reader(world)
    find = ControlReader._places

    def find_then_write(self: ControlReader) -> Any:
        places = find(self)
        write(world, "just now")
        return places

    monkeypatch.setattr(ControlReader, "_places", find_then_write)
    await reader.control.start()
    await reader.until(1)
    assert reader.values() == [b"just now"]
    await reader.control.close()
