"""Items that expire: they are not read, and they are removed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from langgraph.store.base import GetOp, PutOp, TTLConfig

from langgraph_worker.graphs.memory_config import MemoryConfig
from tests.support.memories import Desk, in_thread
from tests.support.run_store import Clock

USERS = ("users", "ann")
LONG_MINUTES = 60.0 * 24 * 365 * 100  # LangGraph puts by the database's own clock; the tests' stands still


async def put_some(memory: Any) -> None:
    await memory.aput(USERS, "old", {"n": 1}, ttl=LONG_MINUTES)
    await memory.aput(USERS, "kept", {"n": 2}, ttl=None)


async def test_what_has_expired_is_not_read_and_is_removed(desk):
    memory = await desk.memory()
    await put_some(memory)
    assert {item.key for item in await memory.asearch(USERS)} == {"old", "kept"}
    for read in (
        lambda: memory.aget(USERS, "old"),
        lambda: in_thread(memory.get, USERS, "old"),
        lambda: memory.asearch(USERS, filter={"n": 1}),
        lambda: memory.asearch(USERS, query="by meaning", filter={"n": 1}),
    ):
        await memory.aput(USERS, "old", {"n": 1}, ttl=LONG_MINUTES)
        assert await read()
        desk.expire("old")
        assert not await read()
    await memory.aput(("gone",), "old", {}, ttl=LONG_MINUTES)
    desk.expire("old")
    assert await memory.alist_namespaces() == [USERS]
    assert desk.keys() == ["kept"]
    assert desk.held() == desk.counted()


async def test_a_sweep_removes_a_bounded_number(desk):
    memory, other = await desk.memory(), await desk.memory("other", "")
    for one in (memory, other):
        await put_some(one)
        await one.abatch([PutOp(("n", str(number)), "old", {}, ttl=LONG_MINUTES) for number in range(4)])
    desk.expire("old")
    assert [await desk.store.memory.sweep(6) for _ in range(3)] == [6, 4, 0]
    assert desk.keys() == ["kept", "kept"]
    assert desk.held() == desk.counted()
    assert await desk.memories.sweep() == 0


async def test_what_is_put_gets_the_projects_ttl_unless_it_says_otherwise(desk):
    desk = await desk.other(config=MemoryConfig(ttl=TTLConfig(default_ttl=LONG_MINUTES, refresh_on_read=True)))
    memory = await desk.memory()
    await memory.aput(USERS, "default", {})
    await in_thread(memory.put, USERS, "never", {}, ttl=None)
    for key in ("default", "never"):
        desk.expire(key)
    assert await memory.asearch(USERS) == []
    await memory.aput(USERS, "default", {})
    await memory.aput(USERS, "never", {}, ttl=None)
    desk.backend.clock.advance(LONG_MINUTES * 60 + timedelta(days=3650).total_seconds())
    assert [item.key for item in await memory.asearch(USERS)] == ["never"]


async def test_reading_lets_an_item_live_longer_unless_the_read_says_no(desk):
    memory = await desk.memory()
    await memory.aput(USERS, "read", {}, ttl=10)
    await memory.aput(USERS, "found", {}, ttl=10)
    await memory.aput(USERS, "left", {}, ttl=10)
    clock = await at_the_databases_time(desk, memory)
    clock.advance(9 * 60)
    assert await memory.aget(USERS, "read")
    assert len(await memory.asearch(USERS, filter={}, refresh_ttl=False)) == 3
    await memory.abatch([GetOp(USERS, "left", refresh_ttl=False), GetOp(USERS, "found", refresh_ttl=True)])
    clock.advance(5 * 60)
    assert {item.key for item in await memory.asearch(USERS, refresh_ttl=False)} == {"read", "found"}
    clock.advance(11 * 60)
    assert await memory.asearch(USERS, filter={}) == []


async def test_reading_changes_nothing_where_the_project_says_so(desk):
    stale = await desk.other(config=MemoryConfig(ttl=TTLConfig(refresh_on_read=False)))
    memory = await stale.memory()
    await memory.aput(USERS, "read", {}, ttl=10)
    clock = await at_the_databases_time(desk, memory)
    clock.advance(9 * 60)
    assert await memory.aget(USERS, "read")
    clock.advance(5 * 60)
    assert await memory.aget(USERS, "read") is None


async def at_the_databases_time(desk: Desk, memory: Any) -> Clock:
    """The store's clock, set to that of the database, which LangGraph puts by."""
    await memory.aput(("clock",), "now", {})
    clock = desk.backend.clock
    clock.now = (await memory.aget(("clock",), "now")).updated_at
    return clock
