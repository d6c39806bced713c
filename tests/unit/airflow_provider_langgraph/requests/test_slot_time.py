from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_langgraph.exceptions import SettingsError
from airflow_provider_langgraph.requests.slot_time import DEFER_AFTER, defer_after_seconds, slot_seconds

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize(("given", "seconds"), [(0, 0), (2.5, 2.5), (timedelta(minutes=1), 60), ("3", 3), ("0.5", 0.5)])
def test_it_is_a_duration_a_number_or_what_a_template_rendered(given, seconds):
    assert defer_after_seconds(given) == seconds


def test_none_is_the_configured_time_and_a_few_seconds_without_one(monkeypatch):
    assert defer_after_seconds(None) == DEFER_AFTER.total_seconds()
    monkeypatch.setenv("AIRFLOW__LANGGRAPH__DEFER_AFTER", "0")
    assert defer_after_seconds(None) == 0
    assert defer_after_seconds(7) == 7


def test_a_wrong_configuration_is_named(monkeypatch):
    monkeypatch.setenv("AIRFLOW__LANGGRAPH__DEFER_AFTER", "soon")
    with pytest.raises(SettingsError, match=r"\[langgraph\] defer_after of Airflow's configuration must be"):
        defer_after_seconds(None)


@pytest.mark.parametrize(
    ("left", "seconds"),
    [
        (timedelta(hours=1), 100),
        (-timedelta(seconds=20), 40),
        (-timedelta(seconds=45), 30),
        (-timedelta(hours=1), 30),  # it may be there already
    ],
)
def test_no_task_waits_in_its_slot_for_a_reply_that_cannot_come(left, seconds):
    assert slot_seconds(100, NOW + left, NOW) == seconds
    assert slot_seconds(5, NOW + left, NOW) == 5
    assert slot_seconds(0, NOW + left, NOW) == 0
