"""A triggerer's shared consumer, the agents that answer and the broker between them, driven by hand, no clock."""

from __future__ import annotations

import queue
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID

import pytest
from confluent_kafka import KafkaException

from airflow_provider_langgraph.waiting import catch_up, catch_up_schedule, reply_router
from airflow_provider_langgraph.waiting.catch_up import CatchUp, Need
from airflow_provider_langgraph.waiting.commands import Command, Found, Look, ReadBack, Register, Unregister
from airflow_provider_langgraph.waiting.reply_router import ReplyRouter
from airflow_provider_langgraph.waiting.result_cache import ResultCache
from tests.support.logs import Ends, Log, MemoryLog, at_the_end
from workflow_events.control import WorkflowQueryEvent

MEMORY_BYTES = 8 * 1024
"""Results that a router remembers: seven or so, so that it forgets all the time."""


def make_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set bounds that are met all the time, and log nothing: it would be thousands of lines a second."""
    monkeypatch.setattr(catch_up, "MOST_RECORDS", 25)
    monkeypatch.setattr(reply_router, "MOST_RECORDS", 25)
    monkeypatch.setattr(reply_router, "ResultCache", partial(ResultCache, max_bytes=MEMORY_BYTES))
    for module in (catch_up, reply_router, catch_up_schedule):
        monkeypatch.setattr(module.log, "disabled", True)


@dataclass
class Request:
    """One request, and what became of it.

    :ivar ends: what its publisher noted.
    :ivar answer: its one terminal result; None while the agent works.
    :ivar waits: whether a waiter waits for it.
    :ivar left: whether its waiter has left; a reply may be on its way to it.
    :ivar twice: whether a second copy of its trigger has come; it may come just after the first was served.
    """

    key: bytes
    ends: Ends
    answer: bytes | None = None
    waits: bool = False
    left: bool = False
    twice: bool = False


@dataclass
class HandDrivenCatchUp:
    """A read back that goes on one step at a time."""

    world: WaitingWorld
    needs: dict[bytes, Need]
    until: dict[int, int]
    memory: ResultCache
    commands: queue.SimpleQueue[Command | None]
    joining: list[tuple[bytes, Need]] = field(default_factory=list)
    passing: CatchUp | None = None
    stopped: bool = False
    at: dict[int, int] = field(default_factory=dict)
    idle: int = 0

    def join_in(self, key: bytes, need: Need) -> None:
        self.joining.append((key, need))

    def stop(self) -> None:
        self.stopped = True

    def step(self) -> None:
        """One batch; at the end, or when the broker is away, it says so and is no more."""
        try:
            if self.passing is None:
                self.passing = CatchUp(self.world.log.reader(), "results", self.until, self.memory)
                self.passing.begin(self.needs)
            found = {} if self.passing.done else self.passing.step()
            joining, self.joining = self.joining, []
            for key, need in joining:
                record = self.passing.join(key, need)
                if record is not None:
                    found[key] = record
        except KafkaException as error:
            self._end(ReadBack(None, str(error)))
            return
        if found:
            self.commands.put(Found(found))
        self.idle = 0 if self.passing.reader.next != self.at else self.idle + 1
        self.at = dict(self.passing.reader.next)
        if self.idle > 5 and not self.passing.done:
            self._end(ReadBack(None, "no record for a while"))
        elif self.passing.done:
            self._end(ReadBack(self.passing.result(), ""))

    def _end(self, how: ReadBack) -> None:
        if self.passing is not None:
            self.passing.reader.close()
        self.commands.put(how)
        self.world.catch_ups.remove(self)


class WaitingWorld:
    """One results topic with all who use it.

    :ivar requests: all that were asked.
    :ivar served: by request, what its waiter was given.
    :ivar passes: read backs that were begun.
    :ivar absent: keys that a look did not find, in the order in which the router said so.
    """

    def __init__(self, log: Log) -> None:
        self.log = log
        self.now = 1_000.0
        self.requests: list[Request] = []
        self.served: dict[bytes, bytes | None] = {}
        self.queries: list[WorkflowQueryEvent] = []
        self.catch_ups: list[HandDrivenCatchUp] = []
        self.passes = 0
        self.absent: list[bytes] = []
        self.answered_queries: set[tuple[UUID, bytes]] = set()
        self._looked_at: set[bytes] = set()
        self._numbers = 0
        self._start()

    # ---- the triggerer ----

    def _start(self) -> None:
        self.commands: queue.SimpleQueue[Command | None] = queue.SimpleQueue()
        self.reader = self.log.reader()
        self.reader.stand_at(at_the_end(self.reader))
        self.router = ReplyRouter(self.reader, "results", self._start_catch_up, self._ask, lambda: self.now)

    def restart(self) -> None:
        """The triggerer is killed, and another one takes its triggers over."""
        self.catch_ups.clear()
        self.reader.close()
        self._start()
        for request in self.requests:
            if request.waits:
                self._register(request)

    def _start_catch_up(
        self, needs: dict[bytes, Need], until: dict[int, int], memory: ResultCache
    ) -> HandDrivenCatchUp:
        started = HandDrivenCatchUp(self, needs, until, memory, self.commands)
        self.catch_ups.append(started)
        self.passes += 1
        return started

    def step(self) -> None:
        """The consumer's thread goes round once; reading takes it a moment."""
        self.now += reply_router.POLL_SECONDS
        self._give(self.router.obey(self.commands) or [])
        self._give(self.router.read())
        for key in self.router.not_there():
            assert not (key in self._looked_at and self._is_on_topic(key)), "a look that did not find what was there"
            self.absent.append(key)

    def _give(self, replies: reply_router.Replies) -> None:
        for key, record in replies:
            [request] = [one for one in self.requests if one.key == key]
            assert request.waits or request.left or request.twice, "a reply without a waiter"
            assert record.value == request.answer, "a reply that is not its own"
            request.waits = False
            self.served[key] = record.value

    def step_catch_up(self) -> None:
        """Its read back goes on, if there is one."""
        for running in self.catch_ups[:1]:
            running.step()

    # ---- tasks ----

    def publish(self) -> Request:
        """A task notes the topic's ends, and asks."""
        self._numbers += 1
        request = Request(str(UUID(int=self._numbers)).encode(), self.log.ends())
        self.requests.append(request)
        return request

    def wait(self, request: Request) -> None:
        """Its trigger starts."""
        request.waits, request.left = True, False
        self._register(request)

    def _register(self, request: Request) -> None:
        ends = request.ends
        self.commands.put(Register(request.key, ends.offsets, ends.cluster, ends.topic_id, "control"))

    def wait_again(self, request: Request) -> None:
        """A second copy of its trigger starts beside the first; the one that ends first is not reported."""
        request.twice = True
        self._register(request)

    def look(self, request: Request) -> None:
        """Somebody wants to know now whether its reply is there."""
        if self._is_on_topic(request.key):
            self._looked_at.add(request.key)
        else:
            self._looked_at.discard(request.key)
        self.commands.put(Look(request.key))

    def _is_on_topic(self, key: bytes) -> bool:
        """False where that cannot be told."""
        if not isinstance(self.log, MemoryLog):
            return False
        records = [record for kept in self.log.kept.values() for record in kept.records]
        return any(("correlation-id", key) in record.pairs for record in records)

    def leave(self, request: Request) -> None:
        """Its trigger is cancelled."""
        request.waits, request.left = False, True
        self.commands.put(Unregister(request.key))
        self.step()

    # ---- agents ----

    def answer(self, request: Request, partition: int, size: int = 40) -> None:
        """Its agent ends, or a worker publishes its stored result again."""
        if request.answer is None:
            request.answer = b"answer to " + request.key + b"." * size
        self._write(partition, request.answer, [("correlation-id", request.key)])

    def answer_undecodably(self, request: Request, partition: int, more: int = 0) -> None:
        """Its agent ends, and no reader can decode the reply, nor those that were written with it."""
        if request.answer is None:
            request.answer = b"answer to " + request.key
        self.log.write_undecodable(partition % len(self.log.ends().offsets), 1 + more)

    def write_foreign(self, partition: int, number: int) -> None:
        """A reply to a request of others."""
        self._write(partition, b"foreign", [("correlation-id", f"foreign {number}".encode())])

    def write_garbage(self, partition: int, kind: int) -> None:
        """What is no reply at all."""
        headers = [[], [("correlation-id", b"")], [("correlation-id", b"\xff\xfe")], [("other", b"x")]][kind % 4]
        self._write(partition, None if kind % 3 == 0 else b"\x00{", headers)

    def _write(self, partition: int, value: bytes | None, headers: list[tuple[str, bytes]]) -> None:
        self.log.write(partition % len(self.log.ends().offsets), value, headers)

    def _ask(self, topic: str, query: WorkflowQueryEvent) -> None:
        assert topic == "control"
        self.queries.append(query)

    def answer_queries(self, lost: bool = False) -> None:
        """The workers read the control topic; or they are all down, and skip later what was asked meanwhile."""
        queries, self.queries = self.queries, []
        for query in queries:
            for number, asked in enumerate(query.correlation_ids):
                key = str(asked).encode()
                request = next(one for one in self.requests if one.key == key)
                once = (query.query_id, key)
                if not lost and request.answer is not None and once not in self.answered_queries:
                    self.answered_queries.add(once)
                    self.answer(request, number)

    # ---- the end ----

    def settle(self) -> None:
        """Everything works again, and every agent ends: each waiter gets its reply."""
        if isinstance(self.log, MemoryLog):
            self.log.is_away = False
        for request in self.requests:
            if request.answer is None:
                self.answer(request, len(request.key))
        for _ in range(400):
            if not any(request.waits for request in self.requests):
                return
            self.answer_queries()
            self.step()
            self.step_catch_up()
            self.now += 1.0
        late = [request.key for request in self.requests if request.waits]
        raise AssertionError(f"{len(late)} waiters have no reply: {late}, troubles: {self.router.troubles}")
