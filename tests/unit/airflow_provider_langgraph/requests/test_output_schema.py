from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from types import SimpleNamespace
from typing import Annotated
from uuid import UUID

import pytest
from airflow.sdk import DAG
from airflow.serialization import serialized_objects
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, field_validator
from typing_extensions import TypedDict

from airflow_provider_langgraph.exceptions import OutputSchemaError, ResultRefusedError, SettingsError
from airflow_provider_langgraph.operators.langgraph import LangGraphTriggerOperator
from airflow_provider_langgraph.requests import task_identity
from airflow_provider_langgraph.requests.reply import reply_of
from airflow_provider_langgraph.sensors.langgraph import LangGraphResultSensor
from workflow_events import WorkflowResultEvent
from workflow_events.codec import Record, encode
from workflow_events.identity import correlation_id

TI_ID = UUID("019a0000-0000-7000-8000-000000000001")
MODULE = __name__


class Figure(BaseModel):
    symbol: str
    on: date
    price: Decimal


class Report(BaseModel):
    model_config = ConfigDict(strict=True)

    figures: list[Figure]
    note: str = "none"


class Outer:
    Inner = Figure


class Angry(BaseModel):
    symbol: str

    @field_validator("symbol")
    @classmethod
    def check(cls, value: str) -> str:
        raise KeyError(value)


class Forged(BaseModel):
    model_config = ConfigDict(extra="allow")


class Plain:
    pass


class Verdict(TypedDict):
    buy: bool


Unwritable = Annotated[str, PlainSerializer(lambda _: object())]

FIGURE = {"symbol": "IBM", "on": "2026-11-30", "price": "86.39"}


def returned(schema, result, **fields):
    answer = WorkflowResultEvent(
        correlation_id=correlation_id(TI_ID), workflow_id="d", workflow_run_id="r", status="success", result=result
    )
    message = encode(answer)
    event = reply_of(Record("results", 0, 7, message.value, message.headers), str(answer.correlation_id))
    operator = LangGraphTriggerOperator(task_id="agent", output_schema=schema, **fields)
    return operator.execute_complete({"ti": SimpleNamespace(id=TI_ID)}, event)


@pytest.mark.parametrize("schema", [Report, f"{MODULE}.Report", f"{MODULE}:Report"])
def test_the_task_returns_the_validated_value_as_json(schema):
    value = returned(schema, {"figures": [FIGURE], "extra": 1})
    assert value == {"figures": [FIGURE], "note": "none"}
    assert json.loads(json.dumps(value)) == value


@pytest.mark.parametrize(
    ("schema", "result"),
    [
        (list[Figure], [FIGURE]),
        (Verdict, {"buy": True}),
        (int | None, 5),
        (Annotated[int, Field(gt=0)], 5),
        (bool, True),
    ],
)
def test_any_type_of_which_pydantic_makes_a_validator_will_do(schema, result):
    assert returned(schema, result) == result


def test_a_class_inside_of_another_has_a_path_too():
    assert returned(f"{MODULE}.Outer.Inner", FIGURE) == FIGURE


@pytest.mark.parametrize(
    ("schema", "result", "says"),
    [
        (Report, {"figures": [FIGURE, FIGURE | {"on": "soon"}]}, r"schema Report: figures\.1\.on: Input should be"),
        (Report, {}, r"figures: Field required"),
        (list[int], ["s3cret"], r"schema list\[int\]: 0: Input should be a valid integer"),
        (int, "s3cret", "the result: Input should be a valid integer"),
        (list[int], ["s3cret"] * 9, r"4: Input .*; and 4 more"),
        (Angry, {"symbol": "IBM"}, "schema Angry: KeyError: 'IBM'"),
        (Unwritable, "x", "PydanticSerializationError"),
    ],
)
def test_a_result_that_does_not_fit_fails_the_task_and_names_the_field(schema, result, says):
    with pytest.raises(OutputSchemaError, match=says) as caught:
        returned(schema, result)
    assert "s3cret" not in str(caught.value)
    assert str(correlation_id(TI_ID)) in str(caught.value)
    assert caught.value.retriable is False
    assert caught.value.result is not None


