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


def test_the_reason_may_be_put_into_other_words():
    refused = answer("error", error="field 'payload.data': no")
    assert str(e.error_for(refused, "input: no")).startswith("input: no (status error; ")
    assert e.error_for(refused, "input: no").result is refused


def test_every_unhappy_status_has_an_exception():
    for status in set(ResultStatus) - {ResultStatus.SUCCESS}:
        assert e.error_for(answer(status)).result.status is status


def test_settings_are_never_retried_and_kafka_is():
    assert issubclass(e.SettingsError, AirflowFailException)
    assert issubclass(e.KafkaSettingsError, AirflowFailException)
    assert not issubclass(e.PublishError, AirflowFailException)
    assert issubclass(e.LangGraphError, AirflowException)


@pytest.mark.parametrize("field", ["error", "error_type", "thread_name", "worker_id"])
def test_no_text_of_an_agent_passes_for_another_line_or_moves_the_cursor(field):
    evil = "first\n2026-01-01 INFO it succeeded\x1b[2J\r\u202e\x85"
    first, *others = str(e.error_for(answer("failure", **{field: evil}))).split("\n")
    assert "first" in first
    assert [other.startswith("    2026-01-01 INFO it succeeded") for other in others] == [True]
    assert all(part.isprintable() for part in (first, *others))


def test_a_broker_s_words_stay_in_their_line_of_the_error():
    assert str(e.KafkaError("cannot:\x1b[31m\nfine")) == "cannot:\\x1b[31m\n    fine"
