"""Slots: what a stopping executor does with a claim that is under way."""

from __future__ import annotations

import asyncio

from langgraph_worker.executor import Executor
from langgraph_worker.settings import load_settings
from langgraph_worker.store.port import RunStatus
from langgraph_worker.store.sql import SqlRunStore
from langgraph_worker.threads import NodeThreads
from tests.support.run_store import request


class SlowStore(SqlRunStore):
    """Answers a claim only when it is told to."""

    def __init__(self, url):
        super().__init__(url)
        self.claimed, self.answer = asyncio.Event(), asyncio.Event()

    async def claim(self, worker_id, limit, graphs):
        claims = await super().claim(worker_id, limit, graphs)
        self.claimed.set()
        await self.answer.wait()
        return claims


class NeverRuns:
    async def run(self, claim, control):
        raise AssertionError("a stopping worker starts nothing")


async def test_a_claim_under_way_is_given_back_when_the_worker_stops(tmp_path):
    store = SlowStore(f"sqlite:///{tmp_path}/store.db")
    await store.open()
    executor = Executor(
        store,
        NeverRuns(),
        ["graph"],
        NodeThreads(1),
        load_settings({}),
        on_room=lambda: None,
        on_result=lambda: None,
    )
    await store.accept([request()])
    running = asyncio.create_task(executor.run())
    await store.claimed.wait()
    draining = asyncio.create_task(executor.drain(0.0))
    await asyncio.sleep(0)
    store.answer.set()
    await draining
    await running
    assert (await store.counts())[RunStatus.PENDING] == 1
    assert len(await store.claim("w2", 4, ["graph"])) == 1
    await store.close()
