from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from langgraph_worker.intake.clock_skew import AGAIN_SECONDS, ClockSkewWatch
from workflow_events import EventSource, EventType, WorkflowEvent


@pytest.fixture
def warnings(caplog):
    caplog.set_level(logging.WARNING)
    return lambda: [record.getMessage() for record in caplog.records]


def event(ahead: float) -> WorkflowEvent:
    return WorkflowEvent(
        event_type=EventType.WORKFLOW_TRIGGERED,
        source=EventSource.AIRFLOW,
        workflow_id="billing",
        workflow_run_id="r1",
        timestamp=datetime.now(UTC) + timedelta(seconds=ahead),
    )


def test_an_event_from_the_future_is_reported_with_its_origin(warnings):
    ClockSkewWatch().look(event(90))
    [line] = warnings()
    assert " of billing, run r1)" in line
    assert "NTP" in line


@pytest.mark.parametrize("ahead", [-3600.0, 0.0, 4.0])
def test_what_was_written_before_it_came_shows_nothing(warnings, ahead):
    ClockSkewWatch().look(event(ahead))
    assert warnings() == []


def test_a_wrong_clock_is_reported_every_ten_minutes(warnings):
    clock = SimpleNamespace(now=0.0)
    clocks = ClockSkewWatch(now=lambda: clock.now)
    for _ in range(3):
        clocks.look(event(90))
    assert len(warnings()) == 1
    clock.now = AGAIN_SECONDS
    clocks.look(event(90))
    assert len(warnings()) == 2
