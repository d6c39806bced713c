"""What an agent tells reaches its own task's log: with a real Kafka."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_langgraph.triggers import progress
from airflow_provider_langgraph.triggers.progress import join_progress, leave_progress
from tests.support.results_desk import wait_for_result
from workflow_events.codec import encode
from workflow_events.control import WorkflowProgressEvent

pytestmark = pytest.mark.integration


@pytest.fixture
def tell(kafka):
    """Writes progress of requests."""

    def tell(*handles, node="plan", **fields):
        for handle in handles:
            message = WorkflowProgressEvent(
                correlation_id=handle.correlation_id,
                workflow_id="d",
                workflow_run_id="r",
                **{"kind": "node_started", "node": node} | fields,
            )
            kafka.produce(kafka.fleet.progress, encode(message))

    return tell


@asynccontextmanager
async def follow(desk, handle, topic=None, since=None):
    key = str(handle.correlation_id).encode()
    listener = join_progress(desk.settings, topic or handle.progress_topic, since or handle.asked_at)
    came = asyncio.Event()
    news = listener.follow(key, came.set)
    try:
        yield listener, News(news, came)
    finally:
        listener.leave(key, news)
        leave_progress(listener)


class News:
    """What comes, and when."""

    def __init__(self, news, came):
        self.news = news
        self.came = came

    async def take(self):
        await self.came.wait()
        self.came.clear()
        return self.news.take()[0]


async def words(news, count):
    """What the next messages say."""
    found = []
    while len(found) < count:
        found += [message.words for message in await news.take()]
    return found


async def test_each_hears_of_its_own_run(desk, tell):
    one, two = desk.ask(), desk.ask()
    async with follow(desk, one) as (listener, first), follow(desk, two) as (same, second):
        assert listener is same
        tell(one, node="a")
        tell(two, node="b")
        tell(desk.ask(), node="c")
        tell(one, node="d")
        assert await words(first, 2) == ["a started", "d started"]
        assert await words(second, 1) == ["b started"]


async def test_what_was_told_before_anybody_listened_is_heard(desk, tell):
    handle = desk.ask()
    tell(handle, kind="accepted", node=None)
    async with follow(desk, handle) as (listener, news):
        assert await words(news, 1) == ["worker ? took the request"]
        assert news.news.heard
        assert listener.covers(handle.asked_at)
        assert not listener.covers(handle.asked_at - timedelta(hours=1))


async def test_who_comes_later_hears_the_latest(desk, tell):
    one, two = desk.ask(), desk.ask()
    async with follow(desk, one) as (_, first):
        tell(two, node="early")
        tell(two, node="late")
        tell(one, node="mark")
        await words(first, 1)
        async with follow(desk, two) as (_, second):
            assert "late started" in await words(second, 1)


async def test_a_topic_that_is_missing_costs_the_lines_alone(desk):
    handle = desk.ask()
    async with follow(desk, handle, topic="no-such-progress") as (listener, news):
        while listener.trouble is None:
            await asyncio.wait({asyncio.create_task(news.came.wait())}, timeout=0.05)
        assert "does not exist" in listener.trouble
        assert not listener.covers(handle.asked_at)
        desk.answer(handle)
        assert (await wait_for_result(handle, logging.getLogger())).correlation_id == handle.correlation_id


async def test_garbage_is_passed_over(desk, tell, kafka):
    handle = desk.ask()
    async with follow(desk, handle) as (_, news):
        key = [("correlation-id", str(handle.correlation_id).encode())]
        kafka.produce(kafka.fleet.progress, b"\x00{", headers=key)
        kafka.produce(kafka.fleet.progress, b"{}", headers=[("correlation-id", b"\xff")])
        tell(handle, node="good")
        assert await words(news, 1) == ["good started"]


async def test_a_flood_is_not_read_back_whole(desk, tell, monkeypatch):
    monkeypatch.setattr(progress, "MOST_BEHIND", 2)
    handle = desk.ask()
    tell(*[handle] * 12)
    async with follow(desk, handle) as (listener, news):
        await words(news, 1)
        assert not listener.covers(handle.asked_at)


async def test_the_tasks_log_shows_it(desk, tell, caplog):
    caplog.set_level(logging.INFO)
    handle = desk.ask()
    waiting = asyncio.create_task(wait_for_result(handle, logging.getLogger("this.task")))
    tell(handle, node="plan", data={"thread_id": "t-1"})
    while not any(record.getMessage().startswith("Agent: plan started on thread t-1") for record in caplog.records):
        await asyncio.wait({waiting}, timeout=0.05)
    desk.answer(handle)
    await waiting


async def test_the_consumer_ends_with_the_last_follower(desk, tell):
    handle = desk.ask()
    async with follow(desk, handle, since=datetime.now(UTC)) as (listener, _):
        thread = listener._thread
    await asyncio.to_thread(thread.join, 10)
    assert not thread.is_alive()
