"""The environment of the contract on a real Kafka."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Message, Producer

from devtools.broker import ChildBroker
from devtools.processes import Child
from langgraph_worker.broker.kafka.client_configs import consumer_config, control_config, producer_config
from langgraph_worker.broker.kafka.control import ControlReader
from langgraph_worker.broker.kafka.events import EventConsumer
from langgraph_worker.broker.kafka.producer import AckProducer
from langgraph_worker.broker.port import Batch
from langgraph_worker.settings.load import load_settings
from tests.contract.broker.world import CLUSTER, SHORT, Headers, OnRecords, World, is_urgent
from tests.support.kafka import QUIET, KafkaTopics
from tests.support.polling import until
from workflow_events.codec import Record

ROOT = Path(__file__).resolve().parents[3]
_QUICK = {"session.timeout.ms": 6000, "heartbeat.interval.ms": 300, "topic.metadata.propagation.max.ms": 500}
_READ_AND_WAIT = """
import asyncio, json, os, sys
from langgraph_worker.broker.kafka.events import EventConsumer

async def read(config, topic, count):
    done = asyncio.Event()
    found = []
    def take(batch):
        found.extend(batch.records)
        if len(found) >= count:
            done.set()
    consumer = EventConsumer(config, topic, "c", take)
    consumer.allow(count)
    await consumer.start()
    await done.wait()
    print("has read", flush=True)
    await consumer.ended

asyncio.run(read(json.loads(os.environ["READER_CONFIG"]), sys.argv[1], int(sys.argv[2])))
"""


class KafkaWorld(World):
    """Topics and a group of one test.

    :param folder: for the log of a process that is killed.
    :param config: more settings of librdkafka, for those who read.
    """

    def __init__(self, kafka: KafkaTopics, folder: Path, config: Mapping[str, Any] | None = None) -> None:
        self._config = dict(config or {})
        self._kafka = kafka
        self._folder = folder
        self._group = f"{kafka.prefix}-group"
        self._writer = Producer({**kafka.client, **QUIET, "linger.ms": 0})
        self.events, self.replies = f"{kafka.prefix}-events", f"{kafka.prefix}-replies"
        kafka.create(self.events)
        kafka.create(self.replies, partitions=1, config={"max.message.bytes": "2000"})

    @property
    def kind(self) -> str:
        """The kind of broker."""
        return self._kafka.broker.kind

    def _settings(self, **more: Any) -> Any:
        further = {name: value for name, value in self._kafka.client.items() if name != "bootstrap.servers"}
        return load_settings(
            {
                "kafka_bootstrap_servers": self._kafka.client["bootstrap.servers"],
                "kafka_consumer_group_id": self._group,
                "kafka_config": json.dumps(
                    {**further, **self._kafka.broker.consumer, **_QUICK, **self._config, **more}
                ),
            }
        )

    def write(
        self,
        value: bytes | None,
        *,
        key: bytes | None = None,
        headers: Headers = (),
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> None:
        reports: list[object] = []
        where = {} if partition is None else {"partition": partition}
        when = {} if timestamp_ms is None else {"timestamp": timestamp_ms}
        self._writer.produce(
            self.events,
            value,
            key,
            headers=list(headers),
            on_delivery=lambda error, _: reports.append(error),
            **where,
            **when,
        )
        self._writer.flush(15)
        assert reports == [None]

    def read(self, topic: str) -> list[Record]:
        found = [_record(message) for message in self._kafka.read_all(topic)]
        return sorted(found, key=lambda record: (record.partition, record.offset))

    def committed(self) -> dict[int, int]:
        found = self._kafka.committed(self._group, self.events)
        return {number: offset for number, offset in found.items() if offset >= 0}

    def member(self, on_batch: Callable[[Batch], None], topic: str | None = None) -> EventConsumer:
        config = consumer_config(self._settings())
        return EventConsumer(config, topic or self.events, CLUSTER, on_batch, is_urgent)

    def control(self, on_records: OnRecords, since: timedelta) -> ControlReader:
        return ControlReader(control_config(self._settings()), self.events, CLUSTER, since, on_records)

    def producer(self, *, impatient: bool = False) -> AckProducer:
        more = {"delivery.timeout.ms": int(SHORT * 1000)} if impatient else {}
        return AckProducer(producer_config(self._settings(**more)))

    async def die_after_reading(self, count: int) -> None:
        config = {name: value for name, value in consumer_config(self._settings()).items() if name != "logger"}
        command = [sys.executable, "-c", _READ_AND_WAIT, self.events, str(count)]
        env = {**os.environ, "READER_CONFIG": json.dumps(config)}  # which may hold a password
        child = Child("reader", command, log=self._folder / "reader.log", env=env, cwd=ROOT)
        try:
            await until(lambda: "has read" in child.output(), 15)
        finally:
            child.kill()

    @asynccontextmanager
    async def away(self) -> AsyncIterator[None]:
        broker = self._kafka.broker
        if not isinstance(broker, ChildBroker) or broker.child is None:
            pytest.skip(f"{broker.description} cannot be suspended")
        broker.suspend()
        try:
            yield
        finally:
            await asyncio.to_thread(broker.resume)


def _record(message: Message) -> Record:
    _, timestamp = message.timestamp()
    place = (message.topic(), message.partition(), message.offset())
    return Record(*place, message.value(), message.headers(), message.key(), timestamp, CLUSTER)
