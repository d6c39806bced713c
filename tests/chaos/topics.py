"""Writing to the fleet's topics without waiting, and reading its results as they come."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition

from tests.support.kafka import QUIET, KafkaTopics
from workflow_events import ResultStatus
from workflow_events.kafka_rules import PARTITIONER

_DELIVERY_MS = 120_000  # longer than any broker is away


class Publisher:
    """A producer of one thread's own. Each record is written once, whatever the broker goes through."""

    def __init__(self, kafka: KafkaTopics) -> None:
        config: dict[str, Any] = {**kafka.client, **QUIET, "enable.idempotence": True, "linger.ms": 2}
        self._producer = Producer({**config, "delivery.timeout.ms": _DELIVERY_MS, "partitioner": PARTITIONER})
        self.failed: list[str] = []

    def send(
        self,
        topic: str,
        value: bytes | None,
        key: bytes,
        headers: Sequence[tuple[str, bytes]],
        on_acknowledged: Callable[[], None] = lambda: None,
    ) -> None:
        def report(error: KafkaError | None, message: Message) -> None:
            if error is None:
                on_acknowledged()
            else:
                self.failed.append(f"{topic}: {error}")

        self._producer.produce(topic, value, key, headers=list(headers), on_delivery=report)

    def poll(self, seconds: float) -> None:
        self._producer.poll(seconds)

    def flush(self) -> None:
        """:raises RuntimeError: not all was acknowledged."""
        left = self._producer.flush(_DELIVERY_MS / 1000)
        if left or self.failed:
            raise RuntimeError(f"{left} records were not written; {self.failed[:3]}")


class Listener:
    """Reads the results topic as it grows: who was answered when, and with how many different records."""

    def __init__(self, kafka: KafkaTopics) -> None:
        config: dict[str, Any] = {**kafka.client, **QUIET, "group.id": f"{kafka.prefix}-listener"}
        self._consumer = Consumer({**config, "enable.auto.commit": False, "fetch.wait.max.ms": 50})
        topic = kafka.fleet.results
        partitions = kafka.admin.list_topics(topic, timeout=15).topics[topic].partitions
        self._consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
        self._thread = threading.Thread(target=self._run, name="listener", daemon=True)
        self._stop = threading.Event()
        self.answered: dict[UUID, float] = {}
        self.different: dict[UUID, set[bytes]] = {}
        self.records: Counter[UUID] = Counter()
        self.results: dict[UUID, bytes] = {}
        """The first answer of each request."""
        self.succeeded = 0
        """Requests whose first answer is a success."""
        self.newest_at = time.monotonic()
        """When the newest answer came."""

    def __enter__(self) -> Listener:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)
        self._consumer.close()

    def answered_ids(self) -> set[UUID]:
        """Whose answer has come. A copy, made in one step of the interpreter: the reader goes on meanwhile."""
        return set(self.answered)

    def _run(self) -> None:
        while not self._stop.is_set():
            message = self._consumer.poll(0.2)
            if message is None or message.error() is not None:
                continue
            request_id = UUID(bytes(message.key() or b"").decode())
            if request_id not in self.results:
                self.newest_at = time.monotonic()
                self.results[request_id] = message.value() or b""
                self.succeeded += json.loads(self.results[request_id])["status"] == ResultStatus.SUCCESS
            self.answered.setdefault(request_id, time.time())
            self.different.setdefault(request_id, set()).add(fingerprint(message))
            self.records[request_id] += 1


def fingerprint(message: Message) -> bytes:
    """Of key, value and headers."""
    return hashlib.sha256(repr((message.key(), message.value(), message.headers())).encode()).digest()
