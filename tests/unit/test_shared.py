from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from airflow_provider_langgraph.triggers import shared
from airflow_provider_langgraph.triggers.shared import RESTART_SECONDS, Shared, Turns

SETTINGS = {"bootstrap.servers": "broker:9092"}


@pytest.fixture
def clock(monkeypatch):
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(shared.time, "monotonic", lambda: clock.now)
    return clock


class Listeners:
    """Those of one kind, as their waiters see them."""

    def __init__(self) -> None:
        self.started = []
        self.closed = []
        self._shared = Shared()

    def join(self, settings=SETTINGS, topic="results"):
        return self._shared.join(settings, topic, self._start)

    def leave(self, listener):
        self._shared.leave(listener)

    def _start(self):
        made = SimpleNamespace(users=0, failed=False)
        made.close = lambda: self.closed.append(made)
        self.started.append(made)
        return made


async def test_one_serves_all_and_ends_with_the_last():
    all_of_them = Listeners()
    first, second = all_of_them.join(), all_of_them.join(dict(SETTINGS))
    assert first is second
    all_of_them.leave(first)
    assert all_of_them.closed == []
    all_of_them.leave(second)
    assert all_of_them.closed == [first]
    assert all_of_them.join() is not first


async def test_another_topic_or_connection_has_its_own():
    all_of_them = Listeners()
    all_of_them.join()
    all_of_them.join(topic="others")
    all_of_them.join(SETTINGS | {"sasl.username": "me"})
    assert len(all_of_them.started) == 3


async def test_one_that_fails_is_replaced_beside_those_who_have_not_left_it_yet(clock):
    all_of_them = Listeners()
    first = all_of_them.join()
    clock.now += RESTART_SECONDS
    first.failed = True
    second = all_of_them.join()
    assert second is not first
    all_of_them.leave(first)
    assert all_of_them.join() is second


async def test_one_that_fails_at_once_is_not_started_again_by_each_who_comes_back(clock):
    all_of_them = Listeners()
    for _ in range(1000):
        listener = all_of_them.join()
        listener.failed = True
        all_of_them.leave(listener)
        clock.now += RESTART_SECONDS / 100
    assert len(all_of_them.started) == pytest.approx(10, abs=1)


async def in_loop(call, *arguments):
    return call(*arguments)


def test_each_event_loop_has_its_own():
    all_of_them = Listeners()
    with asyncio.Runner() as one, asyncio.Runner() as another:
        first = one.run(in_loop(all_of_them.join))
        second = another.run(in_loop(all_of_them.join))
        assert second is not first
        assert one.run(in_loop(all_of_them.join)) is first
        for _ in range(2):
            one.run(in_loop(all_of_them.leave, first))
        assert all_of_them.closed == [first]
        assert another.run(in_loop(all_of_them.join)) is second


def test_a_loop_that_ended_without_leaving_does_no_harm_to_the_next():
    all_of_them = Listeners()
    with asyncio.Runner() as ended:
        left_behind = ended.run(in_loop(all_of_them.join))
    with asyncio.Runner() as runner:
        listener = runner.run(in_loop(all_of_them.join))
        assert listener is not left_behind
        assert all_of_them.closed == [left_behind]
        assert runner.run(in_loop(all_of_them.join)) is listener
        all_of_them.leave(left_behind)  # by whoever it was that waited, as it is collected
        assert all_of_them.closed == [left_behind]
        assert runner.run(in_loop(all_of_them.join)) is listener
        for _ in range(3):
            runner.run(in_loop(all_of_them.leave, listener))
        assert all_of_them.closed == [left_behind, listener]


async def test_what_is_handed_out_late_does_not_depend_on_what_came_before():
    loop, failed, handed = asyncio.get_running_loop(), [], []
    loop.set_exception_handler(lambda _, what: failed.append(what["exception"]))

    def hand_out(thing):
        if thing == 1:
            raise ZeroDivisionError
        handed.append(thing)

    turns = Turns(loop, hand_out)
    turns.add([0, 1, 2])
    for _ in range(5):
        await asyncio.sleep(0)
    turns.add([3])
    await asyncio.sleep(0)
    assert handed == [0, 2, 3]
    assert [type(error) for error in failed] == [ZeroDivisionError]
