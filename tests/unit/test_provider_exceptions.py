from __future__ import annotations

from uuid import uuid4

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_langgraph import exceptions as e
from workflow_events import ResultStatus, WorkflowResultEvent


def answer(status, **fields):
    return WorkflowResultEvent(
        **{"correlation_id": uuid4(), "workflow_id": "w", "workflow_run_id": "r", "status": status} | fields
    )


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("failure", e.RunFailed),
        ("error", e.RunRejected),
        ("timeout", e.RunTimedOut),
        ("cancelled", e.RunCancelled),
        ("interrupted", e.RunInterrupted),
    ],
)
@pytest.mark.parametrize("retriable", [True, False])
def test_the_type_says_which_and_whether_airflow_retries(status, kind, retriable):
    error = e.error_for(answer(status, retriable=retriable, error="the market is closed", error_type="ClosedError"))

    assert isinstance(error, kind)
    assert isinstance(error, AirflowFailException) is not retriable
    assert error.retriable is retriable
    assert "the market is closed" in str(error)
    assert "ClosedError" in str(error)
    assert status in str(error)


@pytest.mark.parametrize(
    ("status", "retriable"),
    [("failure", True), ("timeout", True), ("error", False), ("cancelled", False), ("interrupted", False)],
)
def test_what_the_worker_cannot_tell_has_a_default(status, retriable):
    assert e.error_for(answer(status)).retriable is retriable


def test_every_unhappy_status_has_an_exception():
    for status in set(ResultStatus) - {ResultStatus.SUCCESS}:
        assert e.error_for(answer(status)).result.status is status


def test_settings_are_never_retried_and_kafka_is():
    assert issubclass(e.SettingsError, AirflowFailException)
    assert issubclass(e.KafkaSettingsError, AirflowFailException)
    assert not issubclass(e.PublishError, AirflowFailException)
    assert issubclass(e.LangGraphError, AirflowException)
