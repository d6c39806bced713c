"""A results topic that a test can do anything to: in memory, and on Kafka, behind one interface."""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import NewPartitions

from airflow_provider_langgraph.kafka.error_hints import BrokerErrors
from airflow_provider_langgraph.kafka.topic_reader import Reader, TopicReader
from tests.support.kafka import KafkaTopics
from tests.support.undecodable import UNPACKS_LITTLE, write_undecodable

Headers = Sequence[tuple[str, bytes]]
UNDECODABLE = b"undecodable"
"""The body that stands in memory for a record that cannot be decoded."""


@dataclass(frozen=True)
class Ends:
    """What a publisher notes before it asks."""

    cluster: str
    topic_id: str
    offsets: dict[int, int]


class Log(ABC):
    """One topic."""

    @abstractmethod
    def reader(self) -> Reader:
        """A new reader, standing nowhere."""

    @abstractmethod
    def ends(self) -> Ends:
        """The end of every partition now."""

    @abstractmethod
    def write(self, partition: int, value: bytes | None, headers: Headers) -> int:
        """Write a record, and return its offset."""

    @abstractmethod
    def write_undecodable(self, partition: int, count: int) -> None:
        """Write a batch of records that no reader can decode."""

    @abstractmethod
    def retain(self, partition: int, first: int) -> None:
        """Remove what lies before an offset."""

    @abstractmethod
    def grow(self) -> None:
        """Add a partition."""

    @abstractmethod
    def recreate(self) -> None:
        """Delete the topic and create it anew."""


@dataclass
class _Partition:
    first: int = 0
    records: list[MemoryMessage] = field(default_factory=list)

    @property
    def end(self) -> int:
        return self.first + len(self.records)


@dataclass(frozen=True)
class MemoryMessage:
    """What a consumer hands over, as far as a listener looks at it."""

    place: tuple[int, int]
    body: bytes | None
    pairs: Headers

    def topic(self) -> str:
        return "results"

    def partition(self) -> int:
        return self.place[0]

    def offset(self) -> int:
        return self.place[1]

    def value(self) -> bytes | None:
        return self.body

    def headers(self) -> Headers | None:
        return list(self.pairs) or None


class MemoryLog(Log):
    """A topic in memory, and a broker that can be away."""

    def __init__(self, partitions: int = 3) -> None:
        self.count = partitions
        self.id = str(uuid.uuid4())
        self.kept = {number: _Partition() for number in range(partitions)}
        self.is_away = False

    def reader(self) -> Reader:
        return MemoryReader(self)

    def ends(self) -> Ends:
        return Ends("memory", self.id, {number: partition.end for number, partition in self.kept.items()})

    def write(self, partition: int, value: bytes | None, headers: Headers) -> int:
        kept = self.kept[partition]
        offset = kept.end
        kept.records.append(MemoryMessage((partition, offset), value, headers))
        return offset

    def write_undecodable(self, partition: int, count: int) -> None:
        for _ in range(count):
            self.write(partition, UNDECODABLE, [])

    def retain(self, partition: int, first: int) -> None:
        kept = self.kept[partition]
        del kept.records[: max(0, first - kept.first)]
        kept.first = max(kept.first, first)

    def grow(self) -> None:
        self.kept[len(self.kept)] = _Partition()

    def recreate(self) -> None:
        self.id = str(uuid.uuid4())
        self.kept = {number: _Partition() for number in range(self.count)}

    def require(self) -> None:
        if self.is_away:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))


