"""Events through a real Kafka and a real worker process, and what must have become of each."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

from confluent_kafka import KafkaError, Message, Producer

from devtools.broker import Broker
from langgraph_worker.broker.kafka.records import to_record
from langgraph_worker.domain.faults import UNDECODABLE
from langgraph_worker.intake.screening import Rejected, ScreeningRules, screen
from langgraph_worker.publishing.dead_letters import PREFIX
from tests.fuzz import raw_producer
from tests.fuzz.judge import judge
from tests.fuzz.memory_growth import Memory
from tests.fuzz.mutator import Mutator, Sample
from tests.fuzz.topic_reader import Reader, digest
from tests.fuzz.valid_events import MODEL
from tests.fuzz.wrong import Wrong, require
from tests.support.kafka import QUIET
from tests.support.undecodable import write_undecodable
from tests.support.worker import Desk, desk_of
from workflow_events.codec import Record
from workflow_events.headers import value_of
from workflow_events.results import ResultStatus, WorkflowResultEvent

STALLED_SECONDS = 60.0
"""Seconds without any progress after which what is missing counts as lost."""

_FITS_BYTES = 1_048_000
_FITS_RAW_BYTES = 900_000
_BOMBS_A_WAVE = 3
_BOMB = "bomb"
_CODECS = ("zstd", "zstd", "gzip")
_UNPACKS_LITTLE: Mapping[str, Any] = {"fetch.max.bytes": 2_000_000, "receive.message.max.bytes": 2_000_512}
"""The settings of readers that unpack no bomb, and any record that a topic takes."""

_LONGEST_DEAD_REASON = 2_000


@dataclass
class _Expected:
    """What one written record is to become."""

    sample: Sample
    reason: str | None
    fault: str | None
    waits: UUID | None


@dataclass
class _Answers:
    """What came for one correlation id.

    :ivar forms: digests of the different messages.
    """

    count: int = 0
    status: str = ""
    forms: set[bytes] = field(default_factory=set)


class Through:
    """One worker on topics of its own.

    :ivar mutator: makes what is written.
    :ivar memory: the worker process's, when it has done all that it was given.
    :ivar busy: the same while it works.
    """

    def __init__(self, desk: Desk, broker: Broker, seed: int) -> None:
        self._desk = desk
        self._broker = broker
        fleet = self._fleet = desk.kafka.fleet
        self.mutator = Mutator(seed, fleet.results)
        self._rules = _rules(fleet.results)
        self._producer = Producer({**broker.client, **QUIET, "message.max.bytes": _FITS_BYTES, "linger.ms": 5})
        self._cluster = desk.kafka.admin.list_topics(timeout=15).cluster_id or ""
        topics = (fleet.events, fleet.results, fleet.dead_letters, fleet.control)
        parts = self._parts = {name: len(desk.kafka.committed(desk.group, name)) for name in topics}
        self._sent = Reader(broker, f"{desk.group}-sent", {fleet.events: parts[fleet.events]})
        self._came = Reader(
            broker, f"{desk.group}-came", {name: parts[name] for name in (fleet.results, fleet.dead_letters)}
        )
        self._numbers: dict[tuple[int, int], Sample] = {}
        self._expected: dict[tuple[int, int], _Expected] = {}
        self._answers: dict[UUID, _Answers] = defaultdict(_Answers)
        self._letters: dict[tuple[int, int], tuple[str, str, bytes]] = {}
        self._bodies: dict[tuple[int, int], bytes] = {}
        self._undecodable: set[tuple[int, int]] = set()
        self._passed: set[tuple[int, int]] = set()
        self.not_sent = 0
        child = desk.worker.child
        assert child is not None
        self.memory, self.busy = Memory(child.pid), Memory(child.pid)

    # ---- one wave ----

    def wave(self, first: int, count: int, steering: int) -> None:
        """Write events and control messages; returns when all that is owed for them has come.

        :raises Wrong: something has not come, or is not as it must be.
        """
        rng = Random(f"{self.mutator.seed} bombs {first}")
        step = -(-count // _BOMBS_A_WAVE)
        for start in range(first, first + count, step):
            numbers = range(start, min(start + step, first + count))
            self._write([self.mutator.event(number) for number in numbers], self._fleet.events)
            self._bomb(rng)
        write_undecodable(self._desk.kafka, self._fleet.control, 0, rng.randrange(1, 4))
        self._write(
            [self.mutator.steering(number, first) for number in range(first, first + steering)], self._fleet.control
        )
        self._read_back()
        self._await(self._missing, "answers and dead letters")
        self._await(self._uncommitted, "commits")
        self.memory.look()

    def _write(self, samples: Sequence[Sample], topic: str) -> None:
        for sample in samples:
            if sample.is_named_in_text:
                self._produce(sample, topic)
        if self._producer.flush(60) > 0:
            raise Wrong("the broker does not take the events")
        for sample in samples:
            if not sample.is_named_in_text:
                self._write_raw(sample, topic)

    def _produce(self, sample: Sample, topic: str) -> None:
        is_event = topic == self._fleet.events

        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                self.not_sent += is_event
            elif is_event:
                self._numbers[message.partition() or 0, message.offset() or 0] = sample

        try:
            self._producer.produce(topic, sample.value, sample.key, headers=list(sample.headers), on_delivery=delivered)
        except Exception as error:
            if "SIZE_TOO_LARGE" not in str(error):
                raise
            self.not_sent += is_event
        self._producer.poll(0)

    def _write_raw(self, sample: Sample, topic: str) -> None:
        """Write a record whose headers' names are no text. It is the only one that is written meanwhile."""
        partition = sample.number % self._parts[topic]
        headers = [(name.encode("utf-8", "surrogateescape"), value or b"") for name, value in sample.headers]
        size = len(sample.value or b"") + sum(len(name) + len(value) for name, value in headers)
        if size > _FITS_RAW_BYTES or raw_producer.library() is None:
            self.not_sent += topic == self._fleet.events
            return
        if topic == self._fleet.events:
            self._numbers[partition, self._sent.end(topic, partition)] = sample
        raw_producer.write(self._broker, topic, sample.value or b"", headers, partition)

    def _bomb(self, rng: Random) -> None:
        """Write a batch of events that is small on its way and grows when it is read."""
        partition, records, codec = (
            rng.randrange(self._parts[self._fleet.events]),
            rng.randrange(1, 4),
            rng.choice(_CODECS),
        )
        first, last = write_undecodable(self._desk.kafka, self._fleet.events, partition, records, codec)
        places = {(partition, offset) for offset in range(first, last + 1)}
        if codec == "zstd":
            self._undecodable |= places
        else:
            bomb = Sample(0, None, None, (), None, (_BOMB, codec), None)
            self._numbers |= dict.fromkeys(places, bomb)

    def _read_back(self) -> None:
        """What was written, as the worker gets it, and what that is to become."""
        while len(self._expected) < len(self._numbers):
            for message in self._sent.read():
                record = to_record(message, self._desk.kafka.fleet.events, self._cluster)
                place = (record.partition, record.offset)
                if place in self._undecodable:
                    continue
                self._expected[place] = self._due(self._numbers[place], record)
                self._bodies[place] = digest(record.value)

    def _due(self, sample: Sample, record: Record) -> _Expected:
        found = screen(record, self._rules)
        try:
            judge(sample, record, found, self._rules)
        except Wrong as error:
            raise Wrong(f"event {sample.number} ({', '.join(sample.recipe)}): {error}") from None
        if isinstance(found, Rejected):
            waits = found.refusal.result.correlation_id if found.refusal else None
            return _Expected(sample, found.reason, found.fault.name, waits)
        return _Expected(sample, None, None, found.event.event_id)

    # ---- what comes ----

    def _await(self, left: Any, what: str) -> None:
        until = time.monotonic() + STALLED_SECONDS
        while owed := left():
            before = len(owed)
            self._take_in()
            self._require_alive()
            if len(left()) < before:
                until = time.monotonic() + STALLED_SECONDS
            elif time.monotonic() > until:
                some = ", ".join(map(str, owed[:10]))
                raise Wrong(f"{len(owed)} {what} do not come, such as {some}; the worker:\n{self._tail()}")

    def _missing(self) -> list[str]:
        owed = []
        for place, due in self._expected.items():
            told = f"event {due.sample.number} ({', '.join(due.sample.recipe)})"
            if due.waits is not None and due.waits not in self._answers:
                owed.append(f"the answer to {told}")
            if due.fault is not None and place not in self._letters:
                owed.append(f"the dead letter of {told}")
        return owed + [
            f"the dead letter of what cannot be decoded at {place}" for place in self._undecodable - self._passed
        ]

    def _uncommitted(self) -> list[str]:
        committed = self._desk.kafka.committed(self._desk.group, self._desk.kafka.fleet.events)
        ends: dict[int, int] = defaultdict(int)
        for part, offset in (*self._numbers, *self._undecodable):
            ends[part] = max(ends[part], offset + 1)
        return [f"partition {part} to {end}" for part, end in ends.items() if committed[part] < end]

    def _take_in(self) -> None:
        for message in self._came.read():
            if message.topic() == self._desk.kafka.fleet.results:
                self._take_answer(message)
            else:
                self._take_letter(message)

    def _take_answer(self, message: Message) -> None:
        result = WorkflowResultEvent.model_validate_json(message.value() or b"")
        answers = self._answers[result.correlation_id]
        answers.count += 1
        answers.status = result.status.value
        answers.forms.add(digest(repr((message.key(), message.value(), message.headers())).encode()))

    def _take_letter(self, message: Message) -> None:
        headers = to_record(message, "", "").headers

        def said(name: str) -> str:
            return value_of(headers, PREFIX + name) or ""

        place = (int(said("partition")), int(said("offset")))
        if said("error-type") == UNDECODABLE.name:
            passed = {(place[0], offset) for offset in range(place[1], int(said("last-offset")) + 1)}
            require(
                passed <= self._undecodable, f"records that can be decoded are passed: {passed - self._undecodable}"
            )
            self._passed |= passed
            return
        omitted = value_of(headers, PREFIX + "body-omitted-bytes") is not None
        body = b"" if omitted else digest(message.value())
        self._letters[place] = (said("error-type"), said("reason"), body)

    # ---- the end ----

    def judge_all(self) -> None:
        """Whether everything that came is as it must be.

        :raises Wrong: says what is not.
        """
        self._take_in()
        waited = {due.waits for due in self._expected.values() if due.waits is not None}
        foreign = self._answers.keys() - waited
        require(not foreign, f"answers to nobody: {list(foreign)[:5]}")
        refused = {place for place, due in self._expected.items() if due.fault is not None}
        require(self._letters.keys() == refused, f"dead letters of what was taken: {self._letters.keys() - refused}")
        for of, answers in self._answers.items():
            require(len(answers.forms) == 1, f"{of} has {len(answers.forms)} different results")
        for place in refused:
            due, (fault, reason, body) = self._expected[place], self._letters[place]
            require((fault, reason) == (due.fault, (due.reason or "")[:_LONGEST_DEAD_REASON]), f"{place}: {reason}")
            require(body in (b"", self._bodies[place]), f"{place}: its dead letter has another body")

    def judge_reader(self, replies: int) -> None:
        """Whether Airflow's reader goes past the same in the results topic, past nothing else, and on to its end."""
        from airflow_provider_langgraph.kafka.topic_reader import TopicReader, addressed

        topic, bombs = self._fleet.results, set()
        for partition in range(self._parts[topic]):
            self._write([self.mutator.reply(number) for number in range(partition, replies, self._parts[topic])], topic)
            first, last = write_undecodable(self._desk.kafka, topic, partition, 1 + partition)
            bombs |= {(partition, offset) for offset in range(first, last + 1)}
        self._write([self.mutator.reply(number) for number in range(replies, 2 * replies)], topic)
        ends = {partition: self._came.end(topic, partition) for partition in range(self._parts[topic])}
        due = {(partition, offset) for partition, end in ends.items() for offset in range(end)} - bombs
        reader = TopicReader({**self._broker.client, **QUIET, **_UNPACKS_LITTLE}, topic)
        try:
            reader.stand_at(dict.fromkeys(ends, 0))
            until = time.monotonic() + STALLED_SECONDS
            while due and time.monotonic() < until:
                for message in reader.read(0.2):
                    addressed(message)
                    due.discard((message.partition() or 0, message.offset() or 0))
                    until = time.monotonic() + STALLED_SECONDS
        finally:
            reader.close()
        require(not due, f"Airflow's reader does not read {len(due)} replies, such as {sorted(due)[:5]}")

    def judge_cancel(self) -> None:
        """Whether the worker can still be steered."""
        gate = self._desk.gate()
        of = self._desk.ask("gated", gate.data)
        gate.wait_for("waiting")
        self._desk.cancel(of, "enough")
        answer = self._desk.answer(of)
        require(answer.status is ResultStatus.CANCELLED, f"a cancelled run ends {answer.status}")

    def figures(self) -> dict[str, Any]:
        """For a person."""
        ended: dict[str, int] = defaultdict(int)
        for answers in self._answers.values():
            ended[answers.status] += 1
        return {
            "written": sum(sample.recipe[0] != _BOMB for sample in self._numbers.values()),
            "too large for the topic": self.not_sent,
            "answers": dict(ended),
            "messages of answers": sum(answers.count for answers in self._answers.values()),
            "dead letters": len(self._letters),
            "records passed": len(self._passed),
            "worker's growth, MiB": round(self.memory.growth, 1),
            "worker's peak, MiB": round(self.busy.peak, 1),
        }

    def close(self) -> None:
        self._sent.close()
        self._came.close()

    def _require_alive(self) -> None:
        child = self._desk.worker.child
        if child is None or child.returncode is not None:
            raise Wrong(f"the worker has ended:\n{self._tail()}")
        self.busy.look()

    def _tail(self) -> str:
        child = self._desk.worker.child
        return child.tail(30)[-4_000:] if child else ""


def _rules(results: str) -> ScreeningRules:
    return ScreeningRules(
        graphs={"echo"},  # its only use is in the text of a fault that needs a worker without a default graph
        default_graph="echo",
        results_topic=results,
        reply_topics={results},
        models={MODEL},
        max_bytes=1_000_000,
        worker_id="",
    )


@contextmanager
def through(broker: Broker, folder: Path, seed: int, **settings: Any) -> Iterator[Through]:
    """A worker that is ready for waves.

    :param settings: further settings of the worker.
    """
    little = {name: str(value) for name, value in _UNPACKS_LITTLE.items()}
    with desk_of(broker, folder, kafka_config=little, compression="producer", allowed_models=MODEL, **settings) as desk:
        desk.worker.launch()
        desk.worker.wait_ready()
        way = Through(desk, broker, seed)
        try:
            yield way
        finally:
            way.close()
