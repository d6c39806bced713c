"""How long the events topic keeps records, and what must not be forgotten sooner."""

from __future__ import annotations

from datetime import timedelta

import pytest

from langgraph_worker.broker.kafka.admin import retention_of
from langgraph_worker.broker.kafka.topic_risks import kept_too_short
from langgraph_worker.settings.load import load_settings

A_CENTURY = timedelta(days=36_500)
WEEK = timedelta(days=7)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"retention.ms": "604800000", "cleanup.policy": "delete"}, WEEK),
        ({"retention.ms": "604800000"}, WEEK),
        ({"retention.ms": "0", "cleanup.policy": "delete"}, timedelta(0)),
        ({"retention.ms": "-1", "cleanup.policy": "delete"}, A_CENTURY),
        ({"retention.ms": "9223372036854775807", "cleanup.policy": "delete"}, A_CENTURY),
        ({"retention.ms": "604800000", "cleanup.policy": "compact"}, A_CENTURY),
        ({"retention.ms": "604800000", "cleanup.policy": "compact,delete"}, WEEK),
        ({"retention.ms": "None"}, None),
        ({}, None),
    ],
)
def test_what_a_topic_says_of_its_retention(values, expected):
    assert retention_of(values) == expected


class Admin:
    """Knows the control topic's retention."""

    def __init__(self, control: timedelta | None) -> None:
        self.control = control

    def retention(self, topic: str) -> timedelta | None:
        assert topic == "workflow-control"
        return self.control


@pytest.mark.parametrize(
    ("events", "control", "named"),
    [
        (WEEK, WEEK, []),
        (WEEK, None, []),
        (WEEK, A_CENTURY, []),
        (WEEK, WEEK - timedelta(days=1), ["workflow-control keeps its records for 6 days, workflow-events for 7 days"]),
        (timedelta(days=60), timedelta(days=60), ["LANGGRAPH_WORKER_TOMBSTONE_DAYS is 30"]),
        (A_CENTURY, WEEK, ["workflow-events for ever", "LANGGRAPH_WORKER_TOMBSTONE_DAYS is 30"]),
    ],
)
def test_what_is_forgotten_while_its_event_is_there_is_named(events, control, named):
    found = kept_too_short(Admin(control), load_settings({}), events)
    assert len(found) == len(named)
    assert all(part in problem for part, problem in zip(named, found, strict=True))