def test_such_a_result_is_not_noted_as_returned(monkeypatch):
    noted = []
    monkeypatch.setattr(task_identity, "_state_store", lambda context: noted.append(context))
    with pytest.raises(OutputSchemaError):
        returned(int, "x")
    assert noted == []


def test_what_airflow_would_take_for_its_own_is_refused_behind_a_schema_too():
    with pytest.raises(ResultRefusedError, match="'__type', '__var'"):
        returned(Forged, {"__type": "datetime", "__var": 5})


def test_as_text_it_is_the_json_of_the_validated_value():
    assert returned(Verdict, {"buy": True, "more": 1}, result_format="text") == '{"buy":true}'


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        (5, "output_schema: it cannot be used: an int is no type. Give a pydantic model class"),
        (Report.model_construct(figures=[]), "a Report is no type"),
        (Plain, "output_schema: it cannot be used: Unable to generate pydantic-core schema"),
        ("Report", "output_schema: 'Report' is no dotted path of a class"),
        ("my models.Report", "is no dotted path"),
        (".models.Report", "is no dotted path"),
    ],
)
def test_what_is_no_schema_is_refused_when_the_dag_is_parsed(schema, says):
    for kind, fields in ((LangGraphTriggerOperator, {}), (LangGraphResultSensor, {"handle": {}})):
        with pytest.raises(SettingsError, match=says):
            kind(task_id="agent", output_schema=schema, **fields)


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("no_such_package.models.Report", "'no_such_package.models.Report' cannot be imported: ModuleNotFoundError"),
        (f"{MODULE}.Repotr", "cannot be imported: AttributeError: .*Repotr"),
        (f"{MODULE}.TI_ID", "a UUID is no type"),
    ],
)
def test_a_path_that_leads_nowhere_fails_before_the_agent_is_asked(path, says):
    context = {"ti": SimpleNamespace(id=TI_ID)}
    for kind, fields in ((LangGraphTriggerOperator, {}), (LangGraphResultSensor, {"handle": HANDLE})):
        with pytest.raises(SettingsError, match=says):
            kind(task_id="agent", output_schema=path, **fields).execute(context)


HANDLE = {
    "correlation_id": str(TI_ID),
    "workflow_id": "d",
    "workflow_run_id": "r",
    "kafka_config_id": "k",
    "events_topic": "e",
    "results_topic": "r",
    "cluster": "",
    "start_offsets": {},
    "deadline": "2026-11-30T00:00:00+00:00",
    "control_topic": "c",
    "progress_topic": "p",
}


def test_without_waiting_there_is_nothing_to_validate():
    with pytest.raises(
        SettingsError, match=r"output_schema: .* returns a handle, not a result. Give .*LangGraphResultSensor"
    ):
        LangGraphTriggerOperator(task_id="ask", output_schema=Report, wait_for_completion=False)


@pytest.mark.parametrize("schema", [Report, f"{MODULE}.Report", list[Figure]])
def test_a_dag_with_one_is_serialized_also_where_its_task_is_mapped(schema):
    with DAG("typed", schedule=None) as dag:
        LangGraphTriggerOperator(task_id="one", output_schema=schema)
        LangGraphTriggerOperator.partial(task_id="many", output_schema=schema).expand(input=[1, 2])
        LangGraphResultSensor.partial(task_id="waits", output_schema=schema).expand(handle=[HANDLE])
    # Airflow 3.1 has one class for both, under the other name.
    codec = getattr(serialized_objects, "DagSerialization", None) or serialized_objects.SerializedDAG
    written = json.loads(json.dumps(codec.to_dict(dag)))
    assert set(codec.from_dict(written).task_dict) == {"one", "many", "waits"}
    # Workers run what the DAG file says, mapped tasks too.
    assert dag.get_task("many").partial_kwargs["output_schema"] == schema
