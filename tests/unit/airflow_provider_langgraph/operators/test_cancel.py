from __future__ import annotations

import json
from datetime import UTC, datetime
from types import SimpleNamespace
from uuid import UUID

import pytest

from airflow_provider_langgraph.exceptions import KafkaError, PublishError, SettingsError
from airflow_provider_langgraph.operators.cancel import LangGraphCancelOperator
from airflow_provider_langgraph.requests.handle import RequestHandle
from airflow_provider_langgraph.requests.topics import topics_of
from workflow_events.control import WorkflowCancelledEvent

REQUEST = UUID("5b1e5c1c-0a8e-5b1f-9f65-8d6f0f2f4b11")
HANDLE = RequestHandle(
    REQUEST,
    "w",
    "r",
    "kafka_risk",
    "e",
    "res",
    "c",
    {0: 1},
    datetime.now(UTC),
    control_topic="steer",
    progress_topic="p",
).to_dict()
CONTEXT = {"ti": SimpleNamespace(dag_id="report", task_id="stop")}


class Hook:
    """A hook that only takes note."""

    def __init__(self):
        self.connection = ""
        self.sent = []
        self.required = []
        self.error = None

    def make(self, kafka_config_id, *, fleet, **_):
        self.connection = kafka_config_id
        self.topics = topics_of(fleet)
        return self

    def require_topics(self, *topics):
        self.required += topics

    def cancel(self, request, topic, *, reason):
        if self.error:
            raise self.error
        WorkflowCancelledEvent(correlation_id=request, reason=reason)
        self.sent.append((request, topic, reason))


@pytest.fixture
def hook(monkeypatch):
    hook = Hook()
    monkeypatch.setattr("airflow_provider_langgraph.hooks.kafka.KafkaHook", hook.make)
    return hook


def operator(**fields):
    return LangGraphCancelOperator(task_id="stop", **fields)


@pytest.mark.parametrize("handle", [HANDLE, json.dumps(HANDLE), str(HANDLE)])
def test_a_handle_names_the_request_the_connection_and_the_fleet(hook, handle):
    others = {"kafka_config_id": "other", "fleet": "other"}
    stop = operator(handle=handle, reason="too late", default_args=others)
    assert stop.execute(CONTEXT) == str(REQUEST)
    assert hook.connection == "kafka_risk"
    assert hook.sent == [(REQUEST, "steer", "too late")]


@pytest.mark.parametrize("value", [REQUEST, str(REQUEST)])
def test_a_correlation_id_goes_to_the_named_fleet(hook, value):
    assert operator(correlation_id=value, kafka_config_id="mine", fleet="risk").execute(CONTEXT) == str(REQUEST)
    assert hook.connection == "mine"
    assert hook.sent == [(REQUEST, "risk.workflow-control", "cancelled by task stop of DAG report")]


def test_a_topic_that_is_missing_is_not_created_by_asking(hook):
    operator(correlation_id=str(REQUEST)).execute(CONTEXT)
    assert hook.required == ["workflow-control"]


@pytest.mark.parametrize("error", [KafkaError, PublishError])
def test_a_cancel_that_is_not_acknowledged_fails_the_task(hook, error):
    hook.error = error("no broker")
    with pytest.raises(error, match="no broker"):
        operator(correlation_id=str(REQUEST)).execute(CONTEXT)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        (
            {"correlation_id": "7"},
            "^correlation_id: '7' is no UUID. Pass the handle of the request as handle=ask.output",
        ),
        ({"correlation_id": HANDLE}, "^correlation_id: a dict is no UUID"),
        ({"correlation_id": "x" * 500}, "^correlation_id: 'x{60}…' is no UUID"),
        ({"handle": str(REQUEST)}, f"^handle: the text '{REQUEST}' is no mapping"),
        ({"handle": {"verdict": "buy"}}, "^handle: it has no correlation_id"),
        ({"correlation_id": str(REQUEST), "reason": "x" * 3000}, "^reason: .*2048.*Shorten it"),
        ({"correlation_id": str(REQUEST), "reason": ["x"]}, r"^reason must be a text, not \['x'\]$"),
        ({"handle": HANDLE, "fleet": "risk"}, "^fleet: the handle names the connection and the topics. Leave it out$"),
        ({"handle": HANDLE, "kafka_config_id": "nope"}, "^kafka_config_id: the handle names the connection"),
    ],
)
def test_what_names_no_request_is_an_error_that_says_so(hook, fields, says):
    with pytest.raises(SettingsError, match=says):
        operator(**fields).execute(CONTEXT)
    assert hook.sent == []


def test_a_number_is_a_reason(hook):
    operator(correlation_id=str(REQUEST), reason=5).execute(CONTEXT)
    assert hook.sent[0][2] == "5"


@pytest.mark.parametrize("value", [None, ""])
def test_what_a_skipped_task_renders_to_is_named(hook, value):
    stop = operator(handle="{{ ti.xcom_pull('ask') }}")
    stop.handle = value
    with pytest.raises(SettingsError, match=r"^handle: "):
        stop.execute(CONTEXT)
    stop = operator(correlation_id="{{ ti.xcom_pull('ask') }}")
    stop.correlation_id = value
    with pytest.raises(SettingsError, match=r"^correlation_id: "):
        stop.execute(CONTEXT)


@pytest.mark.parametrize("fields", [{}, {"handle": HANDLE, "correlation_id": str(REQUEST)}])
def test_either_names_the_request(fields):
    with pytest.raises(SettingsError, match="give either handle or correlation_id"):
        operator(**fields)


def test_a_wrong_fleet_is_refused_when_the_dag_is_parsed():
    with pytest.raises(SettingsError, match="fleet: 'ris k' is no name for a fleet"):
        operator(correlation_id=str(REQUEST), fleet="ris k")


def test_what_the_author_may_template():
    assert set(LangGraphCancelOperator.template_fields) == {"handle", "correlation_id", "reason", "fleet"}
