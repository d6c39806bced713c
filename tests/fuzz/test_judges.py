"""What the judges of the fuzz would not let pass: the product never shows them any of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

import pytest
from langgraph.pregel import Pregel

from tests.fuzz import airflow_side, meaning
from tests.fuzz.wrong import Wrong
from workflow_events.codec import Record
from workflow_events.models import WorkflowEvent

GRAPH = cast("Pregel[Any]", None)
BODY: dict[str, Any] = {
    "event_id": str(UUID(int=1)),
    "event_type": "workflow.triggered",
    "source": "airflow",
    "workflow_id": "dag",
    "workflow_run_id": "run",
}
OBEYED = [
    {"__overwrite__": []},
    {"type": "__overwrite__", "value": 1},
    {"role": "remove", "content": "", "id": "1"},
    {"lc": 1, "type": "constructor", "id": ["RemoveMessage"], "kwargs": {"id": "1", "content": ""}},
]


def event(**fields: Any) -> WorkflowEvent:
    return WorkflowEvent.model_validate(BODY | fields)


@pytest.mark.parametrize("value", OBEYED)
def test_an_event_that_langgraph_obeys(value: dict[str, Any], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(meaning, "require_allowed", lambda *_: None)
    assert meaning.judge_power(event(payload={"data": {"a": [{"b": "fine"}]}}), GRAPH)
    with pytest.raises(Wrong):
        meaning.judge_power(event(payload={"data": {"a": [{"b": value}]}}), GRAPH)


@pytest.mark.parametrize("config", [{"tags": ["langsmith:hidden"]}, {"configurable": {"base_url": "x", "run_id": "y"}}])
def test_an_event_that_sets_what_it_may_not(config: dict[str, Any], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(meaning, "require_allowed", lambda *_: None)
    asked = event().model_copy(update={"config": event().config.model_copy(update=config)})
    with pytest.raises(Wrong, match="it sets"):
        meaning.judge_power(asked, GRAPH)


@pytest.mark.parametrize(
    ("written", "taken"),
    [
        ("2024-02-29T00:00:00+14:00", datetime(2024, 2, 28, 10, tzinfo=UTC)),
        ("2199-12-31T23:59:59.123456789Z", datetime(2199, 12, 31, 23, 59, 59, 123456, tzinfo=UTC)),
        ("1970-01-01T00:00:00-00:00", datetime(1970, 1, 1, tzinfo=UTC)),
    ],
)
def test_an_instant_that_is_another(written: str, taken: datetime):
    meaning.judge_instant("x", written, taken)
    with pytest.raises(Wrong):
        meaning.judge_instant("x", written, taken + timedelta(microseconds=1))
    with pytest.raises(Wrong):
        meaning.judge_instant("x", None, datetime(2201, 1, 1, tzinfo=UTC))


def test_an_event_that_means_something_else():
    asked = event(payload={"data": {"a": 1}})
    meaning.judge_meaning(Record("t", 0, 0, json.dumps(BODY | {"payload": {"data": {"a": 1}}}).encode()), asked)
    with pytest.raises(Wrong, match="its input is another"):
        meaning.judge_meaning(Record("t", 0, 0, json.dumps(BODY | {"payload": {"data": {"a": 1.0}}}).encode()), asked)


@pytest.mark.parametrize("value", [{"__type": "dict", "__var": {}}, {"a": [{"__source": 1}]}, "a\0b", {"a": "b\\\0"}])
def test_a_result_that_airflow_would_not_hand_on_as_it_is(value: Any):
    with pytest.raises(Wrong):
        airflow_side._judge_returned(value, value, "json")
    airflow_side._judge_returned(json.dumps(value), value, "text")
