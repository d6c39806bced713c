"""A worker that is killed where a test says, its successor, and what both have done."""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4

from confluent_kafka import Consumer, Message, TopicPartition
from sqlalchemy import Executable, Table, create_engine, select, update

from devtools.broker import Broker
from devtools.errors import NotReadyError
from devtools.processes import Child, wait_until
from devtools.worker import READY
from langgraph_worker.store.migrations.schema import step_executions, threads, workflow_runs
from tests.support.crashing import put
from tests.support.kafka import QUIET, KafkaTopics
from tests.support.run_store import driver_url
from tests.support.worker import PLAIN, SECONDS, Desk, desk_of
from workflow_events import WorkflowResultEvent
from workflow_events.headers import value_of

ROOT = Path(__file__).resolve().parent.parent.parent
GRAPHS = ROOT / "tests" / "graphs" / "counted" / "langgraph.json"
_SOON = 0.02  # seconds between two looks
_START_SECONDS = 60.0  # it imports LangGraph beside the other tests' processes

_T = TypeVar("_T")
Place = tuple[int, int]
"""Partition and offset of a record."""


@dataclass(frozen=True)
class Case:
    """What a request gives its graph, and what the graph's nodes did."""

    folder: Path

    @property
    def data(self) -> dict[str, str]:
        """The graph's input."""
        return {"case": self.folder.name, "ledger": str(self.folder.parent / "ledger")}

    @property
    def gated(self) -> dict[str, str]:
        """The same; node ``two`` waits for the gate."""
        return {**self.data, "gate": str(self.folder / "gate")}

    def open_gate(self) -> None:
        (self.folder / "gate").touch()

    @property
    def nodes(self) -> list[str]:
        """The nodes that began, in order."""
        ledger = self.folder.parent / "ledger"
        lines = ledger.read_text().splitlines() if ledger.exists() else []
        return [node for case, node in map(str.split, lines) if case == self.folder.name]


class Topic:
    """All that was ever written to a topic."""

    def __init__(self, kafka: KafkaTopics, name: str) -> None:
        config = {**kafka.client, **QUIET, "group.id": f"{name}-reader", "fetch.wait.max.ms": 10}
        self._consumer = Consumer(config)
        self._name = name
        self._next = dict.fromkeys(self._consumer.list_topics(name, timeout=SECONDS).topics[name].partitions, 0)
        self._messages: list[Message] = []
        self._consumer.assign([TopicPartition(name, number, 0) for number in self._next])

    def ends(self) -> dict[int, int]:
        """By partition, the offset that its next record gets."""
        parts = {number: TopicPartition(self._name, number) for number in self._next}
        return {
            number: self._consumer.get_watermark_offsets(part, timeout=SECONDS)[1] for number, part in parts.items()
        }

    def read(self) -> list[Message]:
        """Everything until now."""
        ends = self.ends()
        while any(self._next[number] < end for number, end in ends.items()):
            message = self._consumer.poll(SECONDS)
            assert message is not None
            assert message.error() is None
            self._messages.append(message)
            self._next[message.partition()] = message.offset() + 1
        return self._messages

    def close(self) -> None:
        self._consumer.close()


class ForkedWorker:
    """A process of :mod:`tests.support.crashing`."""

    def __init__(self, folder: Path, number: int) -> None:
        self._files = folder / str(number)
        self._file("start").touch()

    def _file(self, kind: str) -> Path:
        return self._files.with_suffix(f".{kind}")

    @property
    def status(self) -> int | None:
        """Exit status, negative for the signal that ended it, None while it runs."""
        ended = self._file("ended")
        return int(ended.read_text()) if ended.exists() else None

    def signal(self, number: signal.Signals) -> None:
        os.kill(int(self._file("pid").read_text()), number)

    def output(self) -> str:
        log = self._file("log")
        return log.read_text() if log.exists() else ""


