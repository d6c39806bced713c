"""Orders of events that the state machine (tests/property/test_waiting_machine.py) seldom finds by itself."""

from __future__ import annotations

import pytest

from airflow_provider_langgraph.waiting import reply_router
from tests.support.logs import MemoryLog, MemoryReader
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
    world.step_catch_up()
    assert world.catch_ups  # and it has read a part
    world.log.recreate()
    early = world.publish()
    world.answer(early, 0, 3_000)
    for _ in range(4):  # large, so that the answer to the early one is forgotten
        world.answer(world.publish(), 0, 3_000)
    world.now += reply_router.HOUSEKEEPING_SECONDS
    step(world, 5)
    while world.catch_ups:
        world.step_catch_up()
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
    world.step_catch_up()
    step(world, 1)
    assert "reading results back failed" in world.router.troubles["catch_up"]
    world.settle()
    assert world.passes == 2
    assert world.router.troubles == {}


def test_a_crowd_that_comes_in_batches_costs_one_pass(world):
    crowd = [world.publish() for _ in range(6)]
    for request in crowd:
        world.answer(request, 0)
    world.restart()
    for request in crowd:
        world.wait(request)
        step(world, 3)
        world.step_catch_up()
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
    world.step_catch_up()  # has read a part, from the start
    world.log.retain(0, 10)
    while world.catch_ups:
        world.step_catch_up()
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
    world.step_catch_up()
    world.log.retain(0, 6)
    for _ in range(20):
        world.write_foreign(1, 1)
        world.step_catch_up()
    assert not world.catch_ups
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
        world.step_catch_up()
    assert [len(query.correlation_ids) for query in world.queries] == [8]
    world.answer_queries(lost=True)  # no worker was there to read it
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
    world.step_catch_up()  # from where the later one asked
    world.wait(early)
    step(world, 3)
    world.settle()
    assert world.passes == 2


def test_offsets_of_a_topic_that_was_deleted_mean_nothing_in_the_one_of_its_name(world):
    for number in range(3):
        world.write_foreign(0, number)
    request = world.publish()  # it notes an offset that the new topic will have too
    world.log.recreate()
    world.answer(request, 0)
    for number in range(5):
        world.write_foreign(0, number)
    world.restart()
    world.wait(request)
    world.settle()


def test_what_retention_removes_before_it_was_read_is_asked_for(world):
    request = world.publish()
    world.wait(request)
    step(world, 3)
    for number in range(3 * MemoryReader.BATCH):
        world.write_foreign(0, number)
    world.answer(request, 0)
    world.log.retain(0, world.log.ends().offsets[0])
    step(world, 3)
    assert world.queries
    world.settle()


def test_what_lies_behind_a_backlog_that_is_too_long_is_asked_for(world):
    request = world.publish()
    world.answer(request, 0)
    for number in range(reply_router.MOST_RECORDS + 1):
        world.write_foreign(0, number)
    world.restart()
    world.wait(request)
    step(world, 3)
    world.step_catch_up()
    step(world, 3)
    assert world.queries
    world.settle()


def test_partitions_that_were_added_are_read_from_their_start(world):
    request = world.publish()
    world.wait(request)
    step(world, 3)
    world.log.grow()
    world.answer(request, 1)  # before it is known that there is a second one
    world.now += reply_router.HOUSEKEEPING_SECONDS
    step(world, 3)
    assert world.served == {request.key: request.answer}


class TestLook:
    """Somebody wants to know at once whether a reply is there."""

    def test_it_is_not_once_the_topic_was_read_to_its_end(self, world):
        request = world.publish()
        world.wait(request)
        world.look(request)
        step(world, 3)
        assert world.absent == [request.key]
        step(world, 3)
        assert world.absent == [request.key]  # said once

    def test_the_end_is_that_of_the_time_of_the_look(self, world):
        """A reader may be far behind it: what lies between may be the reply."""
        request = world.publish()
        world.wait(request)
        step(world, 3)
        for number in range(3 * MemoryReader.BATCH):
            world.write_foreign(0, number)
        world.answer(request, 0)
        world.look(request)
        step(world, 3)
        assert request.waits
        assert world.absent == []
        step(world, 1)
        assert world.served == {request.key: request.answer}
        assert world.absent == []

    def test_what_lies_before_is_searched_first(self, world):
        request = world.publish()
        world.answer(request, 0)
        world.restart()
        world.wait(request)
        world.look(request)
        step(world, 5)
        assert world.absent == []
        world.settle()
        assert world.served == {request.key: request.answer}

    def test_what_the_workers_are_asked_for_may_still_come(self, world):
        request = world.publish()
        world.wait(request)
        step(world, 3)
        world.log.recreate()
        world.now += reply_router.HOUSEKEEPING_SECONDS
        step(world, 1)
        world.look(request)
        step(world, 4)
        assert world.queries
        assert world.absent == []

    def test_a_topic_that_cannot_be_read_says_nothing(self, world):
        request = world.publish()
        world.wait(request)
        step(world, 3)
        world.log.is_away = True
        world.look(request)
        step(world, 3)
        assert world.absent == []
        world.log.is_away = False
        step(world, 1)
        assert world.absent == [request.key]

    def test_a_topic_that_was_created_anew_is_read_first(self, world):
        """Its offsets may have passed the old one's already, and so the reader's own."""
        old = world.publish()
        world.wait(old)
        for number in range(3):
            world.write_foreign(0, number)
        step(world, 3)
        world.log.recreate()
        request = world.publish()
        world.wait(request)
        world.answer(request, 0)
        for number in range(2):
            world.write_foreign(0, number)
        world.look(request)
        step(world, 4)
        assert world.absent == []
        assert world.served == {request.key: request.answer}


class TestUndecodable:
    """A reply may lie in what cannot be decoded: the workers are asked for it."""

    def test_who_waits_when_it_is_passed_is_served_by_the_workers(self, world):
        request = world.publish()
        world.wait(request)
        step(world, 3)
        world.answer_undecodably(request, 0)
        step(world, 3)
        assert world.queries
        world.settle()
        assert world.served == {request.key: request.answer}

    @pytest.mark.parametrize("restart", [False, True])
    def test_who_comes_when_it_was_passed_is_served_by_the_workers(self, world, restart):
        request = world.publish()
        world.write_foreign(0, 1)
        world.answer_undecodably(request, 0, more=2)
        step(world, 3)
        if restart:
            world.restart()
        world.wait(request)
        world.settle()
        assert world.served == {request.key: request.answer}

    def test_a_look_does_not_say_absent_before_the_workers_were_asked(self, world):
        request = world.publish()
        world.answer_undecodably(request, 0)
        world.wait(request)
        world.look(request)
        step(world, 2)
        while world.catch_ups:
            world.step_catch_up()
        step(world, 3)
        assert world.queries
        assert world.absent == []

    def test_a_reply_behind_it_is_read(self, world):
        request = world.publish()
        world.answer_undecodably(world.publish(), 0)
        world.answer(request, 0)
        world.restart()
        world.wait(request)
        step(world, 3)
        while world.catch_ups:
            world.step_catch_up()
        step(world, 2)
        assert world.served == {request.key: request.answer}
        assert world.queries == []
