"""What a test does with the broker: topics of its own, records in and out."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from devtools.broker import Broker
from tests.support.planted_secrets import hunt_topics
from workflow_events import Fleet
from workflow_events.codec import Encoded
from workflow_events.topics import COMPRESSION, UNCOMPRESSED

PARTITIONS = 3

QUIET: dict[str, str | int | float | bool] = {"log_level": 0}
"""For clients of the tests' own: that the broker goes away before them, at the end or on purpose, is no news."""


class KafkaTopics:
    """The topics of one test: those of a fleet whose name no other test has.

    :ivar prefix: the fleet's name; also for names of the test's own: groups, threads.
    :ivar fleet: the names of the fleet's topics, which have three partitions each (control: one).
    :ivar client: librdkafka settings that every client needs.
    """

    def __init__(self, broker: Broker, prefix: str) -> None:
        self.broker = broker
        self.prefix = prefix
        self.fleet = Fleet.named(prefix)
        self.client = broker.client
        self.admin = AdminClient({**self.client, **QUIET})
        self._producer: Producer | None = None
        self._created: set[str] = set()

    def create(self, *names: str, partitions: int = PARTITIONS, config: Mapping[str, str] | None = None) -> None:
        """Create topics and wait until the broker says that they are there."""
        new = [NewTopic(name, partitions, -1, config=dict(config or {})) for name in names]
        for name, future in self.admin.create_topics(new).items():
            try:
                future.result(15)
            except TimeoutError as error:
                child = getattr(self.broker, "child", None)
                wrote = f" The end of its log:\n{child.tail()}" if child else ""
                raise TimeoutError(f"the broker has not created {name} within 15 s.{wrote}") from error
            self._created.add(name)
            while self._is_unknown(name):
                pass

    def _is_unknown(self, name: str) -> bool:
        """Whether the broker has not heard of it yet from its controller, which has."""
        try:
            self.admin.describe_topics(TopicCollection([name]), request_timeout=15)[name].result(15)
        except KafkaException as error:
            if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                return True
            raise
        return False

    def create_fleet(self, compression: str = UNCOMPRESSED) -> None:
        """Create every topic of the fleet."""
        control = self.fleet.control
        sizes = {COMPRESSION: compression}
        self.create(*(spec.name for spec in self.fleet.specs() if spec.name != control), config=sizes)
        self.create(control, partitions=1, config=sizes)

    def produce(
        self,
        topic: str,
        value: Encoded | bytes | str | None,
        *,
        key: bytes | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
        partition: int | None = None,
    ) -> tuple[int, int]:
        """Write one record and wait for its acknowledgement.

        :param value: the bytes, or an encoded message, which brings its own key and headers.
        :returns: its partition and offset.
        """
        if isinstance(value, Encoded):
            value, key, headers = value.value, key or value.key, headers or value.headers
        if self._producer is None:
            self._producer = Producer({**self.client, **QUIET, "linger.ms": 0, "message.timeout.ms": 15_000})
        reports: list[tuple[KafkaError | None, Message]] = []
        where = {} if partition is None else {"partition": partition}
        self._producer.produce(
            topic, value, key, headers=list(headers), on_delivery=lambda *report: reports.append(report), **where
        )
        self._producer.flush(16)
        [(error, message)] = reports
        if error is not None:
            raise KafkaException(error)
        return message.partition(), message.offset()

    def forget_producer(self) -> None:
        """Let the next record be written by a producer that knows nothing of topics as they were."""
        self._producer = None

    def read(self, topic: str, count: int, *, timeout: float = 15.0) -> list[Message]:
        """The first ``count`` records of a topic, oldest first within a partition; waits until there are so many.

        :raises TimeoutError: says how many there were.
        """
        messages = self._consume(topic, timeout, lambda found, _: len(found) >= count)
        if len(messages) < count:
            raise TimeoutError(f"{topic} has {len(messages)} record(s) after {timeout} s, not {count}")
        return messages

    def read_all(self, topic: str, *, timeout: float = 15.0) -> list[Message]:
        """All that is in a topic now."""
        return self._consume(topic, timeout, lambda _, ended: ended)

    def committed(self, group: str, topic: str) -> dict[int, int]:
        """The group's committed offset of each partition; -1001 where there is none."""
        request = [TopicPartition(topic, number) for number in self._partitions(topic)]
        with Consumer({**self.client, **QUIET, "group.id": group}) as consumer:
            return {part.partition: part.offset for part in consumer.committed(request, timeout=15)}

    def lag(self, group: str, topic: str) -> int:
        """How many records of a topic the group has not committed."""
        with Consumer({**self.client, **QUIET, "group.id": group}) as consumer:
            ends = {
                number: consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=15)[1]
                for number in self._partitions(topic)
            }
        committed = self.committed(group, topic)
        return sum(max(0, end - max(0, committed[number])) for number, end in ends.items())

    def close(self) -> None:
        """Look for planted secrets in the topics, and remove them.

        A broker that keeps those of a whole run needs minutes to get on after it stood still.
        """
        hunt_topics(self.broker, self.fleet)
        if self._created:
            for future in self.admin.delete_topics(list(self._created)).values():
                error = future.exception(15)
                if error is not None and error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise error

    def _partitions(self, topic: str) -> list[int]:
        return sorted(self.admin.list_topics(topic, timeout=15).topics[topic].partitions)

    def _consume(self, topic: str, timeout: float, enough: Any) -> list[Message]:
        config = {**self.client, **QUIET, "group.id": f"{self.prefix}-reader", "enable.auto.commit": False}
        consumer = Consumer({**config, "enable.partition.eof": True})
        found: list[Message] = []
        open_partitions = set(self._partitions(topic))
        try:
            consumer.assign([TopicPartition(topic, number, 0) for number in open_partitions])
            deadline = time.monotonic() + timeout
            while not enough(found, not open_partitions) and time.monotonic() < deadline:
                message = consumer.poll(0.2)
                if message is None:
                    continue
                error = message.error()
                if error is None:
                    found.append(message)
                elif error.code() == KafkaError._PARTITION_EOF:
                    open_partitions.discard(message.partition())
                else:
                    raise KafkaException(error)
        finally:
            consumer.close()
        return found
