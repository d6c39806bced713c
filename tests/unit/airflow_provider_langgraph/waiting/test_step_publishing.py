"""Publishing from a trigger: in a thread of its own, as often as it takes, and with settings that are given."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_langgraph.exceptions import (
    KafkaError,
    KafkaSettingsError,
    MessageRefusedError,
    PublishError,
    SettingsError,
)
from airflow_provider_langgraph.requests.handle import RequestHandle
from airflow_provider_langgraph.waiting import step_publishing
from airflow_provider_langgraph.waiting.step_publishing import in_thread, publish_step
from tests.support.ti_ids import new_ti_id
from workflow_events.models import WorkflowEvent

log = logging.getLogger(__name__)
EVENT = WorkflowEvent(event_type="workflow.triggered", source="airflow", workflow_id="d", workflow_run_id="r")


def fleet(left=timedelta(hours=1)):
    return RequestHandle(
        new_ti_id(), "d", "r", "kafka_risk", "e", "results", "c", {0: 7}, datetime.now(UTC) + left, "t", "steer", "p"
    )


class Kafka:
    """Publishes, or fails with what it is given, one after the other."""

    def __init__(self, *errors):
        self.errors = list(errors)
        self.clients = []
        self.threads = []

    def publish_further(self, client, event, _log, _traceparent):
        self.clients.append(client)
        self.threads.append(threading.current_thread())
        if self.errors:
            raise self.errors.pop(0)
        return "published"


@pytest.fixture
def kafka(monkeypatch):
    def make(*errors):
        kafka = Kafka(*errors)
        monkeypatch.setattr(step_publishing, "publish_further", kafka.publish_further)
        return kafka

    async def settings(ends, kafka_config_id, log):
        return {"bootstrap.servers": kafka_config_id}

    monkeypatch.setattr(step_publishing, "settings_until", settings)
    monkeypatch.setattr(step_publishing, "FIRST_PAUSE_SECONDS", 0.001)
    return make


async def test_the_event_loop_waits_for_no_broker_and_airflow_is_asked_for_nothing(kafka):
    one = kafka()
    handle = fleet()
    assert await publish_step(EVENT, handle, log) == "published"
    [thread], [client] = one.threads, one.clients
    assert thread is not threading.main_thread()
    assert thread.daemon  # the triggerer's end waits for none
    assert client.settings() == {"bootstrap.servers": "kafka_risk"}
    assert (client.topics.events, client.topics.results, client.topics.control) == ("e", "results", "steer")


async def test_while_kafka_is_away_it_is_tried_again(kafka, caplog):
    one = kafka(PublishError("no broker"), KafkaError("no broker"))
    assert await publish_step(EVENT, fleet(), log) == "published"
    assert len(one.clients) == 3
    assert "Not asked yet, trying again in 0 s: no broker" in caplog.text


async def test_at_the_end_of_the_wait_it_gives_up(kafka, monkeypatch):
    kafka(PublishError("no broker"))
    monkeypatch.setattr(step_publishing, "end_of_wait", lambda _: datetime.now(UTC))
    with pytest.raises(PublishError):
        await publish_step(EVENT, fleet(), log)


@pytest.mark.parametrize("error", [KafkaSettingsError("bad"), MessageRefusedError("large"), SettingsError("large")])
async def test_what_does_not_get_better_is_not_tried_again(kafka, error):
    one = kafka(error)
    with pytest.raises(type(error)):
        await publish_step(EVENT, fleet(), log)
    assert len(one.clients) == 1


async def test_a_thread_logs_into_the_waiting_tasks_log():
    trigger = contextvars.ContextVar("trigger")
    trigger.set("the task's")
    assert await in_thread(trigger.get) == "the task's"


async def test_one_that_is_not_waited_for_any_more_ends_by_itself():
    may_end, ended = threading.Event(), threading.Event()

    def call():
        may_end.wait(10)
        ended.set()

    waiting = asyncio.create_task(in_thread(call))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    may_end.set()
    assert await asyncio.to_thread(ended.wait, 10)


async def test_so_many_at_once_and_no_more(monkeypatch):
    monkeypatch.setattr(step_publishing, "MOST_AT_ONCE", 2)
    running, most, may_end = [], [], threading.Event()

    def call():
        running.append(1)
        most.append(len(running))
        may_end.wait(10)
        running.pop()

    waiting = [asyncio.create_task(in_thread(call)) for _ in range(5)]
    await asyncio.sleep(0)
    may_end.set()
    await asyncio.gather(*waiting)
    assert max(most) <= 2
