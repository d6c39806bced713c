"""The order of the intake: dead letters, then the store, then the offsets; each when the one before is durable."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from langgraph_worker.deadletters import DeadLetterError
from langgraph_worker.errors import StoreError
from langgraph_worker.intake import Intake, Rules
from langgraph_worker.kafka.port import Batch
from langgraph_worker.progress import Progress
from langgraph_worker.store.port import Accepted, Decision, Refusal, Request
from tests.unit.test_worker_intake import PLAIN
from workflow_events.codec import Record

RULES = Rules({"echo"}, "echo", "results", {"results"}, (), 10_000, "w1")


class Log:
    """Stands in for what the intake writes to, and keeps the order."""

    def __init__(self, *, store: list[Exception] | None = None, dead_letter: Exception | None = None) -> None:
        self.store_trouble = store or []
        self.dead_letter_trouble = dead_letter
        self.done: list[str] = []
        self.entries: list[Any] = []

    async def accept(self, entries: Any) -> list[Any]:
        await asyncio.sleep(0)
        if self.store_trouble:
            raise self.store_trouble.pop()
        self.entries = list(entries)
        self.done.append("accepted")
        return []

    async def write(self, record: Record, error_type: str, reason: str) -> None:
        await asyncio.sleep(0)
        if self.dead_letter_trouble is not None:
            raise self.dead_letter_trouble
        self.done.append("dead letter")

    def commit(self, batch: Batch) -> None:
        self.done.append("committed")


def record(body: bytes, *headers: tuple[str, bytes]) -> Record:
    return Record("events", 0, 1, body, list(headers), timestamp_ms=1_700_000_000_000, cluster="c")


async def take(log: Log, *records: Record) -> None:
    intake = Intake(RULES, log, log, Progress(), log.commit, lambda count: None)
    intake.offer(Batch(records, {0: 1}))
    intake.stop()
    await intake.run()


async def test_offsets_are_committed_when_the_store_has_the_batch():
    log = Log()
    await take(log, record(json.dumps(PLAIN).encode()))
    assert log.done == ["accepted", "committed"]
    assert isinstance(log.entries[0], Request)


async def test_others_get_their_turn_between_the_events_of_a_batch():
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(others())
    await take(Log(), *[record(json.dumps(PLAIN).encode())] * 50)
    beside.cancel()
    assert turns >= 50


async def test_a_store_that_is_away_is_asked_again_before_anything_is_committed():
    log = Log(store=[StoreError("away")])
    await take(log, record(json.dumps(PLAIN).encode()))
    assert log.done == ["accepted", "committed"]


async def test_an_event_from_the_future_is_taken_and_told(caplog):
    class Takes(Log):
        async def accept(self, entries: Any) -> list[Any]:
            return [Accepted(entry.event.event_id, Decision.FRESH) for entry in entries]

    ahead = (datetime.now(UTC) + timedelta(minutes=2)).isoformat()
    log = Takes()
    await take(log, record(json.dumps(PLAIN | {"timestamp": ahead}).encode()))
    assert log.done == ["committed"]
    assert "ahead of this host's" in caplog.text


async def test_a_store_that_fails_for_good_commits_nothing():
    class BrokenError(StoreError):
        retriable = False

    log = Log(store=[BrokenError("broken")])
    with pytest.raises(BrokenError):
        await take(log, record(json.dumps(PLAIN).encode()))
    assert log.done == []


async def test_garbage_is_a_dead_letter_before_its_offset_is_committed():
    log = Log()
    await take(log, record(b"garbage"))
    assert log.done == ["dead letter", "committed"]


async def test_a_dead_letter_that_cannot_be_written_commits_nothing():
    log = Log(dead_letter=DeadLetterError("no"))
    with pytest.raises(DeadLetterError):
        await take(log, record(b"garbage"))
    assert log.done == []


async def test_a_refusal_is_stored_beside_its_dead_letter():
    log, correlation = Log(), uuid4()
    await take(log, record(b"garbage", ("correlation-id", str(correlation).encode())))
    assert log.done == ["dead letter", "accepted", "committed"]
    [refusal] = log.entries
    assert isinstance(refusal, Refusal)
    assert refusal.result.correlation_id == correlation
