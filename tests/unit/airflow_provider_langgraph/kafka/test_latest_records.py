"""A compacted topic is read whole, or it is an error that says why not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError as Reported
from confluent_kafka import KafkaException

from airflow_provider_langgraph.exceptions import KafkaError
from airflow_provider_langgraph.kafka import latest_records as module
from airflow_provider_langgraph.kafka.connection import KafkaConnection
from airflow_provider_langgraph.kafka.error_hints import BrokerErrors
from airflow_provider_langgraph.kafka.latest_records import latest_records

UNKNOWN = KafkaException(Reported(Reported.UNKNOWN_TOPIC_OR_PART))
AWAY = KafkaException(Reported(Reported._TRANSPORT))


class Topic:
    """A reader of these records, one partition for each list.

    :ivar failures: what the next questions about the topic raise.
    :ivar stands_at: the end of what can be read; the rest never comes.
    """

    cluster = "c"

    def __init__(self, *partitions: list[tuple[bytes | None, bytes | None]]) -> None:
        self._partitions = partitions
        self.next: dict[int, int] = {}
        self.errors = BrokerErrors()
        self.refusals: dict[int, Reported] = {}
        self.lost: set[int] = set()
        self.failures: list[Exception] = []
        self.stands_at: int | None = None
        self.gap = 0
        self.is_closed = False

    def partitions(self) -> list[int]:
        if self.failures:
            raise self.failures.pop(0)
        return list(range(len(self._partitions)))

    def watermarks(self, partition: int) -> tuple[int, int]:
        return 0, len(self._partitions[partition]) + self.gap

    def stand_at(self, offsets: dict[int, int]) -> None:
        self.next |= offsets

    def read(self, seconds: float) -> Iterator[Any]:
        for partition, records in enumerate(self._partitions):
            for offset in range(self.next[partition], len(records) if self.stands_at is None else self.stands_at):
                self.next[partition] = offset + 1
                key, value = records[offset]
                yield message(partition, offset, key, value)

    def skip_gaps(self) -> None:
        for partition, records in enumerate(self._partitions):
            if self.next[partition] == len(records):
                self.next[partition] += self.gap

    def close(self) -> None:
        self.is_closed = True


def message(partition: int, offset: int, key: bytes | None, value: bytes | None) -> Any:
    return SimpleNamespace(
        topic=lambda: "graphs",
        partition=lambda: partition,
        offset=lambda: offset,
        key=lambda: key,
        value=lambda: value,
        headers=lambda: [("event-type", b"x")],
    )


def read(topic: Topic, seconds: float = 5.0) -> dict[bytes, bytes | None]:
    make: Callable[..., Any] = lambda settings, name: topic  # noqa: E731
    found = latest_records(KafkaConnection("mine", {}, seconds), "graphs", make)
    return {key: record.value for key, record in found.items()}


def test_the_last_record_of_each_key_counts():
    first = [(b"a", b"1"), (b"b", b"1"), (b"a", b"2"), (b"b", None), (None, b"no key")]
    assert read(Topic(first, [(b"c", b"3")])) == {b"a": b"2", b"c": b"3"}


def test_an_empty_topic_and_one_that_ends_with_a_gap_are_read_to_their_end():
    assert read(Topic([])) == {}
    gap = Topic([(b"a", b"1")])
    gap.gap = 3
    assert read(gap) == {b"a": b"1"}


def test_a_broker_that_is_away_for_a_moment_is_asked_again(monkeypatch):
    monkeypatch.setattr(module, "_PAUSE_SECONDS", 0)
    topic = Topic([(b"a", b"1")])
    topic.failures = [AWAY, AWAY]
    assert read(topic) == {b"a": b"1"}


@pytest.mark.parametrize(
    ("failure", "seconds", "says"),
    [
        (UNKNOWN, 5.0, "cannot read graphs: UNKNOWN_TOPIC_OR_PART"),
        (KafkaException(Reported(Reported.TOPIC_AUTHORIZATION_FAILED)), 5.0, "TOPIC_AUTHORIZATION_FAILED: .*grant it"),
        (AWAY, 0.0, "cannot read graphs: _TRANSPORT"),
    ],
)
def test_a_topic_that_cannot_be_read_is_an_error_at_once(failure, seconds, says):
    topic = Topic([])
    topic.failures = [failure]
    with pytest.raises(KafkaError, match=f"Kafka connection 'mine': .*{says}"):
        read(topic, seconds)
    assert topic.is_closed


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"stands_at": 1}, "its end was not reached within 0.1 s"),
        ({"stands_at": 1, "lost": {0}}, "the topic's retention removed records meanwhile"),
        (
            {"stands_at": 1, "refusals": {0: Reported(Reported.TOPIC_AUTHORIZATION_FAILED)}},
            "TOPIC_AUTHORIZATION_FAILED",
        ),
    ],
)
def test_half_of_a_topic_is_an_error(change, says):
    topic = Topic([(b"a", b"1"), (b"b", b"1")])
    for name, value in change.items():
        setattr(topic, name, value)
    with pytest.raises(KafkaError, match=f"cannot read all of graphs: .*{says}"):
        read(topic, 0.1)


def test_more_than_a_catalogue_holds_is_not_kept(monkeypatch):
    monkeypatch.setattr(module, "MOST_BYTES", 3_000)
    long = Topic([(str(number).encode(), b"x" * 1_000) for number in range(4)])
    long.gap = 1
    monkeypatch.setattr(long, "skip_gaps", lambda: None)
    with pytest.raises(KafkaError, match="it holds more than 3,000 bytes"):
        read(long)
    assert read(Topic([(b"same", b"x" * 1_000)] * 9)) == {b"same": b"x" * 1_000}


def test_settings_that_the_client_does_not_take_are_an_error_of_ours():
    with pytest.raises(KafkaError, match="cannot read graphs: _INVALID_ARG"):
        latest_records(KafkaConnection("mine", {"bootstrap.servers": "b:1", "security.protocol": "no"}, 1.0), "graphs")
