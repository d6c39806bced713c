"""Values that an author easily gets wrong: an unset variable, the text of a truth value, a secret."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, SecretStr

from airflow_provider_langgraph.exceptions import SettingsError
from airflow_provider_langgraph.hooks.kafka import KafkaHook
from airflow_provider_langgraph.operators.agent import LangGraphOperator
from airflow_provider_langgraph.operators.cancel import LangGraphCancelOperator
from airflow_provider_langgraph.operators.langgraph import LangGraphTriggerOperator
from airflow_provider_langgraph.operators.multi_agent import MultiAgentOperator
from airflow_provider_langgraph.operators.resume import LangGraphResumeOperator
from airflow_provider_langgraph.requests.build import RequestArguments, build_event
from airflow_provider_langgraph.sensors.langgraph import LangGraphResultSensor
from tests.support.asking_task import context

NO_MAPPING = "Input should be a valid dictionary. A template renders to text: write a mapping with templates inside"
ID = "5b1e5c1c-0a8e-5b1f-9f65-8d6f0f2f4b11"


@pytest.fixture(autouse=True)
def named_deployment(monkeypatch):
    monkeypatch.setenv("AIRFLOW__LANGGRAPH__DEPLOYMENT", "test-airflow")


def makers():
    return {
        "ask": lambda **more: LangGraphTriggerOperator(task_id="t", **more),
        "agent": lambda **more: LangGraphOperator(task_id="t", **more),
        "resume": lambda **more: LangGraphResumeOperator(task_id="t", question="{{ q }}", answer=1, **more),
        "several": lambda **more: MultiAgentOperator(task_id="t", agents=[{"type": "a"}, {"type": "b"}], **more),
        "sensor": lambda **more: LangGraphResultSensor(task_id="t", handle="{{ h }}", **more),
        "cancel": lambda **more: LangGraphCancelOperator(task_id="t", correlation_id=ID, **more),
        "hook": KafkaHook,
    }


@pytest.mark.parametrize("kind", ["ask", "agent", "resume", "several", "cancel", "hook"])
@pytest.mark.parametrize(("value", "shown"), [(None, "None"), ("", "''"), (5, "5")])
def test_a_connection_that_is_none_is_refused_at_once(kind, value, shown):
    with pytest.raises(SettingsError) as raised:
        makers()[kind](kafka_config_id=value)
    assert str(raised.value) == (
        f"kafka_config_id must be the id of an Airflow connection, not {shown}. Leave it out for 'kafka_default'"
    )


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("ask", "wait_for_completion"),
        ("agent", "wait_for_completion"),
        ("ask", "deferrable"),
        ("resume", "deferrable"),
        ("several", "deferrable"),
        ("sensor", "deferrable"),
        ("sensor", "cancel_on_kill"),
    ],
)
@pytest.mark.parametrize("value", ["no", "false", None, 0])
def test_what_is_no_truth_value_is_refused(kind, name, value):
    with pytest.raises(SettingsError) as raised:
        makers()[kind](**{name: value})
    assert str(raised.value) == f"{name} must be True or False, not {value!r}"


class Login(BaseModel):
    password: SecretStr


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({"input": {"key": SecretStr("hush")}}, "input.key"),
        ({"input": [Login(password="hush")]}, "input.0.password"),
        ({"context": {"key": SecretStr("hush")}}, "context.key"),
    ],
)
def test_a_secret_is_not_sent_as_stars(given, place):
    with pytest.raises(SettingsError) as raised:
        build_event(RequestArguments(**given), context())
    assert str(raised.value) == (
        f"{place}: a SecretStr would be sent as stars. Let the worker have the secret; or write .get_secret_value() "
        "to send it, which Kafka and the run store then keep"
    )


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (
            {"config": "{'tags': []}"},
            f"config: {NO_MAPPING}",
        ),
        (
            {"context": "{}"},
            f"context: {NO_MAPPING}",
        ),
        ({"config": {"recursion_limit": 0}}, "Raise it, or leave it out"),
        ({"config": {"recursion_limit": "many"}}, "Write a whole number"),
        ({"config": {"tags": "nightly"}}, "Write a list"),
        ({"graph": ""}, "Give it a value, or leave it out"),
        ({"graph": "g" * 600}, "Shorten it"),
        ({"graph": ["g"]}, "Write a text"),
    ],
)
def test_what_pydantic_says_has_a_remedy(given, says):
    with pytest.raises(SettingsError) as raised:
        build_event(RequestArguments(**given), context())
    assert says in str(raised.value)
    assert "RunConfig" not in str(raised.value)
