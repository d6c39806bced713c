"""The child of :mod:`benchmarks.waiting`: many triggers in one event loop, as in a triggerer.

Its command line has one JSON object that says what to do. It answers with JSON lines. It holds only what waiting needs:
another process replies.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from benchmarks.lag import NOTHING, TICK_SECONDS, Lag, full_collection, memory
from benchmarks.waiting_triggers import Task, idle, official, ours, request_handle, request_id


class Desks:
    """The routers of the listeners. They know whether a reply now reaches every waiter, which has no public interface.

    Only this class uses private parts of the provider.
    """

    def __init__(self) -> None:
        self._all: list[Any] = []
        desk = importlib.import_module("airflow_provider_langgraph.waiting.reply_router").ReplyRouter
        begin = desk.__init__

        def begin_and_note(made: Any, *arguments: Any, **named: Any) -> None:
            begin(made, *arguments, **named)
            self._all.append(made)

        desk.__init__ = begin_and_note

    def serve(self, count: int) -> bool:
        """Whether the newest router knows so many waiters, and has searched all that was there when they came."""
        if not self._all:
            return False
        desk = self._all[-1]
        return len(desk._waiters) == count and not desk._late and not desk._catch_ups.is_under_way


class Round:
    """The triggers of one round, from their start to their last event."""

    def __init__(self, task: Task, first: int, desks: Desks) -> None:
        make: Callable[[Task, int], Any] = {"ours": ours, "idle": idle}.get(task.kind, official)
        self._task = task
        self._first = first
        self._desks = desks
        self._waiting: list[asyncio.Future[Any]] = []
        self.events: dict[int, int] = {}
        """The time of each event, in nanoseconds of the monotonic clock, which all processes share."""
        for number in range(task.count):
            task.connect(first + number)
        self.triggers = [make(task, first + number) for number in range(task.count)]

    async def start(self) -> None:
        """Start them as the triggerer does: one after the other, with two turns of the loop in between."""
        for number, trigger in enumerate(self.triggers):
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            self._waiting.append(asyncio.create_task(self._wait(self._first + number, trigger)))

    async def _wait(self, number: int, trigger: Any) -> None:
        async for event in trigger.run():
            self.events[number] = time.monotonic_ns()
            if isinstance(event.payload, dict) and event.payload.get("kind") != "result":
                raise RuntimeError(f"trigger {number} fired {event.payload!r}, without a result")
        await trigger.cleanup()

    async def until_ready(self) -> bool:
        """Wait until all are ready; False if they were not in time."""
        ends = time.monotonic() + self._task.seconds
        while not self._is_ready():
            if time.monotonic() > ends or any(one.done() for one in self._waiting):
                return False
            await asyncio.sleep(TICK_SECONDS)
        return True

    def _is_ready(self) -> bool:
        if self._task.kind in ("ours", "listener"):
            return self._desks.serve(self._task.count)
        return self._task.kind == "idle" or self.consumers == self._task.count

    @property
    def consumers(self) -> int:
        """The number of the official triggers that have a consumer."""
        return sum(getattr(trigger, "_consumer", None) is not None for trigger in self.triggers)

    async def until_served(self) -> None:
        """Wait until every trigger has fired, or the time is over."""
        done, _ = await asyncio.wait(self._waiting, timeout=self._task.seconds)
        for one in done:
            one.result()


_parent = sys.stdout


def keep_for_the_parent() -> None:
    """Redirect what others print, such as Airflow's log, to standard error."""
    global _parent
    _parent = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)


def say(**fields: Any) -> None:
    """Print one line for the parent."""
    _parent.write(json.dumps(fields) + "\n")
    _parent.flush()


class Futures(Round):
    """The same without triggers: only the listener and its futures."""

    def __init__(self, task: Task, first: int, desks: Desks) -> None:
        super().__init__(replace(task, count=0), first, desks)
        self._task = task
        task.connect(first)

    async def start(self) -> None:
        from airflow_provider_langgraph.hooks.kafka import KafkaHook
        from airflow_provider_langgraph.waiting.shared_consumer import shared_consumer

        settings = await KafkaHook(self._task.connection(0)).asettings()
        numbers = range(self._first, self._first + self._task.count)
        handles = [request_handle(self._task, number) for number in numbers]
        self._listening = shared_consumer(settings, self._task.topic)
        listener = await self._listening.__aenter__()
        for number, handle in zip(numbers, handles, strict=True):
            if number % 50 == 0:
                await asyncio.sleep(0)
            future = listener.wait(handle)
            future.add_done_callback(functools.partial(self._note, number))
            self._waiting.append(future)

    def _note(self, number: int, _: Any) -> None:
        self.events[number] = time.monotonic_ns()


