"""What the event loop sees of a shared consumer: the thread that reads is a fake, what it brings is not."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from uuid import uuid4

import pytest

from airflow_provider_langgraph.exceptions import WaitError
from airflow_provider_langgraph.kafka.sharing import AT_ONCE, BYTES_AT_ONCE
from airflow_provider_langgraph.requests.handle import RequestHandle
from airflow_provider_langgraph.waiting import shared_consumer as module
from airflow_provider_langgraph.waiting.commands import Look, Register, Unregister
from airflow_provider_langgraph.waiting.consumer_thread import ConsumerLost, ReadOutcome
from airflow_provider_langgraph.waiting.shared_consumer import SharedConsumer
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
    monkeypatch.setattr(module, "ConsumerThread", Thread)

    async def make(settings=None):
        return SharedConsumer(settings or {}, "results")

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
    consumer = await start()
    handles = [handle() for _ in range(CROWD)]
    futures = [consumer.wait(one) for one in handles]
    consumer._thread.deliver(ReadOutcome([(key(one), record()) for one in handles]))
    assert max(await woken_by_turn(futures)) == AT_ONCE
    assert all(future.result().topic == "results" for future in futures)


async def test_large_replies_are_handed_out_one_after_the_other(start):
    consumer = await start()
    handles = [handle() for _ in range(4)]
    futures = [consumer.wait(one) for one in handles]
    large = record(b"x" * BYTES_AT_ONCE)
    consumer._thread.deliver(ReadOutcome([(key(one), large) for one in handles]))
    assert max(await woken_by_turn(futures)) == 1


async def test_a_failure_reaches_a_crowd_over_many_turns_each_with_an_error_of_its_own(start):
    consumer = await start()
    futures = [consumer.wait(handle()) for _ in range(CROWD)]
    consumer._thread.deliver(ReadOutcome(fatal=ConsumerLost("away")))
    assert max(await woken_by_turn(futures)) == AT_ONCE
    errors = {id(future.exception()) for future in futures}
    assert len(errors) == CROWD
    assert {(type(future.exception()), str(future.exception())) for future in futures} == {(ConsumerLost, "away")}
    assert consumer.failed


async def test_who_comes_after_the_failure_hears_of_it_at_once(start):
    consumer = await start()
    consumer._thread.deliver(ReadOutcome(fatal=WaitError("refused")))
    await asyncio.sleep(0)
    with pytest.raises(WaitError, match="refused"):
        await consumer.wait(handle())


async def test_what_came_with_the_failure_is_still_handed_out(start):
    consumer = await start()
    served, other = handle(), handle()
    futures = [consumer.wait(served), consumer.wait(other)]
    consumer._thread.deliver(ReadOutcome([(key(served), record())], fatal=ConsumerLost("away")))
    assert (await futures[0]).topic == "results"
    with pytest.raises(ConsumerLost):
        await futures[1]


async def test_who_leaves_a_crowd_that_is_being_woken_is_no_trouble(start):
    consumer = await start()
    handles = [handle() for _ in range(CROWD)]
    futures = [consumer.wait(one) for one in handles]
    consumer._thread.deliver(ReadOutcome([(key(one), record()) for one in handles]))
    await asyncio.sleep(0)
    futures[-1].cancel()
    await asyncio.wait(futures)
    assert sum(future.cancelled() for future in futures) == 1


async def test_closing_ends_those_who_still_wait(start):
    consumer = await start()
    future = consumer.wait(handle())
    consumer.close()
    with pytest.raises(WaitError, match="closed"):
        await future


class TestTwoWhoWaitForTheSame:
    """A trigger, and what checks after a standstill whether its request was answered; or two copies of a trigger."""

    async def test_the_first_that_leaves_takes_the_other_not_with_it(self, start):
        consumer, one = await start(), handle()
        first, second = consumer.wait(one), consumer.wait(one)
        for future in first, second:
            future.cancel()
            await asyncio.sleep(0)
            sent = [type(command) for command in consumer._thread.commands]
            assert sent == [Register, Register] + ([Unregister] if future is second else [])

    async def test_one_that_leaves_as_its_reply_comes_takes_no_later_one_with_it(self, start):
        consumer, one = await start(), handle()
        first = consumer.wait(one)
        consumer._thread.deliver(ReadOutcome([(key(one), record())]))
        await asyncio.sleep(0)
        first.cancel()
        second = consumer.wait(one)
        assert (await second).topic == "results"
        assert Unregister not in {type(command) for command in consumer._thread.commands}


class TestQueries:
    @pytest.fixture
    def sent(self, monkeypatch):
        sent = []
        monkeypatch.setattr(
            module, "control_sender", lambda settings: SimpleNamespace(send=lambda *_: sent.append(settings))
        )
        return sent

    async def ask(self, consumer, sent):
        consumer.wait(handle())
        consumer._thread.ask("control", WorkflowQueryEvent(correlation_ids=[uuid4()]))
        while not sent:  # noqa: ASYNC110 - what sends is a task of its own
            await asyncio.sleep(0)
        return sent[0]

    async def test_they_go_out_with_credentials_of_today(self, start, sent, monkeypatch):
        extra = {"bootstrap.servers": "broker:9092", "sasl.password": "new"}
        monkeypatch.setenv("AIRFLOW_CONN_KAFKA_DEFAULT", json.dumps({"conn_type": "kafka", "extra": extra}))
        used = await self.ask(await start({"bootstrap.servers": "broker:9092", "sasl.password": "old"}), sent)
        assert used["sasl.password"] == "new"

    async def test_with_those_that_are_known_if_no_others_can_be_read(self, start, sent, monkeypatch, caplog):
        async def fails(kafka_config_id):
            raise TimeoutError

        monkeypatch.setattr(module, "fresh_settings", fails)
        settings = {"bootstrap.servers": "broker:9092"}
        assert await self.ask(await start(settings), sent) == settings
        assert "cannot be read" in caplog.text


async def test_a_look_ends_when_the_topic_was_read_to_its_end(start):
    consumer = await start()
    one = handle()
    look = asyncio.create_task(consumer.is_answered(one))
    await asyncio.sleep(0)
    assert [type(command) for command in consumer._thread.commands] == [Register, Look]
    consumer._thread.deliver(ReadOutcome(absent=[key(handle())]))
    await asyncio.sleep(0)
    assert not look.done()
    consumer._thread.deliver(ReadOutcome(absent=[key(one)]))
    assert await look is False
    await asyncio.sleep(0)
    assert consumer._thread.commands[-1] == Unregister(key(one))


async def test_a_look_finds_what_is_there_and_leaves_the_waiters_alone(start):
    consumer = await start()
    one = handle()
    waiter = consumer.wait(one)
    looks = [asyncio.create_task(consumer.is_answered(one)) for _ in range(2)]
    await asyncio.sleep(0)
    consumer._thread.deliver(ReadOutcome(absent=[key(one)]))
    assert await asyncio.gather(*looks) == [False, False]
    assert not waiter.done()
    look = asyncio.create_task(consumer.is_answered(one))
    await asyncio.sleep(0)
    consumer._thread.deliver(ReadOutcome([(key(one), record())]))
    assert await look is True
    assert waiter.done()


async def test_a_look_at_a_topic_that_cannot_be_read_says_that_it_knows_nothing(start):
    consumer = await start()
    look = asyncio.create_task(consumer.is_answered(handle()))
    await asyncio.sleep(0)
    consumer._thread.deliver(ReadOutcome(fatal=WaitError("refused")))
    with pytest.raises(WaitError, match="refused"):
        await look
    with pytest.raises(WaitError, match="refused"):
        await consumer.is_answered(handle())
