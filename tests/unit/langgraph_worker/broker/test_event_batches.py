"""The consumer around a rebalance: the client serves it between two records of a batch, and while it is closed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from confluent_kafka import TopicPartition

from langgraph_worker.broker.kafka import control, events, look_ahead
from langgraph_worker.broker.kafka.control import ControlReader
from langgraph_worker.broker.kafka.events import EventConsumer
from langgraph_worker.broker.kafka.look_ahead import LookAhead
from langgraph_worker.broker.port import Batch
from tests.support.polling import until
from workflow_events.codec import Record
from workflow_events.headers import Headers


class Message:
    """A record of topic ``t``."""

    def __init__(self, partition: int, offset: int, headers: Headers = ()) -> None:
        self._place = partition, offset
        self._headers = [*headers]

    def error(self) -> None:
        return None

    def topic(self) -> str:
        return "t"

    def partition(self) -> int:
        return self._place[0]

    def offset(self) -> int:
        return self._place[1]

    def value(self) -> bytes:
        return b"x"

    def key(self) -> None:
        return None

    def headers(self) -> Headers:
        return self._headers

    def timestamp(self) -> tuple[int, int]:
        return 1, 1_700_000_000_000


class Client:
    """Stands for ``confluent_kafka.Consumer``: its polls give what the script has, one thing each.

    A rebalance is served inside of a poll, which then goes on to the next record, as the real one's does.
    """

    def __init__(self, script: list[Any]) -> None:
        self.script: deque[Any] = deque(script)
        self.committed: list[dict[int, int]] = []
        self._on: dict[str, Callable[..., None]] = {}
        self._on_commit: Callable[..., None] = lambda *_: None

    def __call__(self, config: dict[str, Any]) -> Client:
        self._on_commit = config["on_commit"]
        return self

    def subscribe(self, topics: list[str], *, on_assign: Any, on_revoke: Any, on_lost: Any) -> None:
        del topics
        self._on = {"assign": on_assign, "revoke": on_revoke, "lose": on_lost}

    def poll(self, seconds: float) -> Message | None:
        del seconds
        while self.script:
            step = self.script.popleft()
            if not isinstance(step, tuple):
                return step
            change, partitions = step
            self._on[change](self, [TopicPartition("t", number) for number in partitions])
        return None

    def commit(self, *, offsets: list[TopicPartition], asynchronous: bool) -> None:
        assert asynchronous
        self.committed.append({one.partition: one.offset for one in offsets})
        self._on_commit(None, offsets)

    def assignment(self) -> list[TopicPartition]:
        return []

    def consumer_group_metadata(self) -> None:
        return None

    def incremental_assign(self, partitions: list[TopicPartition]) -> None:
        pass

    pause = resume = incremental_assign

    def close(self) -> None:
        self._on["revoke"](self, [TopicPartition("t", 0)])


class ClientAhead:
    """Stands for the client that reads ahead. Nothing comes, and it refuses calls once it is closed."""

    def __init__(self, config: dict[str, Any]) -> None:
        del config
        self.is_closed = False

    def assign(self, partitions: list[TopicPartition]) -> None:
        LOOKED.append(partitions)

    def poll(self, seconds: float) -> None:
        del seconds

    def unassign(self) -> None:
        if self.is_closed:
            raise RuntimeError("Consumer closed")

    def close(self) -> None:
        self.is_closed = True


LOOKED: list[list[TopicPartition]] = []
"""What was read ahead."""


@pytest.mark.parametrize("gone", ["revoke", "lose"])
async def test_records_of_an_assignment_that_has_ended_are_committed_by_nobody(monkeypatch, gone):
    """The partition is back before the batch ends. Meanwhile another member may have committed more: that must stay."""
    script = [("assign", [0, 1]), Message(0, 10), Message(1, 5), (gone, [0]), Message(1, 6), ("assign", [0])]
    assert await committed(monkeypatch, [*script, Message(1, 7)], 4) == {1: 8}


async def test_what_is_read_after_the_partition_came_back_is_committed(monkeypatch):
    script = [("assign", [0]), Message(0, 10), ("revoke", [0]), ("assign", [0]), Message(0, 20), Message(0, 21)]
    assert await committed(monkeypatch, script, 3) == {0: 22}


async def test_it_closes_in_order_while_it_reads_ahead(monkeypatch):
    """To close revokes what is assigned, and the client that reads ahead is gone by then."""
    monkeypatch.setattr(events, "Consumer", Client([("assign", [0])]))
    monkeypatch.setattr(look_ahead, "Consumer", ClientAhead)
    monkeypatch.setattr(events, "_PAUSE_AFTER_SECONDS", 0.0)
    LOOKED.clear()
    consumer = EventConsumer({"bootstrap.servers": "x"}, "t", "c", lambda batch: None)
    consumer.look_ahead(True)
    await consumer.start()
    await until(lambda: bool(LOOKED), 5)
    await consumer.close()
    consumer.ended.result()


LARGE: Headers = [("n" * 3_000_000, b"")]


async def test_headers_count_in_the_size_of_a_batch(monkeypatch):
    client = Client([("assign", [0]), *(Message(0, offset, LARGE) for offset in range(7))])
    monkeypatch.setattr(events, "Consumer", client)
    batches: list[Batch] = []
    consumer = EventConsumer({"bootstrap.servers": "x"}, "t", "c", batches.append)
    consumer.allow(100)
    await consumer.start()
    await until(lambda: sum(len(batch.records) for batch in batches) == 7, 5)
    await consumer.close()
    assert [len(batch.records) for batch in batches] == [3, 3, 1]


def test_headers_count_in_the_size_of_what_is_read_ahead(monkeypatch):
    client = ClientAhead({})
    script = deque(Message(0, offset, LARGE) for offset in range(7))
    monkeypatch.setattr(client, "poll", lambda seconds: script.popleft() if script else None)
    monkeypatch.setattr(look_ahead, "Consumer", lambda config: client)
    ahead = LookAhead({}, "t", "c", lambda record: True, lambda error: None)
    assert [len(ahead.read({0: 0})) for _ in range(3)] == [3, 3, 1]


class ClientOfControl(Client):
    """Stands for the client that reads the control topic."""

    def __call__(self, config: dict[str, Any]) -> Client:
        del config
        return self

    def close(self) -> None:
        pass


async def test_headers_count_in_the_size_of_a_batch_of_control_messages(monkeypatch):
    counts: list[int] = []

    async def take(records: Sequence[Record], old: bool) -> None:
        del old
        counts.append(len(records))

    monkeypatch.setattr(control, "Consumer", ClientOfControl([Message(0, offset, LARGE) for offset in range(7)]))
    monkeypatch.setattr(ControlReader, "_start_offsets", lambda self: [])
    reader = ControlReader({"bootstrap.servers": "x"}, "t", "c", timedelta(days=1), take)
    await reader.start()
    await until(lambda: sum(counts) == 7, 5)
    await reader.close()
    assert counts == [3, 3, 1]


async def committed(monkeypatch, script: list[Any], count: int) -> dict[int, int]:
    """Run the script, which gives so many records, and commit all batches: the offsets at the end."""
    client = Client(script)
    monkeypatch.setattr(events, "Consumer", client)
    batches: list[Batch] = []
    consumer = EventConsumer({"bootstrap.servers": "x"}, "t", "c", batches.append)
    consumer.allow(100)
    await consumer.start()
    await until(lambda: sum(len(batch.records) for batch in batches) == count, 5)
    for batch in batches:
        consumer.commit(batch)
    await consumer.close()
    found: dict[int, int] = {}
    for offsets in client.committed:
        found |= offsets
    return found