class MemoryReader(Reader):
    """As the consumer of librdkafka behaves: it reads on in a topic that was created anew, and says nothing."""

    BATCH = 4

    def __init__(self, log: MemoryLog) -> None:
        self._log = log
        self.next = {}
        self.cluster = ""
        self.topic_id = ""
        self.errors = BrokerErrors()
        self.refusals = {}
        self.lost = set()
        self._passed: dict[int, int] = {}

    def partitions(self) -> list[int]:
        self._log.require()
        self.cluster, self.topic_id = "memory", self._log.id
        return sorted(self._log.kept)

    def watermarks(self, partition: int) -> tuple[int, int]:
        self._log.require()
        kept = self._log.kept.get(partition)
        if kept is None:
            raise KafkaException(KafkaError(KafkaError._UNKNOWN_PARTITION))
        return kept.first, kept.end

    def stand_at(self, offsets: dict[int, int]) -> None:
        self.next |= offsets
        self.lost -= offsets.keys()

    def forget(self) -> None:
        self.next = {}
        self.lost = set()
        self._passed = {}

    def take_passed(self) -> dict[int, int]:
        passed, self._passed = self._passed, {}
        return passed

    def read(self, seconds: float) -> Iterator[MemoryMessage]:  # type: ignore[override]
        found: list[MemoryMessage] = []
        if self._log.is_away:
            return iter(found)
        for number, offset in self.next.items():
            kept = self._log.kept.get(number)
            if kept is None or number in self.lost:
                continue
            if not kept.first <= offset <= kept.end:
                self.lost.add(number)
                continue
            batch = kept.records[offset - kept.first :][: self.BATCH]
            readable = [*takewhile(lambda record: record.body != UNDECODABLE, batch)]
            undecodable = [*takewhile(lambda record: record.body == UNDECODABLE, batch[len(readable) :])]
            self.next[number] = offset + len(readable) + len(undecodable)
            if undecodable:
                self._passed[number] = self.next[number]
            found += readable
        return iter(found)

    def skip_gaps(self) -> None:
        pass

    def close(self) -> None:
        pass


class KafkaLog(Log):
    """A topic of a real broker."""

    def __init__(self, topics: KafkaTopics, partitions: int = 3) -> None:
        self._topics = topics
        self._count = partitions
        self.name = f"{topics.prefix}-{uuid.uuid4().hex[:8]}"
        topics.create(self.name, partitions=partitions)
        self._readers: list[TopicReader] = []

    def reader(self) -> TopicReader:
        reader = TopicReader({**self._topics.client, **UNPACKS_LITTLE}, self.name)
        self._readers.append(reader)
        return reader

    def ends(self) -> Ends:
        reader = TopicReader(self._topics.client, self.name)
        try:
            offsets = at_the_end(reader)
            return Ends(reader.cluster, reader.topic_id, offsets)
        finally:
            reader.close()

    def write(self, partition: int, value: bytes | None, headers: Headers) -> int:
        return self._topics.produce(self.name, value, headers=headers, partition=partition)[1]

    def write_undecodable(self, partition: int, count: int) -> None:
        write_undecodable(self._topics, self.name, partition, count)

    def retain(self, partition: int, first: int) -> None:
        [future] = self._topics.admin.delete_records([TopicPartition(self.name, partition, first)]).values()
        future.result(15)

    def grow(self) -> None:
        self._count += 1
        self._topics.admin.create_partitions([NewPartitions(self.name, self._count)])[self.name].result(15)
        self._topics.forget_producer()  # which may know the partitions of before only
        self._settle()

    def recreate(self) -> None:
        self._topics.admin.delete_topics([self.name])[self.name].result(15)
        while not self._try_to_create():
            pass
        self._topics.forget_producer()
        self._settle()

    def close(self) -> None:
        for reader in self._readers:
            reader.close()

    def _try_to_create(self) -> bool:
        """A topic that is being deleted is still there for a moment."""
        try:
            self._topics.create(self.name, partitions=self._count)
        except KafkaException as error:
            if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
                return False
            raise
        return True

    def _settle(self) -> None:
        """Until the broker says of itself what its controller knows, and each partition has its leader."""
        while len(self.ends().offsets) != self._count or not self._has_leaders():
            pass

    def _has_leaders(self) -> bool:
        """As the broker tells the client that deletes records."""
        described = self._topics.admin.describe_topics(TopicCollection([self.name]))[self.name].result(15)
        leaders = [partition.leader for partition in described.partitions]
        return len(leaders) == self._count and all(leader is not None and leader.id >= 0 for leader in leaders)


def at_the_end(reader: Reader) -> dict[int, int]:
    """The end of every partition. A broker may be busy for longer than a listener waits for one answer."""
    while True:
        try:
            return {number: reader.watermarks(number)[1] for number in reader.partitions()}
        except KafkaException as error:
            if not isinstance(reader, TopicReader):
                raise AssertionError("nobody can begin while the broker is away") from error
