"""Requests and replies on one results topic, in place of operators and workers."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from confluent_kafka import Producer

from airflow_provider_langgraph.hooks.kafka import KafkaHook
from airflow_provider_langgraph.requests.handle import RequestHandle
from airflow_provider_langgraph.waiting.reply_wait import wait_for_reply
from airflow_provider_langgraph.waiting.shared_consumer import shared_consumer
from tests.support.kafka import QUIET
from workflow_events import WorkflowResultEvent
from workflow_events.codec import decode_result, encode
from workflow_events.kafka_rules import PARTITIONER


async def wait_for_result(handle, log):
    return decode_result(await wait_for_reply(handle, log))


class ReplyExchange:
    """Publishes requests and their replies on one results topic."""

    def __init__(self, kafka):
        self.fleet = kafka.fleet
        self.topic = kafka.fleet.results
        self.settings = KafkaHook().settings()
        self._client = kafka.client | QUIET | {"partitioner": PARTITIONER, "linger.ms": 0}
        self._producer = Producer(self._client)

    def ask(self, correlation_id=None, *, seconds=15, **fields):
        ends = KafkaHook().end_offsets(self.topic)
        return RequestHandle(
            **{
                "correlation_id": correlation_id or uuid4(),
                "workflow_id": "d",
                "workflow_run_id": "r",
                "kafka_config_id": "kafka_default",
                "events_topic": "unused",
                "results_topic": self.topic,
                "cluster": ends.cluster,
                "results_topic_id": ends.topic_id,
                "control_topic": self.fleet.control,
                "progress_topic": self.fleet.progress,
                "asked_at": datetime.now(UTC),
                "start_offsets": ends.offsets,
                "deadline": datetime.now(UTC) + timedelta(seconds=seconds),
            }
            | fields
        )

    def connect(self, monkeypatch, settings):
        """Give the Airflow connection these settings."""
        extra = json.dumps({"conn_type": "kafka", "extra": settings})
        monkeypatch.setenv("AIRFLOW_CONN_KAFKA_DEFAULT", extra)

    def allow(self, size):
        """Write and read messages of so many bytes."""
        self._client |= {"message.max.bytes": size}
        self._producer = Producer(self._client)

    def encoded(self, handle, result=None):
        """The reply to a request."""
        return encode(
            WorkflowResultEvent(
                correlation_id=handle.correlation_id,
                workflow_id="d",
                workflow_run_id="r",
                status="success",
                result=result or {"for": str(handle.correlation_id)},
            )
        )

    def answer(self, *handles, result=None, value=None, headers=None, partition=None):
        if partition is not None:
            self._producer = Producer(self._client)  # knows no partitions yet, so it asks for all there are now
            while partition not in self._producer.list_topics(self.topic, timeout=10).topics[self.topic].partitions:
                pass
        for handle in handles:
            message = self.encoded(handle, result)
            place = {} if partition is None else {"partition": partition}
            self._producer.produce(
                self.topic,
                value=message.value if value is None else value,
                key=message.key,
                headers=message.headers if headers is None else headers,
                **place,
            )
        assert self._producer.flush(10) == 0

    @asynccontextmanager
    async def listening(self):
        """The shared consumer, already at the topic's end: a reply to a request of its own has come."""
        async with shared_consumer(self.settings, self.topic) as consumer:
            first = self.ask()
            reply = consumer.wait(first)
            self.answer(first)
            await reply
            yield consumer


def is_answered(record, handle):
    return decode_result(record).result == {"for": str(handle.correlation_id)}
