"""What is kept of a message that anybody may have written."""

from __future__ import annotations

import tracemalloc
import uuid
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from airflow_provider_langgraph.kafka.topic_reader import TopicReader, addressed
from airflow_provider_langgraph.task_log import progress_thread
from airflow_provider_langgraph.task_log.progress_thread import ProgressThread
from airflow_provider_langgraph.waiting.result_cache import ResultCache

KEY = str(uuid.UUID(int=7)).encode()


def message(headers, value=b"{}", partition=0, offset=0):
    return SimpleNamespace(
        topic=lambda: "results",
        headers=lambda: headers,
        value=lambda: value,
        partition=lambda: partition,
        offset=lambda: offset,
        timestamp=lambda: (1, 1_700_000_000_000),
    )


def test_two_headers_are_kept_and_no_others():
    kept = addressed(
        message([("event-type", b"x"), ("correlation-id", KEY), ("traceparent", b"t"), ("schema-version", b"1.0")])
    )
    assert kept == (KEY, (("correlation-id", KEY), ("schema-version", b"1.0")))


def test_the_last_of_a_name_counts():
    other = str(uuid.UUID(int=8)).encode()
    assert addressed(message([("correlation-id", other), ("correlation-id", KEY)])) == (KEY, (("correlation-id", KEY),))
    assert addressed(message([("correlation-id", KEY), ("correlation-id", None)])) is None


@pytest.mark.parametrize("key", [KEY + b"0", b"x" * 10**6, KEY[:-1] + b"\xff\xff", None])
def test_what_is_longer_than_an_id_is_none_and_is_never_cut_to_one(key):
    assert addressed(message([("correlation-id", key)])) is None


def test_a_long_schema_version_counts_as_missing():
    assert addressed(message([("correlation-id", KEY), ("schema-version", b"1" * 37)])) == (
        KEY,
        (("correlation-id", KEY),),
    )


BOMB = [(f"h{number}", b"") for number in range(100_000)]


def test_headers_do_not_fill_the_memory_of_results():
    seen = ResultCache()
    tracemalloc.start()
    for number in range(20):
        key = str(uuid.UUID(int=number)).encode()
        pair = addressed(message([*BOMB, ("correlation-id", key)]))
        seen.add(pair[0], 0, number, b"{}", pair[1])
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(seen) == 20
    assert kept < 100_000


class Client:
    """Stands for the consumer: makes the messages as they are polled."""

    def __init__(self, count, headers=list, value=b"{}"):
        self.polled = 0
        self._count = count
        self._headers = headers
        self._value = value

    def poll(self, seconds):
        del seconds
        if self.polled == self._count:
            return None
        self.polled += 1
        found = message(self._headers(), self._value, offset=self.polled - 1)
        found.error = lambda: None
        return found


@pytest.fixture
def reading():
    """Makes a reader of a client's messages."""
    readers = []

    def read(client):
        reader = TopicReader({"bootstrap.servers": "localhost:1", "log_level": 0}, "results")
        readers.append((reader, reader._consumer))
        reader._consumer = client
        return reader

    yield read
    for reader, consumer in readers:
        reader._consumer = consumer
        reader.close()


def test_one_record_is_held_at_a_time_however_many_headers_each_has(reading):
    def bomb():
        return [*((f"{number}", b"") for number in range(10_000)), ("correlation-id", KEY)]

    one = 10_000 * 150  # bytes, about
    reader = reading(Client(50, bomb))
    tracemalloc.start()
    found = [addressed(each) for each in reader.read(0.1)]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found) == 50
    assert peak < 5 * one
    assert reader.next == {0: 50}


def test_bodies_are_read_in_batches_of_a_bounded_size(reading):
    client = Client(5, value=b"x" * 10_000_000)
    reader = reading(client)
    assert [len([*reader.read(0.1)]) for _ in range(3)] == [2, 2, 1]


def test_progress_of_others_is_kept_within_a_bound(monkeypatch):
    monkeypatch.setattr(progress_thread, "MOST_REMEMBERED_BYTES", 50_000)
    thread = ProgressThread({}, "progress", datetime.now(UTC), lambda lines: None)
    thread.covered_since = datetime.min.replace(tzinfo=UTC)
    began = datetime.now(UTC)
    keys = [str(uuid.UUID(int=number)).encode() for number in range(100)]
    for _ in range(2):
        for key in keys:
            thread._wanted([message([("correlation-id", key)], value=b"x" * 4_000)])
    assert 5 < len(thread._latest) < 20
    assert list(thread._latest)[-1] == keys[-1]
    assert thread._latest_bytes == sum(progress_thread._size_of(record) for record, _ in thread._latest.values())
    assert thread.covered_since >= began  # what was forgotten is no longer known
