"""A storm of one group: what changes when, and what must be true during it and after it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections import Counter
from typing import Any

import psutil
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import NewPartitions

from langgraph_worker.broker.kafka.client_configs import consumer_config
from langgraph_worker.settings.load import load_settings
from tests.storm.members import URGENT, Durable, Member, Place
from tests.support.kafka import QUIET, KafkaTopics
from tests.support.polling import until
from workflow_events.topics import consumer_group_of

MOST_MEMBERS = 5
_CALM_SECONDS = 40.0
_CHANGES = ("join", "leave", "freeze", "grow")
_WEIGHTS = (40, 40, 15, 5)
_MOST_PARTITIONS = 8
_POOL_THREADS = 6  # that asyncio may start for what blocks; a consumer that is left over has more

PROTOCOLS: dict[str, dict[str, Any]] = {
    "classic": {"session.timeout.ms": 2000, "heartbeat.interval.ms": 300, "max.poll.interval.ms": 2000},
    "consumer": {"group.protocol": "consumer", "max.poll.interval.ms": 2000},
}
_FROZEN_SECONDS = 3.0
"""Longer than a member may go without a poll."""


class GroupStorm:
    """:param protocol: of the group, see :data:`PROTOCOLS`."""

    def __init__(self, kafka: KafkaTopics, protocol: str, seed: int) -> None:
        self._kafka = kafka
        self._topic = kafka.fleet.events
        self._group = consumer_group_of(kafka.prefix)
        self._rng = random.Random(f"storm-{seed}")
        self._config = self._make_config(PROTOCOLS[protocol])
        self._producer = Producer({**kafka.client, **QUIET, "linger.ms": 1})
        self._members: list[Member] = []
        self._partitions = 3
        self._written: set[Place] = set()
        self.durable = Durable()
        self.changes: Counter[str] = Counter()
        self.violations: list[str] = []

    def _make_config(self, quick: dict[str, Any]) -> dict[str, Any]:
        further = {name: value for name, value in self._kafka.client.items() if name != "bootstrap.servers"}
        settings = load_settings(
            {
                "kafka_bootstrap_servers": self._kafka.client["bootstrap.servers"],
                "kafka_consumer_group_id": self._group,
                "kafka_config": json.dumps(
                    {**further, **self._kafka.broker.consumer, "topic.metadata.refresh.interval.ms": 1000, **quick}
                ),
            }
        )
        return consumer_config(settings)

    async def run(self, seconds: float) -> None:
        """The storm, then the calm; :attr:`violations` are what went wrong."""
        loop = asyncio.get_running_loop()
        threads = psutil.Process().num_threads()
        await self._join()
        end = loop.time() + seconds
        writing = asyncio.create_task(self._write(end))
        checking = asyncio.create_task(self._check(end))
        while loop.time() < end:
            await self._change()
            await asyncio.sleep(self._rng.uniform(0.1, 0.8))
        await asyncio.gather(writing, checking)
        await self._calm()
        await asyncio.gather(*(member.leave() for member in self._members))
        self._check_end(threads)

    # ---- what changes ----

    async def _change(self) -> None:
        [change] = self._rng.choices(_CHANGES, _WEIGHTS)
        if change == "join" and len(self._members) < MOST_MEMBERS:
            await self._join()
        elif change == "leave" and self._members:
            await self._leave(self._rng.choice(self._members))
        elif change == "freeze" and self._members:
            self._rng.choice(self._members).freeze(_FROZEN_SECONDS)
        elif change == "grow" and self._partitions < _MOST_PARTITIONS:
            await asyncio.to_thread(self._grow)
        else:
            return
        self.changes[change] += 1

    async def _join(self) -> None:
        member = Member(self._kafka, self._config, self.durable, self._rng)
        self._members.append(member)
        joining = asyncio.create_task(member.join())
        await asyncio.wait({joining}, timeout=self._rng.uniform(0, 2))  # some leave while they join
        member.joining = joining

    async def _leave(self, member: Member) -> None:
        self._members.remove(member)
        await member.leave()
        if member.joining is not None:
            await member.joining
        self.violations += member.gaps

    def _grow(self) -> None:
        self._partitions += 1
        [future] = self._kafka.admin.create_partitions([NewPartitions(self._topic, self._partitions)]).values()
        future.result(15)

    async def _write(self, end: float) -> None:
        loop = asyncio.get_running_loop()
        while loop.time() < end:
            partition = self._rng.randrange(self._partitions)
            key = URGENT if self._rng.random() < 0.1 else b"plain"
            with contextlib.suppress(KafkaException):  # the client may not have heard of a new partition yet
                self._producer.produce(self._topic, b"x" * 200, key, partition, on_delivery=self._wrote)
            self._producer.poll(0)
            await asyncio.sleep(self._rng.uniform(0, 0.02))
        await asyncio.to_thread(self._producer.flush, 30)

    def _wrote(self, error: Any, message: Any) -> None:
        if error is None:
            self._written.add((message.partition(), message.offset()))

    # ---- what must be true ----

    async def _check(self, end: float) -> None:
        loop = asyncio.get_running_loop()
        while loop.time() < end:
            committed = await asyncio.to_thread(self._kafka.committed, self._group, self._topic)
            self._check_commits(committed)
            await asyncio.sleep(0.3)

    def _check_commits(self, committed: dict[int, int]) -> None:
        for number, offset in committed.items():
            missing = [at for at in range(max(0, offset)) if (number, at) not in self.durable.places]
            if missing:
                self.violations.append(
                    f"partition {number} is committed up to {offset}, but {missing[:5]} is not stored"
                )

    async def _calm(self) -> None:
        if not self._members:
            await self._join()
        for member in self._members:
            member.calm_down()

        async def is_read() -> bool:
            return not await asyncio.to_thread(self._lag)

        try:
            await until(is_read, _CALM_SECONDS)
        except TimeoutError:
            self.violations.append(f"lag by partition, after {_CALM_SECONDS:g} s of calm: {self._lag()}")

    def _lag(self) -> dict[int, int]:
        committed = self._kafka.committed(self._group, self._topic)
        ends = Counter(number for number, _ in self._written)
        return {
            number: count - max(0, committed[number]) for number, count in ends.items() if committed[number] != count
        }

    def _check_end(self, threads: int) -> None:
        for member in self._members:
            self.violations += member.gaps
        if missing := self._written - self.durable.places:
            self.violations.append(f"{len(missing)} records were never delivered, such as {sorted(missing)[:5]}")
        left = psutil.Process().num_threads() - threads
        if left > _POOL_THREADS:
            self.violations.append(f"{left} threads are left")

    def summary(self) -> str:
        """One line of figures."""
        durable = self.durable
        return (
            f"{len(self._written)} records, {durable.repeats} delivered again, {durable.ahead} ahead of others; "
            f"{dict(self.changes)}, {self._partitions} partitions"
        )
