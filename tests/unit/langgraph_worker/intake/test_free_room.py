"""FreeRoom: how many records the consumer may deliver, as slots fill and empty here and in the other workers."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

import pytest

from langgraph_worker.intake.free_room import FreeRoom


class Limits:
    is_full = is_full_of_answers = False

    async def look(self) -> None:
        pass


class Consumer:
    """Knows how many records it may still deliver."""

    def __init__(self) -> None:
        self.allowed = 0
        self.delivered = 0
        self.looks_ahead = False

    def allow(self, total: int) -> None:
        self.allowed = total

    def look_ahead(self, wanted: bool) -> None:
        self.looks_ahead = wanted

    @property
    def room(self) -> int:
        return max(0, self.allowed - self.delivered)


class Store:
    """Knows which requests wait for nothing but a slot, and of which graphs it was asked."""

    def __init__(self) -> None:
        self.waiting: set[UUID] = set()
        self.graphs: Collection[str] = ()

    async def can_start(self, correlation_ids: Collection[UUID], graphs: Collection[str]) -> set[UUID]:
        self.graphs = graphs
        return self.waiting & set(correlation_ids)


@pytest.fixture
def consumer() -> Consumer:
    return Consumer()


@pytest.fixture
def limits() -> Limits:
    return Limits()


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def free_room(consumer: Consumer, limits: Limits, store: Store) -> FreeRoom:
    """Of two slots, and one request that may wait for them."""
    free_room = FreeRoom(consumer, store, 2, 1, limits)
    free_room.turn_ended(nothing_can_start=True, open_graphs=["graph"])
    return free_room


def runs(*numbers: int) -> set[UUID]:
    return {UUID(int=number) for number in numbers}


def take(consumer: Consumer, free_room: FreeRoom, records: int, *waiting: int) -> None:
    consumer.delivered += records
    free_room.took(records, runs(*waiting))


def claim(free_room: FreeRoom, *numbers: int, active: int) -> None:
    free_room.claimed(runs(*numbers))
    free_room.slots_in_use(active)


def end_turn(free_room: FreeRoom, *, nothing_can_start: bool = False) -> None:
    free_room.turn_ended(nothing_can_start=nothing_can_start, open_graphs=["graph"])


def test_there_is_room_for_every_slot(consumer, free_room):
    assert consumer.room == 3


def test_what_waits_and_what_runs_takes_room_once(consumer, free_room):
    take(consumer, free_room, 2, 1, 2)
    assert consumer.room == 1
    claim(free_room, 1, 2, active=2)
    end_turn(free_room)
    assert consumer.room == 1
    free_room.slots_in_use(0)
    end_turn(free_room)
    assert consumer.room == 3


def test_what_does_not_run_takes_no_room(consumer, free_room):
    take(consumer, free_room, 3, 1)
    assert consumer.room == 2


def test_what_waits_for_no_slot_takes_no_room(consumer, free_room):
    take(consumer, free_room, 3, 1, 2, 3)
    assert consumer.room == 0
    end_turn(free_room, nothing_can_start=True)
    assert consumer.room == 3


def test_runs_of_other_workers_requests_leave_no_debt(consumer, free_room):
    claim(free_room, 7, 8, active=2)
    end_turn(free_room)
    assert consumer.room == 1
    free_room.slots_in_use(0)
    take(consumer, free_room, 1, 1)
    assert consumer.room == 2


async def test_what_another_worker_took_takes_no_room_while_all_slots_are_busy(consumer, free_room, store):
    claim(free_room, 7, 8, active=2)
    take(consumer, free_room, 1, 1)
    end_turn(free_room)
    store.waiting = runs(1)
    await free_room.look()
    assert consumer.room == 0
    store.waiting = set()
    await free_room.look()
    assert consumer.room == 1
    assert store.graphs == ["graph"]


async def test_what_comes_during_a_look_is_not_taken_for_gone(consumer, free_room, store):
    claim(free_room, 7, 8, active=2)
    take(consumer, free_room, 1, 1)

    async def meanwhile(correlation_ids: Collection[UUID], graphs: Collection[str]) -> set[UUID]:
        take(consumer, free_room, 1, 2)
        return set()

    store.can_start = meanwhile
    await free_room.look()
    assert consumer.room == 0


def test_a_busy_worker_without_a_prefetch_takes_in_one_for_the_others(consumer, store, limits):
    free_room = FreeRoom(consumer, store, 2, 0, limits)
    claim(free_room, 7, 8, active=2)
    end_turn(free_room)
    assert consumer.room == 1
    take(consumer, free_room, 1, 1)
    assert consumer.room == 0


async def test_a_full_backlog_admits_only_answers_until_it_is_shorter(consumer, free_room, limits):
    limits.is_full = True
    await free_room.look()
    assert (consumer.room, consumer.looks_ahead) == (0, True)
    limits.is_full_of_answers = True
    await free_room.look()
    assert (consumer.room, consumer.looks_ahead) == (0, False)
    limits.is_full = limits.is_full_of_answers = False
    await free_room.look()
    assert (consumer.room, consumer.looks_ahead) == (3, True)


def test_what_is_taken_ahead_uses_up_nothing_that_was_allowed(consumer, free_room):
    free_room.took(0, runs(1))
    assert consumer.allowed == 2


def test_a_stop_is_for_good(consumer, free_room):
    free_room.stop()
    assert (consumer.room, consumer.looks_ahead) == (0, False)
    take(consumer, free_room, 1)
    end_turn(free_room, nothing_can_start=True)
    assert (consumer.room, consumer.looks_ahead) == (0, False)
