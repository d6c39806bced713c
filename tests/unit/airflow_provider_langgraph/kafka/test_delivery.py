"""What is checked of a message before any is sent. With a broker: tests/integration/test_kafka_hook.py."""

from __future__ import annotations

import pytest

from airflow_provider_langgraph.exceptions import SettingsError
from airflow_provider_langgraph.kafka.connection import KafkaConnection
from airflow_provider_langgraph.kafka.delivery import require_fits
from workflow_events import EventSource, EventType, WorkflowEvent


def event(text):
    return WorkflowEvent(
        event_type=EventType.WORKFLOW_TRIGGERED,
        source=EventSource.AIRFLOW,
        workflow_id="d",
        workflow_run_id="r",
        payload={"data": {"text": text}},
    )


def connection(**settings):
    return KafkaConnection("kafka_default", {"bootstrap.servers": "b", **settings}, 30)


def test_the_limit_is_the_connections():
    events = {"agents[0].input_data": event("short"), "agents[1].input_data": event("y" * 5_000)}
    require_fits(events, "e", connection())
    with pytest.raises(
        SettingsError,
        match=r"^agents\[1\]\.input_data: .* over the limit of 2,000 that message\.max\.bytes in the extra",
    ):
        require_fits(events, "e", connection(**{"message.max.bytes": "2000"}))


def test_what_is_no_text_is_named():
    with pytest.raises(SettingsError, match=r"^input: .*'payload\.data\.text' has half of a surrogate pair"):
        require_fits({"input": event("\ud800")}, "e", connection())
