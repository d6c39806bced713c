"""Topics, and the groups that read them."""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from langgraph_worker.broker.port import SendError
from langgraph_worker.testing.memory_broker.group import Group
from workflow_events.codec import Record

if TYPE_CHECKING:
    from langgraph_worker.testing.memory_broker.control import MemoryControl
    from langgraph_worker.testing.memory_broker.events import MemoryEvents
    from langgraph_worker.testing.memory_broker.producer import MemoryProducer

Headers = Sequence[tuple[str, bytes | str | None]]


@dataclass
class Topic:
    """A topic: its records, by partition."""

    partitions: list[list[Record]]
    max_message_bytes: int
    turn: int = 0

    def place(self, key: bytes | None) -> int:
        """The partition of a record that names none: by its key, or without a key each partition in turn."""
        if key is not None:
            return zlib.crc32(key) % len(self.partitions)
        self.turn += 1
        return self.turn % len(self.partitions)


class MemoryBroker:
    """Topics, and the groups that read them.

    :param max_message_bytes: of key, value and headers, for topics that are created without a limit of their own.
    :ivar readers: the readers that belong to no group.
    """

    def __init__(self, cluster: str = "memory", max_message_bytes: int = 1_048_588) -> None:
        self.cluster = cluster
        self._max_message_bytes = max_message_bytes
        self._topics: dict[str, Topic] = {}
        self._groups: dict[tuple[str, str], Group] = {}
        self._producers: list[MemoryProducer] = []
        self.readers: list[MemoryControl] = []
        self._here = asyncio.Event()
        self._here.set()

    def create(self, topic: str, partitions: int = 3, max_message_bytes: int | None = None) -> None:
        """Create a topic, empty."""
        self._topics[topic] = Topic([[] for _ in range(partitions)], max_message_bytes or self._max_message_bytes)

    def write(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        headers: Headers = (),
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> Record:
        """Append one record, whether the broker is away or not.

        :param partition: None chooses by the key, or without a key each partition in turn.
        :raises SendError: the topic is missing, or takes no record of this size.
        """
        if topic not in self._topics:
            raise SendError(f"topic {topic}: the topic does not exist. Create it", retriable=False)
        found = self._topics[topic]
        pairs = [(name, text.encode() if isinstance(text, str) else text) for name, text in headers]
        size = len(key or b"") + len(value or b"") + sum(len(name.encode()) + len(text or b"") for name, text in pairs)
        if size > found.max_message_bytes:
            reason = f"topic {topic}: {size:,} bytes are over its max.message.bytes of {found.max_message_bytes:,}"
            raise SendError(reason, retriable=False, too_large=True)
        number = found.place(key) if partition is None else partition
        log = found.partitions[number]
        stamp = time.time_ns() // 1_000_000 if timestamp_ms is None else timestamp_ms
        record = Record(topic, number, len(log), value, pairs or None, key, stamp, self.cluster)
        log.append(record)
        self._wake(topic)
        return record

    def partitions(self, topic: str) -> Sequence[Sequence[Record]]:
        """A topic's partitions. They grow with each write."""
        return self._topics[topic].partitions

    def records(self, topic: str) -> list[Record]:
        """All of a topic, partition after partition."""
        return [record for log in self._topics[topic].partitions for record in log]

    def committed(self, group: str, topic: str) -> dict[int, int]:
        """The group's committed offset of each partition that has one."""
        return dict(self.group(group, topic).committed)

    def group(self, name: str, topic: str) -> Group:
        """A group's view of one topic; a new one at the first call."""
        return self._groups.setdefault((name, topic), Group(self, self._topics[topic].partitions))

    # ---- trouble ----

    @property
    def away(self) -> bool:
        """Whether the broker does not answer now."""
        return not self._here.is_set()

    def go_away(self) -> None:
        """Stop answering until :meth:`come_back`: nothing is acknowledged, delivered or committed, no group changes."""
        self._here.clear()

    def come_back(self) -> None:
        """Answer again; every client repeats what is not done."""
        self._here.set()
        for producer in self._producers:
            producer.wake()
        for group in self._groups.values():
            group.settle()
            group.wake()
        for reader in self.readers:
            reader.wake()

    async def reachable(self) -> None:
        """Wait until the broker is not away."""
        await self._here.wait()

    def expire_sessions(self) -> None:
        """Remove the dead members: their partitions go to the others."""
        for group in self._groups.values():
            group.remove([member for member in group.members if member.dead])

    def throw_out(self, member: MemoryEvents) -> None:
        """Remove a live member as if it were dead: its partitions go to the others, and it joins again."""
        member.group.remove([member])
        member.group.add(member)

    # ---- the clients' side ----

    def connect(self, producer: MemoryProducer) -> None:
        """Add a producer, to be woken when the broker comes back."""
        self._producers.append(producer)

    def disconnect(self, producer: MemoryProducer) -> None:
        """Remove a producer."""
        self._producers.remove(producer)

    def _wake(self, topic: str) -> None:
        for (_, read), group in self._groups.items():
            if read == topic:
                group.wake()
        for reader in self.readers:
            reader.wake()
