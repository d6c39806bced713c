"""What tests of a whole worker need: its process, events, its answers, and graphs that can be held up."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from confluent_kafka import Consumer, Message, TopicPartition

from devtools.broker import Broker
from devtools.processes import wait_until
from devtools.worker import Worker
from tests.support.kafka import QUIET, KafkaTopics
from tests.support.planted_secrets import hunt
from tests.support.preloaded import start_preloaded
from workflow_events import WorkflowResultEvent
from workflow_events.codec import ControlMessage, encode
from workflow_events.control import WorkflowCancelledEvent
from workflow_events.topics import UNCOMPRESSED, consumer_group_of

GRAPHS = Path(__file__).resolve().parent.parent / "graphs"
ODD = GRAPHS / "odd" / "langgraph.json"
SECONDS = 15.0
PLAIN: dict[str, Any] = {
    "event_type": "workflow.triggered",
    "source": "airflow",
    "workflow_id": "example_dag",
    "workflow_run_id": "run_123",
    "payload": {"data": {"task": "process_data"}},
    "metadata": {"environment": "dev", "version": "1.0"},
}


@dataclass
class Gate:
    """Holds a gated graph up, and shows what its nodes did."""

    folder: Path

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)

    @property
    def data(self) -> dict[str, str]:
        """The graph's input."""
        return {"ledger": str(self.folder / "ledger"), "gate": str(self.folder / "gate")}

    def open(self) -> None:
        (self.folder / "gate").touch()

    @property
    def ledger(self) -> list[str]:
        """A line for each node that ran."""
        path = self.folder / "ledger"
        return path.read_text().splitlines() if path.exists() else []

    def wait_for(self, line: str, count: int = 1) -> None:
        wait_until(f"the graph to write {line!r}", lambda: self.ledger.count(line) >= count, timeout=SECONDS)


