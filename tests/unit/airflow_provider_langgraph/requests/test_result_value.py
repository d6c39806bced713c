"""What a task returns of a result that a hostile graph, model or message has made."""

from __future__ import annotations

import json
import tracemalloc
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from airflow.models.xcom import XComModel
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


LARGE = 2**64
NOT_KEPT = [({"a": ["x\0y"]}, r"\['a'\]\[0\] it has a NUL"), ({"a": {"k\0": 1}}, r"\['a'\] it has a key with a NUL")]
NOT_SENT = [({"wei": LARGE}, r"\['wei'\] it has an integer"), ([1, -(2**63) - 1], r"\[1\] it has an integer")]


@pytest.mark.parametrize(("value", "said"), NOT_KEPT + NOT_SENT)
def test_what_airflow_cannot_keep_is_refused_before_it_is_tried(value, said):
    with pytest.raises(ResultRefusedError, match=f"at result{said}"):
        value_of(success(value), "json")
    text = value_of(success(value), "text")
    sent(text)
    assert "\0" not in text
    assert json.loads(text) == value


def sent(value: Any) -> bytes:
    """As a task's process sends what it returns."""
    message = SetXCom(key="return_value", value=value, dag_id="dag", run_id="run", task_id="task")
    return _RequestFrame(id=1, body=message.model_dump()).as_bytes()


@pytest.mark.parametrize(("value", "said"), NOT_SENT)
def test_airflow_does_not_send_large_integers(value, said):
    """If this fails, Airflow has changed, and for the better."""
    with pytest.raises(OverflowError):
        sent(value)


@pytest.mark.parametrize("value", [LARGE - 1, -(2**63), True, 1e308, "\u2028", {"": {"\ud7ff": None}}])
def test_what_airflow_keeps_is_returned(value):
    assert sent(value_of(success(value), "json"))


@pytest.mark.parametrize("value", HOSTILE)
def test_a_text_that_airflow_reads_as_json_is_looked_through(value):
    with pytest.raises(ResultRefusedError, match=r"at result\['log'\]\[0\] it has '__.* it reads as JSON"):
        value_of(success(json.dumps({"log": [value]})), "json")


def test_airflow_does_make_objects_of_a_text():
    """If this fails, Airflow has changed, and for the better."""
    row = SimpleNamespace(value=json.dumps(CONNECTION))
    assert type(XComModel.deserialize_value(row)).__name__ == "Connection"


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "__type", '{"a": "{\\"__type\\": 1}"}', "9" * 5_000])
def test_other_texts_are_returned(text):
    assert value_of(success(text), "json") == text


def test_a_long_key_around_many_values_costs_no_memory():
    result = success({"k" * 20_000: [[] for _ in range(20_000)]})
    tracemalloc.start()
    try:
        value_of(result, "json")
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


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
