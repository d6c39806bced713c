"""When Airflow retries an agent's task, and after how long."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from airflow.sdk import DAG, RetryAction

from airflow_provider_langgraph import retry_policies
from airflow_provider_langgraph.exceptions import KafkaError, RunFailed, SettingsError, error_for
from airflow_provider_langgraph.operators.langgraph import LangGraphTriggerOperator
from airflow_provider_langgraph.retry_policies import LangGraphRetryPolicy
from workflow_events.results import ResultStatus, WorkflowResultEvent

POLICY = LangGraphRetryPolicy(longest=timedelta(hours=1))


def failed(**fields: Any) -> Exception:
    result = WorkflowResultEvent(
        correlation_id=uuid4(), workflow_id="d", workflow_run_id="r", status=ResultStatus.FAILURE, error="no", **fields
    )
    return error_for(result)


def decide(error: BaseException) -> Any:
    return POLICY.evaluate(error, 1, 3)


def test_it_waits_as_long_as_the_worker_names():
    found = decide(failed(retriable=True, retry_after_seconds=90.5))
    assert (found.action, found.retry_delay) == (RetryAction.RETRY, timedelta(seconds=90.5))
    assert found.reason == "the agent's worker asks to wait 0:01:30.500000"


def test_it_waits_no_longer_than_its_author_allows():
    assert decide(failed(retriable=True, retry_after_seconds=1e300)).retry_delay == timedelta(hours=1)


def test_where_no_retry_helps_there_is_none():
    for error in (failed(retriable=False, retry_after_seconds=5.0), SettingsError("graph: ...")):
        assert decide(error).action is RetryAction.FAIL


@pytest.mark.parametrize(
    "error",
    [
        failed(retriable=True),
        failed(retriable=True, retry_after_seconds=0.0),
        RunFailed("no answer"),
        KafkaError("away"),
        ValueError(),
    ],
)
def test_what_names_no_wait_is_left_to_the_task(error):
    assert decide(error).action is RetryAction.DEFAULT


def test_an_operator_takes_it():
    with DAG("d"):
        made = LangGraphTriggerOperator(task_id="t", graph="g", retries=2, retry_policy=POLICY)
    assert made.retry_policy is POLICY


def test_it_is_the_same_after_it_was_written_as_json():
    assert LangGraphRetryPolicy.deserialize(POLICY.serialize()).longest == POLICY.longest


def test_before_airflow_3_3_it_says_what_to_do(monkeypatch):
    monkeypatch.setattr(retry_policies, "RetryPolicy", object)
    with pytest.raises(SettingsError, match=r"needs Airflow 3\.3 or newer, .* Leave it out"):
        LangGraphRetryPolicy()
