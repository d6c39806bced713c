from __future__ import annotations

import pytest

from langgraph_worker.broker.kafka.commits import RETRY_SECONDS, OwedCommits
from langgraph_worker.broker.port import Batch
from workflow_events.codec import Record
from workflow_events.undecodable import UndecodablePlace


@pytest.fixture
def commits() -> OwedCommits:
    found = OwedCommits()
    found.assign([0, 1])
    return found


def batch(commits: OwedCommits, *places: tuple[int, int]) -> Batch:
    """Records of these partitions and offsets, delivered now."""
    return Batch(tuple(Record("events", *place, b"", None) for place in places), commits.epochs)


def test_what_is_safe_is_due_once(commits):
    commits.owe(batch(commits, (0, 4), (0, 5), (1, 0)))
    assert commits.take_due(0.0) == {0: 6, 1: 1}
    assert commits.take_due(0.0) == {}
    assert not commits.is_settled
    commits.succeeded()
    assert commits.is_settled
    assert commits.take_due(0.0) == {}


def test_what_becomes_safe_while_a_commit_is_under_way_is_due_afterwards(commits):
    commits.owe(batch(commits, (0, 0), (1, 0)))
    commits.take_due(0.0)
    commits.owe(batch(commits, (0, 1)))
    assert commits.take_due(0.0) == {}
    commits.succeeded()
    assert commits.take_due(0.0) == {0: 2}


def test_a_failed_commit_is_due_again_after_a_pause(commits):
    commits.owe(batch(commits, (0, 0)))
    commits.take_due(10.0)
    commits.failed(10.0)
    assert not commits.is_settled
    assert commits.take_due(10.0 + RETRY_SECONDS - 0.01) == {}
    assert commits.take_due(10.0 + RETRY_SECONDS) == {0: 1}


def test_nothing_is_owed_of_a_partition_that_was_taken_away(commits):
    commits.owe(batch(commits, (0, 0), (1, 0)))
    commits.revoke([0])
    assert commits.epochs.keys() == {1}
    assert commits.take_due(0.0) == {1: 1}


def test_a_batch_of_an_earlier_assignment_is_not_committed(commits):
    before = batch(commits, (0, 0), (1, 0))
    commits.revoke([0])
    commits.owe(before)
    assert commits.take_due(0.0) == {1: 1}
    commits.succeeded()
    commits.assign([0])
    commits.owe(before)
    assert commits.take_due(0.0) == {1: 1}


def test_a_partition_that_comes_back_while_a_commit_is_under_way_owes_what_is_new(commits):
    commits.owe(batch(commits, (0, 7)))
    commits.take_due(0.0)
    commits.revoke([0])
    commits.assign([0])
    commits.owe(batch(commits, (0, 2)))
    commits.succeeded()
    assert commits.take_due(0.0) == {0: 3}


def test_a_batch_may_hold_records_that_were_taken_away_before_it_was_handed_over(commits):
    commits.revoke([1])
    commits.owe(batch(commits, (0, 0), (1, 0)))
    assert commits.take_due(0.0) == {0: 1}


@pytest.mark.parametrize(("first", "last", "due"), [(6, 9, {0: 10, 1: 1}), (2, 3, {0: 6, 1: 1})])
def test_a_place_that_cannot_be_decoded_is_committed_with_its_batch(commits, first, last, due):
    """It lies behind the records of the batch, or before them."""
    records = batch(commits, (0, 4), (0, 5), (1, 0)).records
    commits.owe(Batch(records, commits.epochs, undecodable=(UndecodablePlace("events", 0, first, last),)))
    assert commits.take_due(0.0) == due


def test_a_place_of_an_earlier_assignment_is_not_committed(commits):
    before = Batch((), commits.epochs, undecodable=(UndecodablePlace("events", 0, 0, 4),))
    commits.revoke([0])
    commits.assign([0])
    commits.owe(before)
    assert commits.is_settled
