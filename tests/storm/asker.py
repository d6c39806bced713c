"""Runs that ask a person, and a person who answers each question at once."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from uuid import UUID, uuid4

from confluent_kafka import Consumer, TopicPartition

from tests.chaos.request_checks import Violation
from tests.chaos.topics import Publisher
from tests.support.kafka import QUIET, KafkaTopics
from workflow_events import EventSource, EventType, ResultStatus, WorkflowEvent, WorkflowResultEvent
from workflow_events.codec import encode
from workflow_events.models import Answer, WorkflowEventPayload

GRAPH = "asking"
_NODES = ["fetch", "trade"]
_RULE = "a question is answered once, and its run ends"


class Asker(threading.Thread):
    """:param per_second: how many runs begin."""

    def __init__(self, kafka: KafkaTopics, seed: int, per_second: float = 2.0) -> None:
        super().__init__(name="asker", daemon=True)
        self._kafka = kafka
        self._rng = random.Random(f"asker-{seed}")
        self._per_second = per_second
        self._publisher = Publisher(kafka)
        self._enough, self._abandoned = threading.Event(), threading.Event()
        self._asked: set[UUID] = set()
        self._answer_of: dict[UUID, UUID] = {}
        self._results: dict[UUID, WorkflowResultEvent] = {}

    @property
    def ids(self) -> set[UUID]:
        """All requests of this thread, answers included."""
        return self._asked | set(self._answer_of.values())

    def finish(self, timeout: float) -> None:
        """Ask no more, and wait until all is answered and over."""
        self._enough.set()
        self.join(timeout)
        self._abandoned.set()
        self.join()

    def run(self) -> None:
        config = {**self._kafka.client, **QUIET, "group.id": f"{self._kafka.prefix}-asker", "enable.auto.commit": False}
        consumer, topic = Consumer({**config, "fetch.wait.max.ms": 50}), self._kafka.fleet.results
        partitions = self._kafka.admin.list_topics(topic, timeout=15).topics[topic].partitions
        consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
        next_at = time.monotonic()
        while not self._abandoned.is_set() and not (self._enough.is_set() and self._is_over()):
            if not self._enough.is_set() and time.monotonic() >= next_at:
                next_at += 1 / self._per_second
                self._ask()
            message = consumer.poll(0.05)
            if message is not None and message.error() is None:
                self._take(UUID(bytes(message.key() or b"").decode()), message.value() or b"")
            self._publisher.poll(0)
        self._publisher.flush()
        consumer.close()

    def _is_over(self) -> bool:
        return self.ids <= self._results.keys()

    def _ask(self) -> None:
        event = self._event(EventType.WORKFLOW_TRIGGERED, {"delays": [self._rng.randint(20, 300) for _ in _NODES]})
        self._asked.add(event.event_id)
        self._publish(event)

    def _take(self, request_id: UUID, body: bytes) -> None:
        if request_id not in self.ids or request_id in self._results:
            return
        result = self._results[request_id] = WorkflowResultEvent.model_validate_json(body)
        if request_id in self._asked and result.status is ResultStatus.INTERRUPTED:
            said = Answer(interrupt_id=result.interrupts[0].id, value=f"yes to {request_id}", answered_by="ann")
            event = self._event(EventType.WORKFLOW_RESUMED, {}, round=1, answers=[said])
            self._answer_of[request_id] = event.event_id
            for _ in range(self._rng.choice([1, 1, 2])):  # some arrive twice
                self._publish(event)

    def _publish(self, event: WorkflowEvent) -> None:
        sent = encode(event)
        self._publisher.send(self._kafka.fleet.events, sent.value, sent.key, sent.headers)

    @staticmethod
    def _event(kind: EventType, data: dict[str, object], **fields: object) -> WorkflowEvent:
        return WorkflowEvent(
            event_id=uuid4(),
            event_type=kind,
            source=EventSource.AIRFLOW,
            workflow_id="storm",
            workflow_run_id="run",
            payload=WorkflowEventPayload(data=data),
            graph=GRAPH,
            **fields,
        )

    def verdicts(self) -> Iterator[Violation]:
        """What was not answered, or with something else. Read after :meth:`finish`."""
        for asked in self._asked:
            answer = self._answer_of.get(asked)
            if answer is None:
                yield Violation(_RULE, asked, f"it never asked: {self._results.get(asked)}")
                continue
            result = self._results.get(answer)
            if result is None:
                yield Violation(_RULE, answer, "its answer has no result")
            elif result.status is not ResultStatus.SUCCESS or not isinstance(result.result, dict):
                yield Violation(_RULE, answer, f"{result.status}: {result.error}")
            else:
                nodes = [entry.partition(":")[0] for entry in result.result["trail"]]
                if (nodes, result.result["note"]) != (_NODES, f"yes to {asked}"):
                    yield Violation(_RULE, answer, f"{nodes}, {result.result['note']!r}")

    def summary(self) -> str:
        """One line of figures."""
        return f"{len(self._asked)} runs asked, {len(self._answer_of)} answers"
