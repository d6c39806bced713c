"""What an agent reports reaches its own task's log: with a real Kafka."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from confluent_kafka import KafkaError, KafkaException

from airflow_provider_langgraph.kafka.topic_reader import TopicReader
from airflow_provider_langgraph.task_log import progress_thread
from airflow_provider_langgraph.task_log.progress_listener import join_progress, leave_progress
from tests.support.reply_routing import wait_for_result
from workflow_events.codec import encode
from workflow_events.control import WorkflowProgressEvent

pytestmark = pytest.mark.integration


@pytest.fixture
def report(kafka):
    """Writes progress of requests."""

    def report(*handles, node="plan", **fields):
        for handle in handles:
            message = WorkflowProgressEvent(
                correlation_id=handle.correlation_id,
                workflow_id="d",
                workflow_run_id="r",
                **{"kind": "node_started", "node": node} | fields,
            )
            kafka.produce(kafka.fleet.progress, encode(message))

    return report


@asynccontextmanager
async def follow(exchange, handle, topic=None, since=None):
    key = str(handle.correlation_id).encode()
    listener = join_progress(exchange.settings, topic or handle.progress_topic, since or handle.asked_at)
    came = asyncio.Event()
    inbox = listener.follow(key, came.set)
    try:
        yield listener, Arrivals(inbox, came)
    finally:
        listener.leave(key, inbox)
        leave_progress(listener)


class Arrivals:
    """What comes, and when."""

    def __init__(self, inbox, came):
        self.inbox = inbox
        self.came = came

    async def take(self):
        await self.came.wait()
        self.came.clear()
        return self.inbox.take()[0]


async def words(arrivals, count):
    """What the next messages say."""
    found = []
    while len(found) < count:
        found += [message.words for message in await arrivals.take()]
    return found


async def test_each_hears_of_its_own_run(exchange, report):
    one, two = exchange.ask(), exchange.ask()
    async with follow(exchange, one) as (listener, first), follow(exchange, two) as (same, second):
        assert listener is same
        report(one, node="a")
        report(two, node="b")
        report(exchange.ask(), node="c")
        report(one, node="d")
        assert await words(first, 2) == ["a started", "d started"]
        assert await words(second, 1) == ["b started"]


async def test_what_was_reported_before_a_listener_started_is_received(exchange, report):
    handle = exchange.ask()
    report(handle, kind="accepted", node=None)
    async with follow(exchange, handle) as (listener, arrivals):
        assert await words(arrivals, 1) == ["taken by worker ?"]
        assert arrivals.inbox.has_heard
        assert listener.covers(handle.asked_at)
        assert not listener.covers(handle.asked_at - timedelta(hours=1))


async def test_what_was_reported_before_a_listener_could_read_at_all_is_received(exchange, report, monkeypatch):
    handle = exchange.ask()
    failures = iter([KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))])
    find = TopicReader.partitions

    def partitions(reader):
        for failure in failures:
            report(handle, node="early")
            raise failure
        return find(reader)

    monkeypatch.setattr(TopicReader, "partitions", partitions)
    async with follow(exchange, handle) as (listener, arrivals):
        assert await words(arrivals, 1) == ["early started"]
        assert listener.covers(handle.asked_at)


async def test_who_comes_later_hears_the_latest(exchange, report):
    one, two = exchange.ask(), exchange.ask()
    async with follow(exchange, one) as (_, first):
        report(two, node="early")
        report(two, node="late")
        report(one, node="mark")
        await words(first, 1)
        async with follow(exchange, two) as (_, second):
            assert "late started" in await words(second, 1)


async def test_a_topic_that_is_missing_costs_the_lines_alone(exchange):
    handle = exchange.ask()
    async with follow(exchange, handle, topic="no-such-progress") as (listener, arrivals):
        while listener.trouble is None:
            await asyncio.wait({asyncio.create_task(arrivals.came.wait())}, timeout=0.05)
        assert "does not exist" in listener.trouble
        assert not listener.covers(handle.asked_at)
        exchange.answer(handle)
        assert (await wait_for_result(handle, logging.getLogger())).correlation_id == handle.correlation_id


async def test_garbage_is_passed_over(exchange, report, kafka):
    handle = exchange.ask()
    async with follow(exchange, handle) as (_, arrivals):
        key = [("correlation-id", str(handle.correlation_id).encode())]
        kafka.produce(kafka.fleet.progress, b"\x00{", headers=key)
        kafka.produce(kafka.fleet.progress, b"{}", headers=[("correlation-id", b"\xff")])
        report(handle, node="good")
        assert await words(arrivals, 1) == ["good started"]


async def test_a_flood_is_not_read_back_whole(exchange, report, monkeypatch):
    monkeypatch.setattr(progress_thread, "MOST_RECORDS_BEHIND", 2)
    handle = exchange.ask()
    report(*[handle] * 12)
    async with follow(exchange, handle) as (listener, arrivals):
        await words(arrivals, 1)
        assert not listener.covers(handle.asked_at)


async def test_the_tasks_log_shows_it(exchange, report, caplog):
    caplog.set_level(logging.INFO)
    handle = exchange.ask()
    waiting = asyncio.create_task(wait_for_result(handle, logging.getLogger("this.task")))
    report(handle, node="plan", data={"thread_id": "t-1"})
    while not any(record.getMessage().startswith("Agent: plan started") for record in caplog.records):
        await asyncio.wait({waiting}, timeout=0.05)
    exchange.answer(handle)
    await waiting


async def test_the_consumer_ends_with_the_last_follower(exchange, report):
    handle = exchange.ask()
    async with follow(exchange, handle, since=datetime.now(UTC)) as (listener, _):
        thread = listener._thread
    await asyncio.to_thread(thread.join, 10)
    assert not thread.is_alive()


async def test_messages_of_other_requests_show_that_the_fleet_runs(exchange, report):
    mine, other = exchange.ask(), exchange.ask()
    async with follow(exchange, mine) as (listener, _), follow(exchange, other) as (_, arrivals):
        report(other)
        await words(arrivals, 1)
        assert listener.heard_at is not None
        assert listener.heard_at >= mine.asked_at - timedelta(seconds=1)
