"""The time before a deferral: a task looks for its reply in its slot, and its trigger goes on where that look ends."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import TaskDeferred

from airflow_provider_langgraph.exceptions import RunCancelled, WaitError
from airflow_provider_langgraph.operators.langgraph import LangGraphTriggerOperator
from airflow_provider_langgraph.waiting.blocking_wait import BlockingWait
from airflow_provider_langgraph.waiting.consumer_thread import ConsumerThread
from airflow_provider_langgraph.waiting.shared_consumer import SharedConsumer
from tests.support.kafka import KafkaTopics
from tests.support.reply_routing import ReplyExchange
from tests.support.ti_ids import new_ti_id
from workflow_events.identity import correlation_id

pytestmark = pytest.mark.integration

LONG = 30.0
"""Seconds that no test waits for."""


class Task:
    """One try of a task, its request and its agent, which answers when the test says so.

    :param defer_after: in seconds.
    """

    def __init__(
        self, kafka: KafkaTopics, exchange: ReplyExchange, monkeypatch: pytest.MonkeyPatch, defer_after: float
    ) -> None:
        self.kafka, self.exchange, self._monkeypatch = kafka, exchange, monkeypatch
        ti = SimpleNamespace(
            id=new_ti_id(),
            dag_id="d",
            run_id="r",
            task_id="agent",
            map_index=-1,
            try_number=1,
            max_tries=0,
            start_date=datetime.now(UTC),
        )
        self.request = correlation_id(ti.id)
        self.context: Any = {"ti": ti, "dag_run": SimpleNamespace(start_date=datetime.now(UTC))}
        self.operator = LangGraphTriggerOperator(task_id="agent", fleet=kafka.prefix, defer_after=defer_after)

    def execute(self) -> Any:
        return self.operator.execute(self.context)

    def meanwhile(self, act: Callable[[], Any]) -> None:
        """Do this while the task waits for its reply in its slot."""
        reply_within = BlockingWait.reply_within

        def wait(wait: BlockingWait, seconds: float, log: Any) -> Any:
            threading.Timer(0.5, act).start()
            return reply_within(wait, seconds, log)

        self._monkeypatch.setattr(BlockingWait, "reply_within", wait)

    def answer(self, **fields) -> None:
        self.exchange.answer(self.exchange.ask(self.request), **fields)

    def count(self, topic: str) -> int:
        """Records of this request."""
        name = str(self.request)
        return sum(
            name in (message["event_id"] if "event_id" in message else message["correlation_id"])
            for message in (json.loads(one.value()) for one in self.kafka.read_all(topic))
        )


@pytest.fixture
def task(kafka, exchange, monkeypatch):
    monkeypatch.setenv("AIRFLOW__LANGGRAPH__DEPLOYMENT", "test-airflow")

    def make(defer_after):
        return Task(kafka, exchange, monkeypatch, defer_after)

    return make


def resume(task: Task, deferred: TaskDeferred) -> Any:
    """What the task returns once its trigger has fired."""

    async def fire() -> Any:
        deferred.trigger.not_before = ""
        return (await anext(deferred.trigger.run())).payload

    return task.operator.execute_complete(task.context, asyncio.run(fire()))


def test_an_agent_that_answers_soon_needs_no_deferral(task):
    soon = task(LONG)
    soon.meanwhile(soon.answer)
    assert soon.execute() == {"for": str(soon.request)}
    assert soon.count(soon.kafka.fleet.events) == 1


def test_a_reply_between_the_slot_and_the_trigger_is_not_lost(task):
    late = task(1.0)
    with pytest.raises(TaskDeferred) as deferred:
        late.execute()
    late.answer()
    assert resume(late, deferred.value) == {"for": str(late.request)}
    assert late.count(late.kafka.fleet.events) == 1
    assert late.count(late.kafka.fleet.control) == 0


def test_a_reply_that_came_as_the_slot_was_left_is_not_lost(task, monkeypatch):
    """The slot's look has the reply in its hands and drops it: its time is over."""
    late = task(2.0)
    late.meanwhile(late.answer)
    with monkeypatch.context() as deaf:
        deaf.setattr(SharedConsumer, "_settle", lambda *_: None)
        with pytest.raises(TaskDeferred) as deferred:
            late.execute()
    assert resume(late, deferred.value) == {"for": str(late.request)}


def test_a_kill_in_the_slot_cancels_the_agent(task):
    killed = task(LONG)
    killed.meanwhile(killed.operator.on_kill)
    with pytest.raises(RunCancelled):
        killed.execute()
    assert killed.count(killed.kafka.fleet.control) == 1


def test_a_kill_between_the_halves_cancels_the_agent(task):
    killed = task(0.5)
    killed.context["ti"].get_task_states = lambda *_, **__: {"r": {"agent": "failed"}}
    with pytest.raises(RunCancelled, match="killed before it waited"):
        killed.execute()
    assert killed.count(killed.kafka.fleet.control) == 1


def test_a_reply_that_cannot_be_read_ends_the_task_in_its_slot(task):
    broken = task(LONG)
    broken.meanwhile(lambda: broken.answer(value=b"{"))
    with pytest.raises(WaitError, match="cannot be read"):
        broken.execute()
    assert broken.count(broken.kafka.fleet.control) == 1


def test_results_that_cannot_be_read_in_the_slot_are_left_to_the_trigger(task, monkeypatch):
    late = task(LONG)
    with monkeypatch.context() as refused:
        refused.setattr(ConsumerThread, "_stand_at_end", lambda self, _: self._give_up("no right to read"))
        with pytest.raises(TaskDeferred) as deferred:
            late.execute()
    late.answer()
    assert resume(late, deferred.value) == {"for": str(late.request)}
    assert late.count(late.kafka.fleet.control) == 0
