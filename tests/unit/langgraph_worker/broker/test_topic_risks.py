"""Which settings of topics can lose what is written there."""

from __future__ import annotations

from datetime import timedelta

import pytest

from langgraph_worker.broker.kafka.admin import Cluster
from langgraph_worker.broker.kafka.topic_risks import few_copies, shorter_than_deadlines
from langgraph_worker.settings.load import load_settings

WEEK = timedelta(days=7)
KEPT = ("workflow-control", "workflow-events", "workflow-events-dlq", "workflow-results")


class Admin:
    """Knows how many replicas have to have a record."""

    def __init__(self, least: int | None) -> None:
        self.least = least

    def least_in_sync(self, topics):
        return {} if self.least is None else dict.fromkeys(topics, self.least)


def cluster(copies: int, brokers: int = 3, **others: int) -> Cluster:
    replicas = {**dict.fromkeys((*KEPT, "workflow-progress"), copies), **others}
    return Cluster("c", brokers, frozenset(replicas), replicas=replicas)


def test_topics_with_one_replica_are_named():
    [found] = few_copies(Admin(1), cluster(1, 1), load_settings({}))
    assert found.startswith("one replica has workflow-control, workflow-events, workflow-events-dlq, workflow-results:")
    assert "this one has 1" in found
    [found] = few_copies(Admin(2), cluster(3, **{"workflow-results": 1}), load_settings({}))
    assert found.startswith("one replica has workflow-results:")


def test_a_topic_that_takes_what_one_broker_alone_has_is_named():
    [found] = few_copies(Admin(1), cluster(3), load_settings({}))
    assert found.startswith("min.insync.replicas is 1 for workflow-control, workflow-events, workflow-events-dlq, ")
    assert "Set it to 2" in found


@pytest.mark.parametrize("least", [2, None])
def test_nothing_is_said_where_the_copies_are_enough_or_not_known(least):
    assert few_copies(Admin(least), cluster(3), load_settings({})) == []
    assert few_copies(Admin(least), Cluster("c", 3, frozenset(KEPT)), load_settings({})) == []


@pytest.mark.parametrize(
    ("flags", "kept", "is_named"),
    [
        ({}, WEEK, False),
        ({}, timedelta(days=6), True),
        ({"max_deadline_days": "30"}, WEEK, True),
        ({"max_deadline_days": "5"}, timedelta(days=6), False),
    ],
)
def test_events_that_are_kept_for_less_than_a_request_may_have_are_named(flags, kept, is_named):
    found = shorter_than_deadlines(load_settings(flags), kept)
    assert bool(found) is is_named
    assert not found or "LANGGRAPH_WORKER_MAX_DEADLINE_DAYS" in found[0]
