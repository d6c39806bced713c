"""What the log says while the store is away: enough to see why, and no flood."""

from __future__ import annotations

import asyncio
import threading

import pytest

from langgraph_worker.errors import StoreError
from langgraph_worker.store import retrying
from langgraph_worker.store.retrying import SAY_AGAIN_SECONDS, StoreTrouble, retry_store, retry_store_in_thread


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_first_error_each_other_one_and_the_same_one_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    clock = Clock()
    trouble = StoreTrouble("claim runs", clock)
    trouble.note(StoreError("terminated by the administrator"))
    for _ in range(20):
        clock.now += 5
        trouble.note(StoreError("refused"))
    trouble.over()
    assert [record.message for record in caplog.records] == [
        "cannot claim runs, trying again: terminated by the administrator",
        "cannot claim runs, trying again: refused (for 5.0 s, 2 tries)",
        "cannot claim runs, trying again: refused (for 65 s, 14 tries)",
        "the store answers again: it took 100 s and 22 tries to claim runs",
    ]
    assert SAY_AGAIN_SECONDS == 60


def test_nothing_is_said_of_a_store_that_answers(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    StoreTrouble("claim runs").over()
    assert caplog.records == []


async def test_calls_say_when_the_store_answers_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(retrying, "FIRST_PAUSE_SECONDS", 0.001)

    def failing(times: int) -> list[Exception]:
        return [StoreError("away")] * times

    left = failing(2)

    async def call() -> int:
        if left:
            raise left.pop()
        return 7

    def blocking() -> int:
        if left:
            raise left.pop()
        return 8

    assert await retry_store(call, "read") == 7
    left += failing(2)
    assert await asyncio.to_thread(retry_store_in_thread, blocking, "write", threading.Event()) == 8
    said = [(record.message.split(":")[0], getattr(record, "action", "")) for record in caplog.records]
    assert said == [
        ("cannot read, trying again", "store_trouble"),
        ("the store answers again", "store_back"),
        ("cannot write, trying again", "store_trouble"),
        ("the store answers again", "store_back"),
    ]


async def test_an_error_that_does_not_pass_is_raised_and_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def call() -> int:
        raise StoreError("broken", retriable=False)

    with pytest.raises(StoreError, match="broken"):
        await retry_store(call, "read")
    assert caplog.records == []
