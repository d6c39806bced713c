"""When a worker removes expired items of the long-term memory."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from langgraph_worker.graphs.memory_config import MemoryConfig
from langgraph_worker.runtime import housekeeping
from langgraph_worker.runtime.housekeeping import Housekeeping
from langgraph_worker.store.sql.memory_store import SWEPT_AT_ONCE


class Swept:
    """Memories with so many expired items; each look takes a minute of the test's clock."""

    def __init__(self, config: MemoryConfig, *found: int) -> None:
        self.config = config
        self.minutes = 0.0
        self.at: list[float] = []
        self._found = list(found)
        self.is_done = asyncio.Event()

    async def sweep(self) -> int:
        self.at.append(self.minutes)
        if len(self._found) == 1:
            self.is_done.set()
            return self._found[0]
        return self._found.pop(0)

    async def look(self) -> None:
        """The free room's: every look ends with it."""
        self.minutes += 1
        assert self.minutes < 60, "nothing was swept for an hour"


async def nothing(*_: Any) -> int:
    return 0


@pytest.mark.parametrize(
    ("ttl", "found", "expected"),
    [
        (None, (0, 0, 0), [0, 5, 10]),
        ({"sweep_interval_minutes": 2}, (0, 0, 0), [0, 2, 4]),
        ({"default_ttl": 9}, (SWEPT_AT_ONCE, SWEPT_AT_ONCE, 3, 0), [0, 1, 2, 7]),
    ],
)
async def test_expired_items_are_removed_at_the_projects_pace(monkeypatch, ttl, found, expected):
    monkeypatch.setattr(housekeeping, "_LOOK_EVERY_SECONDS", 0)
    memories = Swept(MemoryConfig(ttl=ttl), *found)
    store = SimpleNamespace(announce=nothing, expire=nothing)
    info = SimpleNamespace(graphs={})
    made: Any = Housekeeping(store, memories, None, memories, info, 60.0, now=lambda: memories.minutes * 60)  # type: ignore[arg-type]
    running = asyncio.create_task(made.run())
    done = asyncio.create_task(memories.is_done.wait())
    await asyncio.wait({running, done}, return_when=asyncio.FIRST_COMPLETED)
    running.cancel()
    done.cancel()
    assert memories.at[: len(expected)] == expected  # it may have swept again before it was cancelled


@pytest.mark.parametrize(("count", "said"), [(1, "ended 1 request that waited"), (2, "ended 2 requests that waited")])
async def test_what_ends_without_a_run_is_in_the_workers_log(caplog, monkeypatch, count, said):
    monkeypatch.setattr(housekeeping, "_LOOK_EVERY_SECONDS", 0)
    memories = Swept(MemoryConfig(), 0)
    ended, woken = [count], asyncio.Event()

    async def expire(*_: Any) -> int:
        return ended.pop() if ended else 0

    store = SimpleNamespace(announce=nothing, expire=expire)
    outbox, info = SimpleNamespace(wake=woken.set), SimpleNamespace(graphs={})
    made: Any = Housekeeping(store, memories, outbox, memories, info, 60.0, now=lambda: 0.0)  # type: ignore[arg-type]
    running = asyncio.create_task(made.run())
    await woken.wait()
    running.cancel()
    [line] = caplog.records
    assert line.levelname == "WARNING"
    assert line.getMessage().startswith(said)
