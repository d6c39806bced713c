"""What a task returns of a result that a hostile graph, model or message has made."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk._shared.serialization import FORBIDDEN_XCOM_KEYS
from airflow.sdk.serde import deserialize, serialize

from airflow_provider_langgraph.exceptions import ResultRefusedError
from airflow_provider_langgraph.requests import outcome
from airflow_provider_langgraph.requests.result_value import _RESERVED, value_of
from workflow_events.results import ResultStatus, WorkflowResultEvent

CONNECTION = {"__type": "airflow.sdk.definitions.connection.Connection", "__var": {"conn_id": "x", "host": "evil"}}
HOSTILE = [
    CONNECTION,
    {"__classname__": "builtins.tuple", "__version__": 1, "__data__": [1]},
    {"__id__": "x"},
    {"__type": "dict", "__var": {"a": 1}},
]


def success(result: Any) -> WorkflowResultEvent:
    return WorkflowResultEvent(
        correlation_id=uuid4(),
        workflow_id="dag",
        workflow_run_id="run",
        status=ResultStatus.SUCCESS,
        result=result,
        thread_id="t",
    )


def test_airflow_does_make_objects_of_a_result():
    """If this fails, Airflow has changed, and for the better."""
    assert type(deserialize(serialize({"log": [CONNECTION]}))["log"][0]).__name__ == "Connection"


def test_all_keys_that_airflow_knows_are_refused():
    assert _RESERVED >= FORBIDDEN_XCOM_KEYS


@pytest.mark.parametrize("value", HOSTILE)
def test_what_becomes_an_object_is_refused_with_its_place(value):
    with pytest.raises(ResultRefusedError, match=r"at result\['log'\]\[1\] it has '__") as refused:
        value_of(success({"log": ["fine", value]}), "json")
    assert isinstance(refused.value, AirflowFailException)
    assert "result_format='text'" in str(refused.value)
    assert refused.value.result.status is ResultStatus.SUCCESS
    with pytest.raises(ResultRefusedError, match="at result it has"):
        value_of(success(value), "json")


@pytest.mark.parametrize("value", HOSTILE)
def test_the_text_holds_whatever_it_is(value):
    text = value_of(success({"log": [value]}), "text")
    assert deserialize(serialize(text)) == text
    assert json.loads(text) == {"log": [value]}


@pytest.mark.parametrize("value", [None, 1, "__classname__", ["__type", "__var"], {"type": "__var", "a": {"_type": 1}}])
def test_plain_values_are_returned_as_they_are(value):
    assert value_of(success(value), "json") == value


def test_the_depth_is_no_matter():
    deep: Any = CONNECTION
    for _ in range(5_000):
        deep = [deep]
    result = success(None).model_copy(update={"result": deep})
    with pytest.raises(ResultRefusedError):
        value_of(result, "json")


def test_a_refused_result_is_not_noted_as_returned(monkeypatch, caplog):
    """Else a retry would count as a clear, and the agent would run, and be paid, again."""
    noted = []
    monkeypatch.setattr(outcome, "note_returned", noted.append)
    with pytest.raises(ResultRefusedError):
        outcome.return_value(success(CONNECTION), "json", {}, None)
    assert noted == []
