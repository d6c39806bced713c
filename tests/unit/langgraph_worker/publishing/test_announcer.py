"""What a worker announces, when, and what becomes of it when something is in the way."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from langgraph_worker.broker.port import SendError
from langgraph_worker.domain.models import WorkerInfo
from langgraph_worker.errors import StoreError
from langgraph_worker.publishing import announcer as module
from langgraph_worker.publishing.announcer import AnnouncedWorker, Announcer
from workflow_events.announcements import GraphAnnouncement, WorkerAnnouncement, graph_key, worker_key
from workflow_events.codec import Record, decode_announcement

TOPIC = "workflow-graphs"
DESK = GraphAnnouncement(graph="desk", input={"type": "object"})
KEY = worker_key("workflow-events", "one").encode()


def info(worker_id: str, events_topic: str = "workflow-events") -> WorkerInfo:
    return WorkerInfo(worker_id, "1", events_topic, "group", {})


@dataclass
class World:
    """A topic, a store and a clock.

    :ivar fleet: the workers that the store knows.
    :ivar refuses: what a send of a record with this beginning of its key raises.
    """

    fleet: list[WorkerInfo] = field(default_factory=lambda: [info("one")])
    refuses: dict[bytes, Exception] = field(default_factory=dict)
    store_error: Exception | None = None
    seconds: float = 0.0
    records: list[Record] = field(default_factory=list)
    written: asyncio.Event = field(default_factory=asyncio.Event)

    async def workers(self, within: float) -> list[WorkerInfo]:
        if self.store_error is not None:
            self.written.set()
            raise self.store_error
        return self.fleet

    async def send(self, topic: str, key: bytes, value: bytes | None, headers: Any) -> None:
        for beginning, error in self.refuses.items():
            if key.startswith(beginning):
                self.written.set()
                raise error
        self.records.append(Record(topic, 0, len(self.records), value, headers, key))
        if key.startswith(b"worker/"):
            self.written.set()

    @asynccontextmanager
    async def announcer(
        self, *graphs: GraphAnnouncement, describe: Callable[[], Any] | None = None, **changes: Any
    ) -> AsyncIterator[Announcer]:
        worker = AnnouncedWorker(
            **{
                "info": info("one"),
                "topic": TOPIC,
                "default_graph": None,
                "release": "r1",
                "grace_seconds": 60.0,
                "max_bytes": 10_000,
                **changes,
            }
        )
        made: Any = Announcer(self, self, worker, describe or (lambda: graphs), now=lambda: self.seconds)  # type: ignore[arg-type]
        running = asyncio.create_task(made.run())
        try:
            yield made
        finally:
            made.stop()
            await asyncio.wait_for(running, 5)

    async def next_round(self, seconds: float = 0.0) -> None:
        """Wait for another round, this much later."""
        self.seconds += seconds
        self.written.clear()
        await asyncio.wait_for(self.written.wait(), 5)

    @property
    def last(self) -> WorkerAnnouncement:
        found = [one for one in self.records if one.key == KEY and one.value is not None]
        decoded = decode_announcement(found[-1])
        assert isinstance(decoded, WorkerAnnouncement)
        return decoded


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(module, "ANNOUNCE_SECONDS", 0.01)
    return World()


async def test_the_graphs_come_before_the_worker_that_names_them(world: World):
    async with world.announcer(DESK, default_graph="desk"):
        await world.next_round()
    first, second = world.records[:2]
    assert (first.topic, first.key) == (TOPIC, graph_key("desk", DESK.digest).encode())
    assert decode_announcement(first) == DESK
    assert second.key == KEY
    assert (world.last.graphs, world.last.default_graph, world.last.release) == ({"desk": DESK.digest}, "desk", "r1")


async def test_the_worker_is_announced_again_and_its_graphs_once_a_day(world: World):
    async with world.announcer(DESK):
        for hours in (0, 1, 22, 2, 1):
            await world.next_round(hours * 3600)
        await world.next_round()
    keys = [one.key for one in world.records if one.value]
    assert keys.count(KEY) >= 5
    assert keys.count(graph_key("desk", DESK.digest).encode()) == 2


async def test_its_record_is_taken_back_when_it_stops(world: World):
    async with world.announcer(DESK):
        await world.next_round()
    assert (world.records[-1].key, world.records[-1].value) == (KEY, None)
    assert sum(one.value is None for one in world.records) == 1


async def test_the_fleet_is_steady_when_it_has_not_changed_for_the_grace(world: World):
    async with world.announcer():
        await world.next_round()
        assert not world.last.steady
        await world.next_round(61)
        await world.next_round()
        assert world.last.steady
        world.fleet = [info("one"), info("two"), info("other", "risk.workflow-events")]
        await world.next_round()
        await world.next_round()
        assert (world.last.fleet, world.last.steady) == (["one", "two"], False)
        await world.next_round(61)
        await world.next_round()
        assert world.last.steady


async def test_it_belongs_to_the_fleet_before_the_store_knows_it(world: World):
    world.fleet = [info("two")]
    async with world.announcer():
        await world.next_round()
        assert world.last.fleet == ["one", "two"]


async def test_without_its_store_it_announces_nothing(world: World, caplog):
    async with world.announcer(DESK):
        await world.next_round()
        world.store_error = StoreError("away")
        await world.next_round()
        known = len(world.records)
        await world.next_round()
        assert len(world.records) == known
        world.store_error = None
        await world.next_round()
        assert len(world.records) > known
    assert caplog.records == []


async def test_a_topic_that_refuses_is_one_warning_until_it_takes_records_again(world: World, caplog):
    world.refuses = {b"": SendError(f"topic {TOPIC}: this user may not use the topic", retriable=False)}
    async with world.announcer(DESK):
        for _ in range(3):
            await world.next_round()
        [warning] = [record.getMessage() for record in caplog.records]
        assert warning == (
            "the graphs are not announced, and operators with check_graph check nothing: topic workflow-graphs: this "
            "user may not use the topic"
        )
        refused, world.refuses = world.refuses, {}
        await world.next_round()
        await world.next_round()
        world.refuses = refused
        await world.next_round()
        await world.next_round()
    assert len(caplog.records) == 2


@pytest.mark.parametrize("by_the_broker", [False, True])
async def test_schemas_that_are_too_large_are_left_out_and_the_name_is_not(world: World, caplog, by_the_broker):
    large = GraphAnnouncement(graph="large", input={"description": "x" * 20_000})
    if by_the_broker:
        world.refuses = {b"graph/" + large.digest.encode(): SendError("too large", retriable=False, too_large=True)}
    async with world.announcer(large, DESK, max_bytes=100_000 if by_the_broker else 10_000):
        for _ in range(3):
            await world.next_round()
        assert world.last.graphs == {"large": None, "desk": DESK.digest}
    [warning] = [record.getMessage() for record in caplog.records]
    assert warning.startswith("graph large is announced without its schemas: ")


@pytest.mark.parametrize("error", [RuntimeError("odd"), RecursionError()])
async def test_nothing_that_goes_wrong_ends_the_worker(world: World, caplog, error):
    def describe() -> Any:
        raise error

    caplog.set_level(logging.INFO)
    async with world.announcer(describe=describe) as made:
        await asyncio.sleep(0)
        del made
    assert world.records == []
