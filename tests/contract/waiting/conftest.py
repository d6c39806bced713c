from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from tests.support.kafka import KafkaTopics
from tests.support.logs import KafkaLog, Log, MemoryLog


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let a test on Kafka name its broker, which is started after the collection for those who do."""
    for item in items:
        callspec = getattr(item, "callspec", None)
        if isinstance(item, pytest.Function) and callspec is not None and callspec.params.get("log") == "kafka":
            item.fixturenames = [*item.fixturenames, "broker"]


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.integration)])
def log(request: pytest.FixtureRequest) -> Iterator[Log]:
    """A topic of three partitions, in memory and on Kafka."""
    if request.param == "memory":
        yield MemoryLog()
        return
    prefix = f"t{uuid.uuid4().hex[:10]}"
    topics = KafkaTopics(request.getfixturevalue("broker"), prefix)
    log = KafkaLog(topics)
    yield log
    log.close()
    topics.close()
