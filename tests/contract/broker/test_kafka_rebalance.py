"""A case of a real group only: it refuses commits while it rebalances."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from devtools.broker import Broker
from tests.contract.broker.kafka_world import KafkaWorld
from tests.contract.broker.world import reading
from tests.support.kafka import KafkaTopics
from tests.support.polling import until

PARTITIONS = 300
JOINERS = 3


@pytest.fixture
def world(broker: Broker, tmp_path: Path) -> Iterator[KafkaWorld]:
    prefix = f"r{uuid.uuid4().hex[:10]}"
    topics = KafkaTopics(broker, prefix)
    found = KafkaWorld(topics, tmp_path)
    found.events = f"{prefix}-many"
    topics.create(found.events, partitions=PARTITIONS)
    yield found
    topics.close()


@pytest.mark.integration
@pytest.mark.timeout(60)
async def test_what_is_committed_while_others_join_is_committed_in_the_end(world):
    numbers = iter(range(PARTITIONS))

    async def write(count: int) -> None:
        """One record for each partition: no later commit covers one that was lost."""
        for _, number in zip(range(count), numbers, strict=False):
            await asyncio.to_thread(world.write, b"once", partition=number)

    async with AsyncExitStack() as group:
        await group.enter_async_context(reading(world, keen=True))
        for _ in range(JOINERS):
            joining = asyncio.create_task(group.enter_async_context(reading(world, keen=True)))
            while not joining.done():
                await write(1)
                await asyncio.wait({joining}, timeout=0.02)
            await joining
        await write(PARTITIONS)

        async def all_are_committed() -> bool:
            return await asyncio.to_thread(world.committed) == dict.fromkeys(range(PARTITIONS), 1)

        await until(all_are_committed, 30)