class CrashBench:
    """One store and one fleet, with one worker at a time.

    :ivar is_sound: False while a case is under way or has failed: what is left of it would disturb the next.
    """

    def __init__(self, desk: Desk, store_url: str) -> None:
        self.is_sound = True
        self._desk = desk
        self._folder = desk.folder
        self._engine = create_engine(driver_url(store_url))
        self._shared = self._engine.dialect.name != "sqlite"
        self._events = Topic(desk.kafka, desk.kafka.fleet.events)
        self._results = Topic(desk.kafka, desk.kafka.fleet.results)
        self._letters = Topic(desk.kafka, desk.kafka.fleet.dead_letters)
        command = [sys.executable, "-m", "tests.support.crashing", str(desk.folder), "run"]
        environment = {**desk.worker.environment, "PYTHONPATH": str(ROOT)}
        self._workers = Child("workers", command, log=desk.folder / "all.log", env=environment, cwd=desk.folder)
        self._numbers = itertools.count()

    def close(self) -> None:
        self._workers.kill()
        for topic in (self._events, self._results, self._letters):
            topic.close()
        self._engine.dispose()

    # ---- what happens ----

    def start(self) -> None:
        """Start a worker; the one before has ended."""
        number = next(self._numbers)
        if number > 0 and self._shared:
            self._let_time_pass()
        self.worker = ForkedWorker(self._folder, number)

    def _let_time_pass(self) -> None:
        """Until others take over what a worker held: with SQLite they need not wait, its lock proves its death."""
        past = datetime.now(UTC) - timedelta(minutes=1)
        self.change(update(threads).where(threads.c.held.is_not(None)).values(until=past))
        self.change(update(workflow_runs).where(workflow_runs.c.published_at.is_(None)).values(adoptable_at=past))

    def wait_ready(self) -> None:
        """Until the worker consumes."""
        self.until("the worker to be ready", lambda: READY in self.worker.output(), seconds=_START_SECONDS)

    def set_trap(self, point: str, about: object) -> None:
        """Kill the worker at a point (``inside:accept``, ``before:see 2``) on behalf of a request."""
        call, _, nth = point.partition(" ")
        put(self._folder / "trap", f"{call} {nth or 1} {about}")

    def wait_for_kill(self) -> None:
        """Until the trap has killed the worker."""
        self.until("the trap to snap", lambda: self.worker.status is not None)
        assert self.worker.status == -signal.SIGKILL, self._tail()
        (self._folder / "trap").unlink()

    def until(self, what: str, check: Callable[[], _T | None], seconds: float = SECONDS) -> _T:
        """Wait for it, while the worker lives."""

        def look() -> _T | None:
            ended = self.worker.status is not None
            found = check()
            assert found or not ended, f"the worker has ended before {what}:\n{self._tail()}"
            return found

        try:
            return wait_until(what, look, timeout=seconds, interval=_SOON)
        except NotReadyError as error:
            raise AssertionError(f"{error}\n{self._tail()}") from None

    def _tail(self) -> str:
        return "\n".join(self.worker.output().splitlines()[-30:])

    def case(self) -> Case:
        """A case of its own."""
        folder = self._folder / f"case-{uuid4().hex[:8]}"
        folder.mkdir()
        return Case(folder)

    def ask(self, event_id: UUID, graph: str | None = None, data: dict[str, str] | None = None, **fields: Any) -> Place:
        """Publish an event."""
        payload = {} if data is None else {"payload": {"data": data}}
        named = {} if graph is None else {"graph": graph}
        return self.send(json.dumps({**PLAIN, **payload, **named, "event_id": str(event_id), **fields}))

    def send(self, value: bytes | str, headers: tuple[tuple[str, bytes], ...] = ()) -> Place:
        """Publish anything."""
        return self._desk.send(value, headers)

    # ---- what has become of it ----

    def rows(self, table: Table, **where: Any) -> list[Any]:
        """A table's rows, or those with these values."""
        with self._engine.connect() as connection:
            return list(connection.execute(select(table).filter_by(**where)))

    def change(self, statement: Executable) -> None:
        """Change the store behind the worker's back."""
        with self._engine.begin() as connection:
            connection.execute(statement)

    def status(self, event_id: UUID) -> str | None:
        """What the store says of a request; None: it does not know it."""
        return next((row.status for row in self.rows(workflow_runs, correlation_id=event_id)), None)

    def is_committed(self, place: Place) -> bool:
        partition, offset = place
        return self._committed()[partition] > offset

    def _committed(self) -> dict[int, int]:
        offsets = self._desk.kafka.committed(self._desk.group, self._desk.kafka.fleet.events)
        return {partition: max(0, offset) for partition, offset in offsets.items()}

    def copies(self, event_id: UUID) -> int:
        """How often the request was answered."""
        return len(self._answers(event_id))

    def _answers(self, event_id: UUID) -> list[Message]:
        return [message for message in self._results.read() if message.key() == str(event_id).encode()]

    def result(self, event_id: UUID) -> WorkflowResultEvent:
        """The result of a request, once the store knows that the broker has it."""
        where = {"correlation_id": event_id}
        self.until(
            f"{event_id} to be published", lambda: any(row.published_at for row in self.rows(workflow_runs, **where))
        )
        return WorkflowResultEvent.model_validate_json(self._answers(event_id)[0].value())

    def letters(self, place: Place) -> list[Message]:
        """Every dead letter of a record."""

        def origin(message: Message) -> tuple[str | None, ...]:
            return tuple(value_of(message.headers(), f"dead-letter-{part}") for part in ("partition", "offset"))

        return [message for message in self._letters.read() if origin(message) == tuple(map(str, place))]

    def check_rest(self) -> None:
        """All that was sent counts as done, nothing is under way, nothing waits, no request has two different results,
        and the worker is well.
        """
        ends = self._events.ends()
        self.until("the offsets to be committed", lambda: self._committed() == ends)
        self.until("every result to be published", lambda: not self.rows(workflow_runs, published_at=None))
        assert not self.rows(workflow_runs, finished_at=None)
        assert not self.rows(step_executions, status="RUNNING")
        assert all(row.held is None for row in self.rows(threads))
        answers = {(one.key(), one.value(), str(one.headers())) for one in self._results.read()}
        assert len({key for key, *_ in answers}) == len(answers)
        assert self.worker.status is None


@contextmanager
def crash_bench(broker: Broker, folder: Path, store_url: str) -> Iterator[CrashBench]:
    """A bench with topics of its own.

    Its workers are one static member of their group, so that none waits for the session of a killed one.
    """
    config = {"group.instance.id": "the-worker", "fetch.queue.backoff.ms": "10", "fetch.wait.max.ms": "20"}
    settings = {"store_url": store_url, "lease_seconds": 30, "drain_seconds": 0, "default_graph": "chain"}
    with desk_of(broker, folder, GRAPHS, kafka_config=config, **settings) as desk:
        bench = CrashBench(desk, store_url)
        try:
            bench.start()
            bench.wait_ready()
            yield bench
        finally:
            bench.close()
