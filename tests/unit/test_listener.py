"""What the listener's event loop sees of it: the thread that reads is replaced, what it brings is not."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from uuid import uuid4

import pytest

from airflow_provider_langgraph.exceptions import WaitError
from airflow_provider_langgraph.handle import RequestHandle
from airflow_provider_langgraph.triggers import listener as module
from airflow_provider_langgraph.triggers.commands import Register, Unregister
from airflow_provider_langgraph.triggers.listener import ResultListener
from airflow_provider_langgraph.triggers.poll import ListenerLost, Outcome
from airflow_provider_langgraph.triggers.shared import AT_ONCE, BYTES_AT_ONCE
from workflow_events.codec import Record
from workflow_events.control import WorkflowQueryEvent

CROWD = 3 * AT_ONCE


class Thread:
    """Reads nothing."""

    trouble = None

    def __init__(self, settings, topic, deliver, ask):
        self.deliver = deliver
        self.ask = ask
        self.commands = []

    def start(self):
        pass

    def stop(self):
        pass

    def send(self, command):
        self.commands.append(command)


@pytest.fixture
def start(monkeypatch):
    monkeypatch.setattr(module, "PollThread", Thread)

    async def make(settings=None):
        return ResultListener(settings or {}, "results")

    return make


def handle() -> RequestHandle:
    return RequestHandle(
        correlation_id=uuid4(),
        workflow_id="dag",
        workflow_run_id="run",
        kafka_config_id="kafka_default",
        events_topic="events",
        results_topic="results",
        cluster="",
        start_offsets={},
        deadline=datetime.now(UTC) + timedelta(minutes=1),
    )


def key(one: RequestHandle) -> bytes:
    return str(one.correlation_id).encode()


def record(value: bytes = b"{}") -> Record:
    return Record(value=value, headers=[], topic="results", partition=0, offset=0)


async def woken_by_turn(futures) -> list[int]:
    """How many were woken in each turn of the event loop, until all were."""
    turns, before = [], 0
    while before < len(futures):
        await asyncio.sleep(0)
        now = sum(future.done() for future in futures)
        turns.append(now - before)
        before = now
    return turns


async def test_a_crowd_is_woken_over_many_turns(start):
    listener = await start()
    handles = [handle() for _ in range(CROWD)]
    futures = [listener.wait(one) for one in handles]
    listener._thread.deliver(Outcome([(key(one), record()) for one in handles]))
    assert max(await woken_by_turn(futures)) == AT_ONCE
    assert all(future.result().topic == "results" for future in futures)


async def test_large_replies_are_handed_out_one_after_the_other(start):
    listener = await start()
    handles = [handle() for _ in range(4)]
    futures = [listener.wait(one) for one in handles]
    large = record(b"x" * BYTES_AT_ONCE)
    listener._thread.deliver(Outcome([(key(one), large) for one in handles]))
    assert max(await woken_by_turn(futures)) == 1


async def test_a_failure_reaches_a_crowd_over_many_turns_each_with_an_error_of_its_own(start):
    listener = await start()
    futures = [listener.wait(handle()) for _ in range(CROWD)]
    listener._thread.deliver(Outcome(fatal=ListenerLost("away")))
    assert max(await woken_by_turn(futures)) == AT_ONCE
    errors = {id(future.exception()) for future in futures}
    assert len(errors) == CROWD
    assert {(type(future.exception()), str(future.exception())) for future in futures} == {(ListenerLost, "away")}
    assert listener.failed


async def test_who_comes_after_the_failure_hears_of_it_at_once(start):
    listener = await start()
    listener._thread.deliver(Outcome(fatal=WaitError("refused")))
    await asyncio.sleep(0)
    with pytest.raises(WaitError, match="refused"):
        await listener.wait(handle())


async def test_what_came_with_the_failure_is_still_handed_out(start):
    listener = await start()
    served, other = handle(), handle()
    futures = [listener.wait(served), listener.wait(other)]
    listener._thread.deliver(Outcome([(key(served), record())], fatal=ListenerLost("away")))
    assert (await futures[0]).topic == "results"
    with pytest.raises(ListenerLost):
        await futures[1]


async def test_who_leaves_a_crowd_that_is_being_woken_is_no_trouble(start):
    listener = await start()
    handles = [handle() for _ in range(CROWD)]
    futures = [listener.wait(one) for one in handles]
    listener._thread.deliver(Outcome([(key(one), record()) for one in handles]))
    await asyncio.sleep(0)
    futures[-1].cancel()
    await asyncio.wait(futures)
    assert sum(future.cancelled() for future in futures) == 1


async def test_closing_ends_whoever_still_waits(start):
    listener = await start()
    future = listener.wait(handle())
    listener.close()
    with pytest.raises(WaitError, match="closed"):
        await future


class TestTwoWhoWaitForTheSame:
    """A trigger and whoever looks, after a standstill, whether its request was answered; or two copies of a trigger."""

    async def test_the_first_that_leaves_takes_the_other_not_with_it(self, start):
        listener, one = await start(), handle()
        first, second = listener.wait(one), listener.wait(one)
        for future in first, second:
            future.cancel()
            await asyncio.sleep(0)
            told = [type(command) for command in listener._thread.commands]
            assert told == [Register, Register] + ([Unregister] if future is second else [])

    async def test_one_that_leaves_as_its_reply_comes_takes_no_later_one_with_it(self, start):
        listener, one = await start(), handle()
        first = listener.wait(one)
        listener._thread.deliver(Outcome([(key(one), record())]))
        await asyncio.sleep(0)
        first.cancel()
        second = listener.wait(one)
        assert (await second).topic == "results"
        assert Unregister not in {type(command) for command in listener._thread.commands}


class TestQueries:
    @pytest.fixture
    def sent(self, monkeypatch):
        sent = []
        monkeypatch.setattr(
            module, "control_sender", lambda settings: SimpleNamespace(send=lambda *_: sent.append(settings))
        )
        return sent

    async def ask(self, listener, sent):
        listener.wait(handle())
        listener._thread.ask("control", WorkflowQueryEvent(correlation_ids=[uuid4()]))
        while not sent:  # noqa: ASYNC110 - what sends is a task of its own
            await asyncio.sleep(0)
        return sent[0]

    async def test_they_go_out_with_credentials_of_today(self, start, sent, monkeypatch):
        extra = {"bootstrap.servers": "broker:9092", "sasl.password": "new"}
        monkeypatch.setenv("AIRFLOW_CONN_KAFKA_DEFAULT", json.dumps({"conn_type": "kafka", "extra": extra}))
        used = await self.ask(await start({"bootstrap.servers": "broker:9092", "sasl.password": "old"}), sent)
        assert used["sasl.password"] == "new"

    async def test_with_those_that_are_known_if_nobody_tells_others(self, start, sent, monkeypatch, caplog):
        async def fails(kafka_config_id):
            raise TimeoutError

        monkeypatch.setattr(module, "fresh_settings", fails)
        settings = {"bootstrap.servers": "broker:9092"}
        assert await self.ask(await start(settings), sent) == settings
        assert "cannot be read" in caplog.text
