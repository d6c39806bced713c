from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contract.broker.kafka_world import KafkaWorld
from tests.contract.broker.world import MemoryWorld, World
from tests.support.kafka import KafkaTopics


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let a test on Kafka name the fixture ``broker``: it is started after the collection for tests that name it."""
    for item in items:
        callspec = getattr(item, "callspec", None)
        if isinstance(item, pytest.Function) and callspec is not None and callspec.params.get("world") == "kafka":
            item.fixturenames = [*item.fixturenames, "broker"]


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.integration)])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    """Each broker in turn, with empty topics."""
    if request.param == "memory":
        yield MemoryWorld()
        return
    prefix = f"t{uuid.uuid4().hex[:10]}"
    topics = KafkaTopics(request.getfixturevalue("broker"), prefix)
    topics.client = {**topics.client, "fetch.wait.max.ms": "20"}  # the default 500 is what most tests would wait for
    yield KafkaWorld(topics, tmp_path)
    topics.close()
