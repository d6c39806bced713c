"""Cases of a real control topic only: what comes between two requests to the broker, or two polls of the reader."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from devtools.broker import Broker
from langgraph_worker.broker.kafka import control
from langgraph_worker.broker.kafka.control import ControlReader
from langgraph_worker.broker.kafka.owned_thread import OwnedThread
from tests.contract.broker.kafka_world import KafkaWorld
from tests.contract.broker.test_broker_port_control import Reader, reading, write
from tests.support.kafka import KafkaTopics

pytestmark = pytest.mark.integration


@pytest.fixture
def world(broker: Broker, tmp_path: Path) -> Iterator[KafkaWorld]:
    prefix = f"c{uuid.uuid4().hex[:10]}"
    topics = KafkaTopics(broker, prefix)
    yield KafkaWorld(topics, tmp_path)
    topics.close()


@pytest.mark.parametrize("old", [[], ["too old"]], ids=["empty", "too old"])
async def test_what_is_written_before_the_first_fetch_is_read(world, monkeypatch, old):
    write(world, *old, age=timedelta(days=3))
    reader = Reader(world)
    find = ControlReader._start_offsets

    def find_then_write(self: ControlReader) -> Any:
        places = find(self)
        write(world, "just now")
        return places

    monkeypatch.setattr(ControlReader, "_start_offsets", find_then_write)
    await reader.control.start()
    await reader.until(1)
    assert reader.values() == [b"just now"]
    await reader.control.close()


@pytest.fixture
async def steps(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], object]]:
    """Calls of the reader's thread before each of its polls. Each poll gets one record at most.

    By then the loop has done all that the thread had asked of it, so nothing depends on which of the two is faster.
    """
    calls: list[Callable[[], object]] = []
    poll = ControlReader._poll_once
    loop = asyncio.get_running_loop()

    def step(self: ControlReader) -> None:
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result()
        for call in calls:
            call()
        poll(self)

    monkeypatch.setattr(ControlReader, "_poll_once", step)
    monkeypatch.setattr(control, "_LARGEST_BATCH", 1)
    return calls


@pytest.mark.usefixtures("steps")
async def test_nothing_is_told_as_new_before_the_end_is_reached(world):
    write(world, "0", "1")
    async with reading(world) as reader:
        assert reader.values(old=True) == [b"0", b"1"]


async def test_nothing_is_read_while_a_batch_is_dealt_with(world, steps, monkeypatch):
    write(world, "0", "1")
    reader = Reader(world)
    loop, run_in_loop = asyncio.get_running_loop(), OwnedThread.run_in_loop
    at_work = []

    def run(self: OwnedThread, work: Any) -> Any:
        done = run_in_loop(self, work)
        result = done.result

        def wait() -> None:
            loop.call_soon_threadsafe(reader.hold.set)  # the batch is dealt with once the thread waits for that
            result()

        done.result = wait
        return done

    def look() -> None:
        at_work.append(reader.at_once)
        if reader.at_once:
            loop.call_soon_threadsafe(reader.hold.set)

    monkeypatch.setattr(OwnedThread, "run_in_loop", run)
    steps.append(look)
    reader.hold.clear()
    await reader.control.start()
    await reader.until(2)
    await reader.control.close()
    assert reader.values() == [b"0", b"1"]
    assert set(at_work) == {0}
