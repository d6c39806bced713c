"""Keeping leases: an owner gives a run up before anybody else may take it."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from langgraph_worker.lease import LeaseKeeper
from langgraph_worker.store.port import Claim, Lease, Origin, Request
from langgraph_worker.store.sql import SqlRunStore
from workflow_events.models import Attempt, EventSource, EventType, WorkflowEvent

LEASE = 1.5


class Watch:
    """A keeper and what it has lost."""

    def __init__(self, store: SqlRunStore, hang: float = 60.0) -> None:
        self.lost: list[Lease] = []
        self.news = asyncio.Event()
        self.hung = threading.Event()
        self.keeper = LeaseKeeper(store, "w1", LEASE, LEASE / 5, hang, self._lose, self._hung)

    def _hung(self) -> None:
        self.hung.set()

    def _lose(self, lease: Lease) -> None:
        self.lost.append(lease)
        self.news.set()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlRunStore]:
    store = SqlRunStore(f"sqlite:///{tmp_path}/store.db", lease_seconds=LEASE)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def watch(store: SqlRunStore) -> AsyncIterator[Watch]:
    watch = Watch(store)
    task = asyncio.create_task(watch.keeper.run())
    yield watch
    task.cancel()
    await asyncio.wait({task})


async def accept(store: SqlRunStore, try_number: int) -> None:
    attempt = Attempt(task="t", id=uuid4(), try_number=try_number, max_tries=3)
    event = WorkflowEvent(
        event_type=EventType.WORKFLOW_TRIGGERED,
        source=EventSource.AIRFLOW,
        workflow_id="dag",
        workflow_run_id="run",
        attempt=attempt,
    )
    await store.accept([Request(event, "g", "results", Origin("c", "events", 0, try_number))])


async def claimed(store: SqlRunStore, watch: Watch) -> Claim:
    await accept(store, 1)
    before = time.monotonic()
    (claim,) = await store.claim("w1", 1, ["g"])
    watch.keeper.hold([claim.lease], before)
    return claim


async def test_a_renewed_lease_outlives_its_term(store, watch):
    claim = await claimed(store, watch)
    await asyncio.sleep(LEASE * 1.5)  # what is tested is that nothing happens
    assert watch.lost == []
    assert store.renew("w1", [claim.lease]) == set()


async def test_a_lease_that_the_store_has_voided_is_lost(store, watch):
    claim = await claimed(store, watch)
    await accept(store, 2)
    await asyncio.wait_for(watch.news.wait(), 10)
    assert watch.lost == [claim.lease]


async def test_an_owner_that_cannot_renew_gives_up_by_itself(store, watch, tmp_path):
    claim = await claimed(store, watch)
    with sqlite3.connect(tmp_path / "store.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")  # the store answers nobody
        await asyncio.wait_for(watch.news.wait(), 10)
        assert watch.lost == [claim.lease]
        other.execute("ROLLBACK")


async def test_what_is_dropped_is_neither_renewed_nor_lost(store, watch):
    claim = await claimed(store, watch)
    watch.keeper.drop(claim.lease)
    await accept(store, 2)
    await asyncio.sleep(LEASE)  # what is tested is that nothing happens
    assert watch.lost == []


async def test_leases_are_kept_while_a_node_blocks_the_loop(store, watch):
    claim = await claimed(store, watch)
    await asyncio.sleep(0)
    time.sleep(LEASE * 1.5)  # noqa: ASYNC251 - as a node may do it
    other = await store.claim("w2", 1, ["g"])
    assert other == []
    await asyncio.sleep(LEASE / 5)
    assert watch.lost == []
    assert store.renew("w1", [claim.lease]) == set()
    assert not watch.hung.is_set()


async def test_a_loop_that_hangs_ends_the_process(store):
    watch = Watch(store, hang=LEASE / 2)
    keeping = asyncio.create_task(watch.keeper.run())
    await asyncio.sleep(LEASE / 5)
    assert not watch.hung.is_set()
    assert watch.hung.wait(10)  # blocks the loop
    keeping.cancel()
    await asyncio.wait({keeping})


async def test_a_loop_that_cannot_give_up_a_lost_lease_ends_the_process(store, watch, tmp_path):
    await claimed(store, watch)
    await asyncio.sleep(0)
    with sqlite3.connect(tmp_path / "store.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")  # the store answers nobody
        assert watch.hung.wait(10)  # blocks the loop
        other.execute("ROLLBACK")
