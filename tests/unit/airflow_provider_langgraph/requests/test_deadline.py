from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from airflow.sdk.execution_time import task_runner

from airflow_provider_langgraph.exceptions import SettingsError
from airflow_provider_langgraph.requests.deadline import DEFAULT_TIMEOUT, as_timedelta, deadline
from airflow_provider_langgraph.requests.early_resume import earliest_resume

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("given", "meant"),
    [(None, DEFAULT_TIMEOUT), (90, timedelta(seconds=90)), (1.5, timedelta(seconds=1.5)), (HOUR, HOUR)],
)
def test_a_timeout_is_a_duration(given, meant):
    assert as_timedelta(given) == meant


@pytest.mark.parametrize("given", [0, -1, timedelta(0), "1h", True, float("inf"), float("nan"), timedelta.max])
def test_what_is_no_duration_is_refused_by_name(given):
    with pytest.raises(SettingsError, match="timeout must be"):
        as_timedelta(given)


def test_whichever_ends_first_counts():
    assert deadline(HOUR, None, NOW, NOW) == NOW + HOUR
    assert deadline(HOUR, 2 * HOUR, NOW, NOW) == NOW + HOUR
    assert deadline(2 * HOUR, HOUR, NOW, NOW - HOUR / 2) == NOW + HOUR / 2


def test_a_task_comes_back_when_its_supervisor_and_the_scheduler_have_noticed(monkeypatch):
    monkeypatch.setenv("AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL", "7")
    assert earliest_resume(NOW) == NOW + timedelta(seconds=12)


def test_where_no_scheduler_is_no_task_is_held_back(monkeypatch):
    class InProcessSupervisorComms:
        """As ``airflow dags test`` has it."""

    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", InProcessSupervisorComms(), raising=False)
    assert earliest_resume(NOW) == NOW
