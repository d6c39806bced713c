"""Orders of events that the state machine (tests/property/test_waiting_machine.py) seldom finds by itself."""

from __future__ import annotations

import pytest

from airflow_provider_langgraph.triggers import desk
from tests.support.logs import MemoryLog
from tests.support.waiting_world import WaitingWorld, make_small


@pytest.fixture
def world(monkeypatch):
    make_small(monkeypatch)
    return WaitingWorld(MemoryLog(partitions=1))


def step(world, times):
    for _ in range(times):
        world.step()


def test_a_read_back_of_a_deleted_topic_says_nothing_of_the_new_one(world):
    old = world.publish()
    for number in range(20):
        world.write_foreign(0, number)
    world.restart()
    world.wait(old)
    step(world, 3)
    world.step_backfill()
    assert world.backfills  # and it has read a part
    world.log.recreate()
    early = world.publish()
    world.answer(early, 0, 3_000)
    for _ in range(4):  # large, so that the answer to the early one is forgotten
        world.answer(world.publish(), 0, 3_000)
    world.now += desk.HOUSEKEEPING_SECONDS
    step(world, 5)
    while world.backfills:
        world.step_backfill()
    step(world, 2)
    world.wait(early)
    world.settle()


def test_a_read_back_that_fails_is_tried_again(world):
    request = world.publish()
    world.answer(request, 0)
    world.restart()
    world.wait(request)
    step(world, 3)
    world.log.is_away = True
    world.step_backfill()
    step(world, 1)
    assert "reading results back failed" in world.desk.troubles["backfill"]
    world.settle()
    assert world.passes == 2
    assert world.desk.troubles == {}


def test_a_crowd_that_comes_in_batches_costs_one_pass(world):
    crowd = [world.publish() for _ in range(6)]
    for request in crowd:
        world.answer(request, 0)
    world.restart()
    for request in crowd:
        world.wait(request)
        step(world, 3)
        world.step_backfill()
    world.settle()
    assert world.passes == 1


def test_what_answers_a_wait_is_not_kept_for_it_twice(world):
    request = world.publish()
    world.wait(request)
    step(world, 3)
    world.answer(request, 0)
    world.answer(request, 0)
    step(world, 3)
    assert list(world.served) == [request.key]
    world.wait(request)  # its trigger starts again
    world.settle()


def test_what_retention_removes_under_a_read_back_is_not_taken_for_read(world):
    first, late = world.publish(), world.publish()
    for number in range(6):
        world.write_foreign(0, number)
    world.answer(late, 0)
    for number in range(6):
        world.write_foreign(0, number)
    world.restart()
    world.wait(first)
    step(world, 3)
    world.step_backfill()  # has read a part, from the start
    world.log.retain(0, 10)
    while world.backfills:
        world.step_backfill()
        world.step()
    world.wait(late)  # whose answer lay in the hole
    world.settle()


def test_a_read_back_ends_where_one_partition_flows_and_another_is_gone(monkeypatch):
    make_small(monkeypatch)
    world = WaitingWorld(MemoryLog(partitions=2))
    request = world.publish()
    for _ in range(6):
        world.write_foreign(0, 0)
        world.write_foreign(1, 1)
    world.restart()
    world.wait(request)
    step(world, 3)
    world.step_backfill()
    world.log.retain(0, 6)
    for _ in range(20):
        world.write_foreign(1, 1)
        world.step_backfill()
    assert not world.backfills
    world.settle()


def test_a_crowd_whose_replies_are_gone_asks_once(world):
    crowd = [world.publish() for _ in range(8)]
    for request in crowd:
        world.answer(request, 0)
    world.log.retain(0, 8)
    world.restart()
    for request in crowd:
        world.wait(request)
    for _ in range(50):
        world.step()
        world.step_backfill()
    assert [len(query.correlation_ids) for query in world.queries] == [8]
    world.answer_queries(lost=True)  # no worker was there to hear it
    world.settle()


def test_who_joins_too_late_is_read_back_for_once_more(world):
    early = world.publish()
    world.answer(early, 0)
    later = world.publish()
    for number in range(6):
        world.write_foreign(0, number)
    world.restart()
    world.wait(later)
    step(world, 3)
    world.step_backfill()  # from where the later one asked
    world.wait(early)
    step(world, 3)
    world.settle()
    assert world.passes == 2
