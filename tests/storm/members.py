"""Members of a group, in this process: the worker's own consumer, before an intake that only remembers."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping
from typing import Any

from langgraph_worker.broker.kafka.events import EventConsumer
from langgraph_worker.broker.port import Batch
from tests.support.kafka import KafkaTopics
from workflow_events.codec import Record

URGENT = b"urgent"
"""The key of a record that must not wait."""
_MOST_ROOM = 12
_SLOWEST_SECONDS = 0.05

Place = tuple[int, int]
"""Partition and offset."""


class Durable:
    """What all members have stored: stands for the run store."""

    def __init__(self) -> None:
        self.places: set[Place] = set()
        self.urgent: set[Place] = set()
        self.ahead = 0
        """Records that were stored before those in front of them were delivered."""
        self.repeats = 0

    def store(self, batch: Batch) -> None:
        for record in batch.records:
            place = record.partition, record.offset
            if batch.is_ahead:
                assert record.key == URGENT, f"{place} was delivered ahead"
                self.ahead += place not in self.places | self.urgent
                self.urgent.add(place)
            else:
                self.repeats += place in self.places
                self.places.add(place)


class Member:
    """One member. It stores what it gets, slowly, has room or none, and commits what it has stored."""

    def __init__(self, kafka: KafkaTopics, config: Mapping[str, Any], durable: Durable, rng: random.Random) -> None:
        self.consumer = EventConsumer(config, kafka.fleet.events, "c", self._take, is_urgent)
        self.gaps: list[str] = []
        self._durable = durable
        self._rng = rng
        self._batches: asyncio.Queue[Batch | None] = asyncio.Queue()
        self._taken = 0
        self._last: dict[tuple[int, int], int] = {}
        self._work: asyncio.Task[None] | None = None
        self.joining: asyncio.Task[None] | None = None
        """Set by the storm: the call of :meth:`join`, which may still be under way."""
        self.is_calm = False

    async def join(self) -> None:
        self._work = asyncio.create_task(self._store())
        self.consumer.look_ahead(True)
        self._allow()
        await self.consumer.start()

    async def leave(self) -> None:
        """As a worker that stops: take in nothing more, store what is here, commit, leave."""
        self.consumer.look_ahead(False)
        self.consumer.allow(0)
        self._batches.put_nowait(None)
        assert self._work is not None
        await self._work
        await self.consumer.close()
        self.consumer.ended.result()

    def freeze(self, seconds: float) -> None:
        """Its thread does not poll for so long."""
        self.consumer._commands.put(lambda: time.sleep(seconds))

    def calm_down(self) -> None:
        """Have room from now on."""
        self.is_calm = True
        self._allow()

    def _take(self, batch: Batch) -> None:
        if not batch.is_ahead:
            for record in batch.records:
                self._look_for_gaps(record, batch.epochs.get(record.partition))
        self._batches.put_nowait(batch)

    def _look_for_gaps(self, record: Record, epoch: int | None) -> None:
        if epoch is None:
            return
        before = self._last.get((record.partition, epoch))
        if before is not None and record.offset != before + 1:
            self.gaps.append(f"partition {record.partition}, epoch {epoch}: {record.offset} after {before}")
        self._last[record.partition, epoch] = record.offset

    async def _store(self) -> None:
        while (batch := await self._batches.get()) is not None:
            if not self.is_calm:
                await asyncio.sleep(self._rng.uniform(0, _SLOWEST_SECONDS) * len(batch.records))
            self._durable.store(batch)
            self.consumer.commit(batch)
            self._taken += 0 if batch.is_ahead else len(batch.records)
            self._allow()
            if not self.is_calm and self._rng.random() < 0.2:  # full for a while: the consumer pauses
                self.consumer.allow(self._taken)
                await asyncio.sleep(self._rng.uniform(0, 3))
                self._allow()

    def _allow(self) -> None:
        self.consumer.allow(self._taken + (10_000 if self.is_calm else self._rng.randint(1, _MOST_ROOM)))


def is_urgent(record: Record) -> bool:
    return record.key == URGENT
