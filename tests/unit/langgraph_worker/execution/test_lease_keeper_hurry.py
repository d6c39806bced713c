"""An owner hears that its lease is lost with its next renewal, not when the lease would have ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from langgraph_worker.domain.models import Lease
from langgraph_worker.execution.lease_keeper import LeaseKeeper, LeaseTiming
from langgraph_worker.store.sql.run_store import SqlRunStore
from tests.support.run_store import attempt, request

LEASE = 60.0


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlRunStore]:
    store = SqlRunStore(f"sqlite:///{tmp_path}/store.db", lease_seconds=LEASE)
    await store.open()
    yield store
    await store.close()


async def test_a_void_lease_is_lost_with_the_next_renewal(store):
    lost: asyncio.Queue[Lease] = asyncio.Queue()
    # Its clock stands still: no lease ends by itself, however long the test takes.
    keeper = LeaseKeeper(store, "w1", LeaseTiming(LEASE, 0.1, LEASE), now=lambda: 1_000.0)
    keeping = asyncio.create_task(keeper.run(lost.put_nowait))
    await store.accept([request(attempt(1)), request()])
    before = keeper.time()
    claims = await store.claim("w1", 2, ["graph"])
    keeper.hold([claim.lease for claim in claims], before)
    await store.accept([request(attempt(2))])
    assert await lost.get() == claims[0].lease
    assert store.renew("w1", [claims[1].lease]) == set()
    keeper.drop(claims[1].lease)
    keeping.cancel()
    await asyncio.wait({keeping})
    assert lost.empty()
