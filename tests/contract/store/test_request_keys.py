"""The idempotency keys of requests to the API."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest

from langgraph_worker.store.request_keys import RequestKey, RequestKeys
from langgraph_worker.store.sql.run_store import SqlRunStore
from langgraph_worker.testing.memory_store.request_keys import MemoryRequestKeys
from tests.support.run_store import Clock, Store

pytestmark = pytest.mark.integration


@pytest.fixture
def keys(store: Store, clock: Clock) -> RequestKeys:
    return store.request_keys if isinstance(store, SqlRunStore) else MemoryRequestKeys(clock)


async def test_the_first_request_under_a_key_stays(keys: RequestKeys) -> None:
    first = RequestKey(uuid4(), "a" * 64, uuid4())
    assert await keys.find(first.key) is None
    assert await keys.keep(first) == first
    assert await keys.keep(first) == first
    assert await keys.keep(RequestKey(first.key, "b" * 64, uuid4())) == first
    assert await keys.find(first.key) == first
    other = RequestKey(uuid4(), "a" * 64, first.correlation_id)
    assert await keys.keep(other) == other


async def test_of_many_at_once_all_get_the_same(keys: RequestKeys) -> None:
    key = uuid4()
    asked = [RequestKey(key, f"{number:064}", uuid4()) for number in range(20)]
    kept = await asyncio.gather(*(keys.keep(one) for one in asked))
    assert len(set(kept)) == 1


async def test_old_keys_are_forgotten(keys: RequestKeys, clock: Clock) -> None:
    old, new = (RequestKey(uuid4(), "a" * 64, uuid4()) for _ in range(2))
    await keys.keep(old)
    clock.advance(100)
    await keys.keep(new)
    assert await keys.remove(timedelta(seconds=50)) == 1
    assert await keys.find(old.key) is None
    assert await keys.find(new.key) == new