async def until_gone() -> None:
    """Wait until the threads of a listener that is not used any more have ended."""
    for one in threading.enumerate():
        if one.name.startswith("langgraph-"):
            await asyncio.to_thread(one.join, 10)


async def warm_up(task: Task, lag: Lag, desks: Desks) -> None:
    """Run one trigger on a topic of its own that finds its reply: it loads all modules."""
    one = Round(replace(task, topic=task.warm, seed="warm", count=1, start={}), 0, desks)
    began = time.monotonic()
    await one.start()
    await one.until_served()
    seconds = time.monotonic() - began
    await until_gone()
    say(seconds=seconds, **await lag.worst(), **memory())


async def wait_live(task: Task, lag: Lag, desks: Desks) -> None:
    """Wait first; the parent replies when all are ready."""
    for number in range(task.rounds):
        await until_gone()
        one = (Futures if task.kind == "listener" else Round)(task, number * task.count, desks)
        await lag.worst()
        began = time.monotonic()
        await one.start()
        is_ready = await one.until_ready()
        seconds = time.monotonic() - began
        seen = {**await lag.worst(), **memory(), "full": full_collection()}
        await lag.worst()
        say(ready=is_ready, seconds=seconds, consumers=one.consumers, **seen)
        cpu = time.process_time()
        await one.until_served()
        cpu = time.process_time() - cpu
        say(events=list(one.events.items()), cpu=cpu, **await lag.worst(), **memory())


def listen(task: Task) -> None:
    """Read with a bare consumer, without an event loop, a trigger or a waiter."""
    numbers = {str(request_id(task.seed, number)).encode(): number for number in range(task.count)}
    consumer = Consumer({**task.client, "group.id": task.seed, "enable.auto.commit": False, "fetch.wait.max.ms": 100})
    consumer.assign([TopicPartition(task.topic, int(number), offset) for number, offset in task.start.items()])
    consumer.poll(1)  # there is no record yet, but it connects
    say(ready=True, seconds=0.0, consumers=1, full=full_collection(), **NOTHING, **memory())
    events: list[tuple[int, int]] = []
    ends, cpu = time.monotonic() + task.seconds, time.process_time()
    while len(events) < task.count and time.monotonic() < ends:
        message = consumer.poll(0.1)
        key = message.key() if message is not None and message.error() is None else None
        if key in numbers:
            events.append((numbers[key], time.monotonic_ns()))
    say(events=events, cpu=time.process_time() - cpu, **NOTHING, **memory())


async def wait_late(task: Task, lag: Lag, desks: Desks) -> None:
    """Wait for replies that are in the topic already."""
    one = Round(task, 0, desks)
    await lag.worst()
    began, cpu = time.monotonic_ns(), time.process_time()
    await one.start()
    await one.until_served()
    cpu = time.process_time() - cpu
    say(began=began, events=list(one.events.items()), cpu=cpu, **await lag.worst(), **memory())


async def wait(how: str, task: Task) -> None:
    """Do one of the two, in a process that has waited before."""
    lag, desks = Lag(), Desks()
    async with lag.watched():
        await warm_up(replace(task, kind="ours") if task.kind in ("idle", "listener") else task, lag, desks)
        await (wait_live if how == "live" else wait_late)(task, lag, desks)


def main() -> None:
    """``python -m benchmarks.waiters live|late TASK``. It ends at once, also while triggers wait."""
    keep_for_the_parent()
    how, task = sys.argv[1], Task(**json.loads(sys.argv[2]))
    if task.kind == "none":
        say(seconds=0.0, **NOTHING, **memory())
        listen(task)
    else:
        asyncio.run(wait(how, task))


if __name__ == "__main__":
    main()
