"""What a task returns of a result that a hostile graph, model or message has made."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any
from uuid import uuid4

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk._shared.serialization import FORBIDDEN_XCOM_KEYS
from airflow.sdk.execution_time.comms import SetXCom, _RequestFrame
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


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (2**64, r"at result\['log'\]\[0\] it has an integer of more than 64 bits"),
        (-(2**63) - 1, "it has an integer of more than 64 bits"),
        ("a\0b", r"at result\['log'\]\[0\] it has a zero character"),
        ({"a\0b": 1}, r"at result\['log'\]\[0\] it has a zero character"),
    ],
    ids=["large", "small", "text", "key"],
)
def test_what_airflow_cannot_store_is_refused_with_its_place(value, said):
    """It would fail the task after it has returned: its retry would be a clear, and run the agent again."""
    with pytest.raises(ResultRefusedError, match=said):
        value_of(success({"log": [value]}), "json")
    text = value_of(success({"log": [value]}), "text")
    assert "\0" not in text
    assert json.loads(text) == {"log": [value]}


@pytest.mark.parametrize("value", [2**64 - 1, -(2**63), True, 1.7976931348623157e308, "\ud7ff\x01\U0010ffff"], ids=repr)
def test_what_airflow_hands_on_and_stores_is_returned(value):
    assert value_of(success({"log": [value]}), "json") == {"log": [value]}
    frame = _RequestFrame(id=1, body=SetXCom(key="k", value=value, dag_id="d", task_id="t", run_id="r").model_dump())
    assert frame.as_bytes()


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1])
def test_a_task_cannot_hand_airflow_a_larger_integer(value):
    """If this fails, Airflow has changed, and for the better."""
    frame = _RequestFrame(id=1, body=SetXCom(key="k", value=value, dag_id="d", task_id="t", run_id="r").model_dump())
    with pytest.raises(OverflowError):
        frame.as_bytes()


def test_the_length_of_a_name_is_no_matter():
    """As many copies of it as its list has values would fill the memory of any task."""
    result = success({"k" * 100_000: [*range(2_000), CONNECTION]})
    tracemalloc.start()
    try:
        with pytest.raises(ResultRefusedError, match=r"at result\['kkk.*… it has '__type', '__var'") as refused:
            value_of(result, "json")
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()
    assert len(str(refused.value)) < 1_000


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
