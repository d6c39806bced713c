from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from airflow_provider_langgraph.kafka.sharing import RESTART_SECONDS, FanOut, Shared

SETTINGS = {"bootstrap.servers": "broker:9092"}


class Consumers:
    """The shared consumers of one kind, as their waiters see them.

    :ivar now: their clock.
    """

    def __init__(self) -> None:
        self.now = 1000.0
        self.started = []
        self.closed = []
        self._shared = Shared(lambda: self.now)

    def join(self, settings=SETTINGS, topic="results"):
        return self._shared.join(settings, topic, self._start)

    def leave(self, consumer):
        self._shared.leave(consumer)

    def _start(self):
        made = SimpleNamespace(users=0, failed=False)
        made.close = lambda: self.closed.append(made)
        self.started.append(made)
        return made


async def test_one_serves_all_and_ends_with_the_last():
    consumers = Consumers()
    first, second = consumers.join(), consumers.join(dict(SETTINGS))
    assert first is second
    consumers.leave(first)
    assert consumers.closed == []
    consumers.leave(second)
    assert consumers.closed == [first]
    assert consumers.join() is not first


async def test_another_topic_or_connection_has_its_own():
    consumers = Consumers()
    consumers.join()
    consumers.join(topic="others")
    consumers.join(SETTINGS | {"sasl.username": "me"})
    assert len(consumers.started) == 3


async def test_one_that_fails_is_replaced_beside_those_who_have_not_left_it_yet():
    consumers = Consumers()
    first = consumers.join()
    consumers.now += RESTART_SECONDS
    first.failed = True
    second = consumers.join()
    assert second is not first
    consumers.leave(first)
    assert consumers.join() is second


async def test_one_that_fails_at_once_is_not_started_again_by_each_who_comes_back():
    consumers = Consumers()
    for _ in range(1000):
        consumer = consumers.join()
        consumer.failed = True
        consumers.leave(consumer)
        consumers.now += RESTART_SECONDS / 100
    assert len(consumers.started) == pytest.approx(10, abs=1)


async def in_loop(call, *arguments):
    return call(*arguments)


def test_each_event_loop_has_its_own():
    consumers = Consumers()
    with asyncio.Runner() as one, asyncio.Runner() as another:
        first = one.run(in_loop(consumers.join))
        second = another.run(in_loop(consumers.join))
        assert second is not first
        assert one.run(in_loop(consumers.join)) is first
        for _ in range(2):
            one.run(in_loop(consumers.leave, first))
        assert consumers.closed == [first]
        assert another.run(in_loop(consumers.join)) is second


def test_a_loop_that_ended_without_leaving_does_no_harm_to_the_next():
    consumers = Consumers()
    with asyncio.Runner() as ended:
        left_behind = ended.run(in_loop(consumers.join))
    with asyncio.Runner() as runner:
        consumer = runner.run(in_loop(consumers.join))
        assert consumer is not left_behind
        assert consumers.closed == [left_behind]
        assert runner.run(in_loop(consumers.join)) is consumer
        consumers.leave(left_behind)  # by the waiter that was left behind, as it is collected
        assert consumers.closed == [left_behind]
        assert runner.run(in_loop(consumers.join)) is consumer
        for _ in range(3):
            runner.run(in_loop(consumers.leave, consumer))
        assert consumers.closed == [left_behind, consumer]


async def test_what_is_handed_out_late_does_not_depend_on_what_came_before():
    loop, failed, handed = asyncio.get_running_loop(), [], []
    loop.set_exception_handler(lambda _, what: failed.append(what["exception"]))

    def hand_out(thing):
        if thing == 1:
            raise ZeroDivisionError
        handed.append(thing)

    turns = FanOut(loop, hand_out)
    turns.add([0, 1, 2])
    for _ in range(5):
        await asyncio.sleep(0)
    turns.add([3])
    await asyncio.sleep(0)
    assert handed == [0, 2, 3]
    assert [type(error) for error in failed] == [ZeroDivisionError]
