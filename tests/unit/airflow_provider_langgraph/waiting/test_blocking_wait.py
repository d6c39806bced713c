"""A wait in the task's own process: what it leaves behind when it ends early."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from uuid import uuid4

import pytest

from airflow_provider_langgraph.hooks.kafka import KafkaHook
from airflow_provider_langgraph.requests.cancel import KILLED
from airflow_provider_langgraph.requests.handle import RequestHandle
from airflow_provider_langgraph.requests.kill_signal import KillSignal
from airflow_provider_langgraph.waiting import blocking_wait
from airflow_provider_langgraph.waiting.blocking_wait import BlockingWait, result_within

log = logging.getLogger(__name__)


class Canceller:
    def __init__(self):
        self.cancelled = []

    def cancel(self, request, reason):
        self.cancelled.append((request, reason))


@pytest.fixture
def handle():
    return RequestHandle(uuid4(), "d", "r", "kafka_default", "e", "r", "c", {0: 1}, datetime.now(UTC) + timedelta(1))


def test_a_question_to_airflow_is_not_given_up_midway(monkeypatch, handle):
    """Before Airflow 3.2.2 its answer would be taken for that of the next question: the task's own deferral."""
    answered = []

    async def asettings(hook):
        await asyncio.sleep(0.3)
        answered.append(hook.kafka_config_id)
        raise LookupError

    monkeypatch.setattr(KafkaHook, "asettings", asettings)
    assert BlockingWait(handle).reply_within(0.05, log) is None
    assert answered == ["kafka_default"]


def test_a_connection_that_cannot_be_read_in_the_slot_is_left_to_the_trigger(monkeypatch, handle):
    async def asettings(hook):
        raise LookupError("no such connection")

    monkeypatch.setattr(KafkaHook, "asettings", asettings)
    canceller = Canceller()
    assert result_within(handle, 30.0, KillSignal(), canceller, log) is None
    assert canceller.cancelled == []


def test_no_time_in_the_slot_asks_nothing(monkeypatch, handle):
    monkeypatch.setattr(blocking_wait, "BlockingWait", None)
    assert result_within(handle, 0.0, KillSignal(), Canceller(), log) is None


@pytest.mark.parametrize("wait", ["wait_for_result", "result_within"])
def test_ctrl_c_ends_the_agent(monkeypatch, handle, wait):
    def stop(*_):
        raise KeyboardInterrupt

    stopped = SimpleNamespace(reply=stop, reply_within=stop, kill=lambda: None)
    monkeypatch.setattr(blocking_wait, "BlockingWait", lambda _: stopped)
    canceller = Canceller()
    seconds = (5.0,) if wait == "result_within" else ()
    with pytest.raises(KeyboardInterrupt):
        getattr(blocking_wait, wait)(handle, *seconds, KillSignal(), canceller, log)
    assert canceller.cancelled == [(handle.correlation_id, KILLED)]
