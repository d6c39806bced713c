"""Sensors that look for the replies of handles, with a real Kafka."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import TopicPartition

from airflow_provider_langgraph.exceptions import RunCancelled
from airflow_provider_langgraph.operators.cancel import LangGraphCancelOperator
from airflow_provider_langgraph.requests.handle import RequestHandle
from airflow_provider_langgraph.sensors.langgraph import LangGraphResultSensor
from airflow_provider_langgraph.waiting.blocking_wait import BlockingWait
from workflow_events.codec import Record, decode_control

pytestmark = pytest.mark.integration

CONTEXT: Any = {"ti": SimpleNamespace(dag_id="d", run_id="r", task_id="wait", map_index=-1)}


def sensor(handle: RequestHandle, **fields: Any) -> LangGraphResultSensor:
    return LangGraphResultSensor(**{"task_id": "wait", "handle": handle.to_dict(), "deferrable": False} | fields)


def controls(kafka, count):
    """The first messages of the control topic."""
    return [
        decode_control(Record(kafka.fleet.control, 0, message.offset(), message.value(), message.headers()))
        for message in kafka.read(kafka.fleet.control, count)
    ]


def test_two_sensors_on_one_handle_get_its_reply_and_so_does_a_retry(exchange):
    handle = exchange.ask()
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(sensor(handle).execute, CONTEXT) for _ in range(2)]
        exchange.answer(handle)
        found = [future.result(60) for future in waiting]
    assert found == [{"for": str(handle.correlation_id)}] * 2
    assert sensor(handle).execute(CONTEXT) == found[0]


def test_a_reply_that_came_before_a_deadline_long_past_is_found(exchange):
    handle = exchange.ask()
    exchange.answer(handle)
    old = handle.to_dict() | {"deadline": (datetime.now(UTC) - timedelta(days=3)).isoformat()}
    assert sensor(RequestHandle.from_dict(old)).execute(CONTEXT) == {"for": str(handle.correlation_id)}


def test_a_reply_that_retention_removed_is_asked_for_again(exchange, kafka):
    handle, other = exchange.ask(), exchange.ask()
    exchange.answer(handle)
    ends = {number: exchange.ask().start_offsets[number] for number in handle.start_offsets}
    removed = [TopicPartition(exchange.topic, number, offset) for number, offset in ends.items() if offset]
    for future in kafka.admin.delete_records(removed).values():
        future.result(15)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(sensor(handle).execute, CONTEXT)
        [query] = controls(kafka, 1)
        assert query.correlation_ids == [handle.correlation_id]
        exchange.answer(other, handle)  # the workers publish it again
        assert waiting.result(60) == {"for": str(handle.correlation_id)}


@pytest.mark.parametrize("asked", [False, True])
def test_a_kill_in_the_slot_cancels_the_agent_only_where_it_shall(exchange, kafka, monkeypatch, asked):
    killed = sensor(exchange.ask(), cancel_on_kill=asked)
    reply = BlockingWait.reply

    def wait(wait: BlockingWait, log: Any) -> Any:
        threading.Timer(0.5, killed.on_kill).start()
        return reply(wait, log)

    monkeypatch.setattr(BlockingWait, "reply", wait)
    with pytest.raises(RunCancelled):
        killed.execute(CONTEXT)
    assert len(kafka.read_all(kafka.fleet.control)) == asked


def test_a_cancel_is_on_the_control_topic_when_the_operator_returns(exchange, kafka):
    handle = exchange.ask()
    stop = LangGraphCancelOperator(task_id="stop", handle=handle.to_dict(), reason="too late")
    assert stop.execute(CONTEXT) == str(handle.correlation_id)
    [cancel] = controls(kafka, 1)
    assert (cancel.correlation_id, cancel.reason) == (handle.correlation_id, "too late")
