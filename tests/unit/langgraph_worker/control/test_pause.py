"""What a worker does at each look at the pauses of its fleet, and what its log says."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from langgraph_worker.control.pause import PauseWatch
from langgraph_worker.domain.pauses import PauseChange
from langgraph_worker.testing.memory_store import MemoryDatabase, MemoryRunStore
from tests.support.run_store import Clock
from workflow_events.control import PauseScope


def change(minute: int, *, is_on: bool = True, **fields: Any) -> PauseChange:
    return PauseChange(PauseScope.FLEET, "", is_on, datetime(2026, 3, 1, 12, minute, tzinfo=UTC), **fields)


@pytest.fixture
async def store() -> AsyncIterator[MemoryRunStore]:
    store = MemoryRunStore(MemoryDatabase(), Clock())
    await store.open()
    yield store
    await store.close()


async def test_each_change_is_obeyed_and_logged_once(store, caplog):
    caplog.set_level(logging.WARNING)
    obeyed: list[Sequence[PauseChange]] = []
    watch = PauseWatch(store, obeyed.append, 60.0)
    plain, hard = change(1, reason="a\nb", requested_by="ann"), change(2, at_once=True)
    for wanted in (None, plain, None, hard, change(3, is_on=False), None):
        await store.pause([wanted] if wanted else [])
        await watch.look()
    assert obeyed == [[], [plain], [plain], [hard], [], []]
    assert [record.getMessage() for record in caplog.records] == [
        "the fleet is paused since 2026-03-01 12:01:00 UTC by ann: a\\nb. Nothing of it starts, what runs stops before "
        "its next superstep",
        "the fleet is paused since 2026-03-01 12:02:00 UTC. Nothing of it starts, what runs is stopped now",
        "the pause of the fleet has ended",
    ]


async def test_a_message_is_obeyed_before_the_next_look(store):
    obeyed: asyncio.Queue[Sequence[PauseChange]] = asyncio.Queue()
    watch = PauseWatch(store, obeyed.put_nowait, 3_600.0)
    running = asyncio.create_task(watch.run())
    assert await obeyed.get() == []
    await store.pause([change(1)])
    watch.hurry()
    assert await obeyed.get() == [change(1)]
    running.cancel()


async def test_a_worker_that_missed_the_message_looks_again(store):
    obeyed: asyncio.Queue[Sequence[PauseChange]] = asyncio.Queue()
    running = asyncio.create_task(PauseWatch(store, obeyed.put_nowait, 0.01).run())
    await obeyed.get()
    await store.pause([change(1)])
    while await obeyed.get() != [change(1)]:
        pass
    running.cancel()
