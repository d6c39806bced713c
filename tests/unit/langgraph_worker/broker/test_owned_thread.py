from __future__ import annotations

import asyncio
import threading

import pytest

from langgraph_worker.broker.kafka.owned_thread import OwnedThread


class Owner:
    """Work that reports that it is ready, and ends when it is closed."""

    def __init__(self, problem: Exception | None = None) -> None:
        self.closing = threading.Event()
        self.problem = problem
        self.thread = OwnedThread("owner", self._work)

    def _work(self) -> None:
        if self.problem is not None:
            raise self.problem
        self.thread.report_ready()
        self.thread.report_ready()
        self.closing.wait(10)


async def test_it_is_ready_when_its_work_says_so_and_ends_with_it():
    owner = Owner()
    assert not owner.thread.is_started
    ended = owner.thread.start()
    await owner.thread.wait_ready()
    assert owner.thread.is_started
    assert owner.thread.is_ready
    assert not ended.done()
    owner.closing.set()
    await owner.thread.join()
    assert ended.result() is None
    assert "owner" not in {thread.name for thread in threading.enumerate()}


async def test_what_the_work_raises_is_reported():
    owner = Owner(ValueError("no"))
    ended = owner.thread.start()
    with pytest.raises(ValueError, match="no"):
        await owner.thread.wait_ready()
    await owner.thread.join()
    assert isinstance(ended.exception(), ValueError)
    assert not owner.thread.is_ready


async def test_work_that_ends_before_it_is_ready_keeps_no_one_waiting():
    thread = OwnedThread("owner", lambda: None)
    thread.start()
    await thread.wait_ready()
    assert not thread.is_ready


async def test_the_thread_can_wait_for_the_loop():
    found: list[str] = []

    async def append() -> None:
        found.append(threading.current_thread().name)

    thread = OwnedThread("owner", lambda: thread.run_in_loop(append()).result(10))
    thread.start()
    await thread.join()
    assert found == [threading.current_thread().name]


def test_a_loop_that_is_closed_first_is_no_error():
    owner = Owner()

    async def start() -> None:
        owner.thread.start()
        await owner.thread.wait_ready()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(start())
    loop.close()
    owner.closing.set()
    owner.thread._thread.join(10)
    assert not owner.thread._thread.is_alive()