@dataclass
class Desk:
    """A worker and its fleet.

    :ivar group: its consumer group.
    """

    kafka: KafkaTopics
    worker: Worker
    folder: Path
    _replies: Consumer
    _seen: dict[UUID, list[Message]] = field(default_factory=lambda: defaultdict(list))

    @property
    def group(self) -> str:
        return consumer_group_of(self.kafka.prefix)

    def gate(self) -> Gate:
        return Gate(self.folder / f"gate-{uuid.uuid4().hex[:8]}")

    def send(self, value: bytes | str | None, headers: tuple[tuple[str, bytes], ...] = ()) -> tuple[int, int]:
        """Write anything to the events topic; its partition and offset."""
        return self.kafka.produce(self.kafka.fleet.events, value, headers=headers)

    def ask(self, graph: str | None = None, data: Mapping[str, Any] | None = None, **fields: Any) -> UUID:
        """Publish an event; its correlation id."""
        event = {**PLAIN, "event_id": str(uuid.uuid4()), **fields}
        if graph is not None:
            event["graph"] = graph
        if data is not None:
            event["payload"] = {"data": dict(data)}
        self.send(json.dumps(event))
        return UUID(event["event_id"])

    def steer(self, message: ControlMessage) -> None:
        """Publish on the control topic."""
        self.kafka.produce(self.kafka.fleet.control, encode(message))

    def cancel(self, correlation_id: UUID, reason: str = "") -> None:
        """Publish a cancel."""
        self.steer(WorkflowCancelledEvent(correlation_id=correlation_id, reason=reason))

    def messages(self, correlation_id: UUID, count: int = 1) -> list[Message]:
        """The first ``count`` replies to a request, as they came."""
        end = time.monotonic() + SECONDS
        while len(self._seen[correlation_id]) < count:
            message = self._replies.poll(0.2)
            if message is not None:
                assert message.error() is None
                self._seen[UUID(bytes(message.key()).decode())].append(message)
            elif time.monotonic() > end:
                child = self.worker.child
                raise TimeoutError(f"no reply to {correlation_id}; the worker:\n{child.tail(40) if child else ''}")
        return self._seen[correlation_id]

    def answer(self, correlation_id: UUID) -> WorkflowResultEvent:
        """The reply to a request."""
        return WorkflowResultEvent.model_validate_json(self.messages(correlation_id)[0].value())

    def run(
        self, graph: str | None = None, data: Mapping[str, Any] | None = None, **fields: Any
    ) -> WorkflowResultEvent:
        """Publish an event and wait for its reply."""
        return self.answer(self.ask(graph, data, **fields))

    def command(self, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """``langgraph-worker`` with these words, and with the worker's settings; it ends with this exit code."""
        done = subprocess.run(
            [sys.executable, "-m", "langgraph_worker", *words],
            cwd=self.folder,
            env=self.worker.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == code, done.stderr
        return done

    def logged(self, text: str) -> str:
        """Wait until the worker writes this; the line."""
        child = self.worker.child
        assert child is not None
        found = wait_until(
            f"the worker to log {text!r}",
            lambda: [line for line in child.output().splitlines() if text in line],
            timeout=SECONDS,
            show=[child],
        )
        return found[0]

    def committed(self) -> int:
        """How many records of the events topic count as done, over all partitions."""
        return sum(max(0, offset) for offset in self.kafka.committed(self.group, self.kafka.fleet.events).values())

    def wait_committed(self, count: int) -> None:
        wait_until(f"{count} offsets to be committed", lambda: self.committed() == count, timeout=SECONDS)


def settings(**env: Any) -> dict[str, str]:
    """A worker's settings for tests: quick to renew, quick to give up; others by their short names."""
    base: dict[str, Any] = {
        "lease_seconds": 4,
        "renew_seconds": 0.5,
        "drain_seconds": 5,
        "unknown_graph_grace_seconds": 0.5,
        "default_graph": "echo",
    }
    return {f"LANGGRAPH_WORKER_{name.upper()}": str(value) for name, value in {**base, **env}.items()}


@contextmanager
def desk_of(
    broker: Broker,
    folder: Path,
    manifest: Path = ODD,
    *,
    kafka_config: Mapping[str, str] | None = None,
    variables: Mapping[str, str] | None = None,
    compression: str = UNCOMPRESSED,
    **env: Any,
) -> Iterator[Desk]:
    """A worker with topics of its own, not started yet.

    :param kafka_config: further librdkafka settings.
    :param variables: further environment variables, in full.
    :param compression: ``compression.type`` of the topics.
    :param env: settings of the worker, by their short names.
    """
    prefix = f"w{uuid.uuid4().hex[:10]}"
    kafka = KafkaTopics(broker, prefix)
    kafka.create_fleet(compression)
    further = {name: value for name, value in broker.client.items() if name != "bootstrap.servers"}
    quick = {"session.timeout.ms": "6000", "heartbeat.interval.ms": "500", "topic.metadata.propagation.max.ms": "1000"}
    config = json.dumps({**further, **broker.consumer, **quick, **(kafka_config or {})})
    own = {**settings(create_topics="false", **env), "KAFKA_CONFIG": config, **(variables or {})}
    worker = Worker(broker, manifest, folder, fleet=kafka.prefix, env=own, starts=start_preloaded)
    replies = Consumer(
        {**broker.client, **broker.consumer, **QUIET, "group.id": f"{prefix}-tests", "fetch.wait.max.ms": 10}
    )
    partitions = kafka.admin.list_topics(kafka.fleet.results, timeout=15).topics[kafka.fleet.results].partitions
    replies.assign([TopicPartition(kafka.fleet.results, number, 0) for number in partitions])
    try:
        yield Desk(kafka, worker, folder, replies)
        worker.stop()
        hunt(folder, worker.environment)
    finally:
        worker.stop()
        replies.close()
        kafka.close()


def copy_of_the_plain_project(folder: Path) -> Path:
    """A LangGraph project as its documentation has it, with its ``.env``; its manifest."""
    shutil.copytree(GRAPHS / "plain", folder / "plain")
    (folder / "plain" / ".env").write_text("GREETING=Ahoy\n")
    return folder / "plain" / "langgraph.json"
