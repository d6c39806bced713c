"""Slots: what a stopping executor does with a claim that is under way."""

from __future__ import annotations

import asyncio

from langgraph_worker.domain.models import RunStatus
from langgraph_worker.errors import StoreError
from langgraph_worker.execution.lease_keeper import LeaseKeeper
from langgraph_worker.store.sql.run_store import SqlRunStore
from tests.support.executors import FakeRunner, executor_of
from tests.support.run_store import request


class SlowStore(SqlRunStore):
    """Answers a claim only when the test says so."""

    def __init__(self, url):
        super().__init__(url)
        self.claimed, self.answer = asyncio.Event(), asyncio.Event()

    async def claim(self, worker_id, limit, graphs):
        claims = await super().claim(worker_id, limit, graphs)
        self.claimed.set()
        await self.answer.wait()
        return claims


class NeverRuns(FakeRunner):
    async def run(self, claim, control, meter):
        raise AssertionError("a stopping worker starts nothing")


async def test_a_claim_under_way_is_given_back_when_the_worker_stops(tmp_path):
    store = SlowStore(f"sqlite:///{tmp_path}/store.db")
    await store.open()
    executor = executor_of(store, NeverRuns())
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


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


class AwayForLong(SqlRunStore):
    """Answers no claim at first; by then, more than a lease has passed."""

    clock: Clock

    async def claim(self, worker_id, limit, graphs):
        if self.clock.now == Clock.now:
            self.clock.now += 60.0
            raise StoreError("away")
        return await super().claim(worker_id, limit, graphs)


class Waits(FakeRunner):
    def __init__(self):
        self.began = asyncio.Event()

    async def run(self, claim, control, meter):
        self.began.set()
        await asyncio.Event().wait()


async def test_a_lease_counts_from_the_try_that_claimed_it_not_from_the_first(tmp_path, monkeypatch):
    held_since = []
    monkeypatch.setattr(LeaseKeeper, "hold", lambda self, leases, claimed_at: held_since.append(claimed_at))
    store = AwayForLong(f"sqlite:///{tmp_path}/store.db")
    store.clock = Clock()
    await store.open()
    runner = Waits()
    executor = executor_of(store, runner, now=store.clock)
    await store.accept([request()])
    running = asyncio.create_task(executor.run())
    await runner.began.wait()
    assert held_since == [Clock.now + 60.0]
    await executor.drain(0.0)
    await running
    await store.close()
