"""How long a run is waited for."""

from __future__ import annotations

import asyncio

import pytest

from langgraph_worker.execution.time_limit import TimeLimit


async def forever() -> None:
    await asyncio.Event().wait()


async def test_work_that_is_done_in_time_is_waited_for():
    ended = asyncio.Event()

    async def work() -> None:
        await asyncio.sleep(0)
        ended.set()

    assert await TimeLimit(None).wait(work())
    assert ended.is_set()


async def test_work_that_is_done_already_counts_also_at_the_limit():
    async def work() -> None:
        return

    assert await TimeLimit(0.0).wait(work())


async def test_work_that_takes_longer_is_cancelled():
    cancelled = asyncio.Event()

    async def work() -> None:
        try:
            await forever()
        finally:
            cancelled.set()

    assert not await TimeLimit(0.0).wait(work())
    await cancelled.wait()


@pytest.mark.parametrize("seconds", [None, 3600.0])
async def test_a_limit_can_be_shortened_while_something_waits(seconds):
    limit = TimeLimit(seconds)
    waiting = asyncio.create_task(limit.wait(forever()))
    await asyncio.sleep(0)
    limit.shorten(0.0)
    assert not await waiting


async def test_a_limit_is_never_shortened_to_a_later_time():
    limit = TimeLimit(0.0)
    limit.shorten(3600.0)
    assert not await limit.wait(forever())


async def test_a_limit_starts_anew():
    limit = TimeLimit(0.0)
    limit.restart(None)
    waiting = asyncio.create_task(limit.wait(forever()))
    await asyncio.sleep(0)
    assert not waiting.done()
    limit.shorten(0.0)
    assert not await waiting


async def test_what_the_work_raises_is_raised():
    async def work() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await TimeLimit(None).wait(work())
