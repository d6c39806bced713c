"""The order in which a worker's parts begin to work."""

from __future__ import annotations

import asyncio

from langgraph_worker.broker.port import Control
from langgraph_worker.execution.node_threads import NodeThreads
from langgraph_worker.graphs.loader import Graphs
from langgraph_worker.runtime.worker import Worker
from langgraph_worker.settings.load import load_settings


class HeldControl(Control):
    """A control topic whose end is reached when the test says so."""

    def __init__(self) -> None:
        self.is_asked, self.is_read = asyncio.Event(), asyncio.Event()
        self.ended = asyncio.get_running_loop().create_future()

    async def start(self) -> None:
        self.is_asked.set()
        await self.is_read.wait()

    async def close(self) -> None:
        self.ended.set_result(None)


async def test_nothing_is_taken_in_nor_claimed_before_the_control_topic_has_been_read():
    control, works = HeldControl(), asyncio.Event()

    async def work() -> None:
        works.set()

    settings = load_settings({"kafka_bootstrap_servers": "localhost:1"})
    worker = Worker(settings, Graphs({}), NodeThreads(1))
    working = asyncio.create_task(worker._steered_first(work))
    reading = asyncio.create_task(worker._read_control(control))
    await control.is_asked.wait()  # the work, which began before, has had its turn
    assert not works.is_set()
    control.is_read.set()
    await working
    assert works.is_set()
    await control.close()
    await reading
