from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import structlog
from airflow.sdk import DAG, TaskInstanceState, task
from airflow.sdk.bases.operatorlink import BaseOperatorLink
from airflow.sdk.execution_time import task_runner
from airflow.serialization.serialized_objects import DagSerialization

from airflow_provider_langgraph.exceptions import SettingsError
from airflow_provider_langgraph.get_provider_info import get_provider_info
from airflow_provider_langgraph.links import langgraph
from airflow_provider_langgraph.operators.agent import LangGraphOperator
from airflow_provider_langgraph.operators.cancel import LangGraphCancelOperator
from airflow_provider_langgraph.operators.langgraph import LangGraphTriggerOperator
from airflow_provider_langgraph.operators.multi_agent import MultiAgentOperator
from airflow_provider_langgraph.operators.resume import LangGraphResumeOperator
from airflow_provider_langgraph.sensors.langgraph import LangGraphResultSensor

OPTIONS = {"run_url": "{correlation_id}", "trace_url": "{trace_id}", "thread_url": "{thread_id}"}
LINKS = {
    "Agent run": "_link_AgentRunLink",
    "Agent trace": "_link_AgentTraceLink",
    "Agent thread": "_link_AgentThreadLink",
}


@pytest.fixture
def configured(monkeypatch):
    for option, field in OPTIONS.items():
        monkeypatch.setenv(f"AIRFLOW__LANGGRAPH__{option.upper()}", f"https://runs.example.com/{field}")


def serialised():
    with DAG("links", schedule=None) as dag:
        ask = LangGraphTriggerOperator(task_id="ask", wait_for_completion=False)
        LangGraphOperator(task_id="agent", agent_config={"type": "count"})
        LangGraphResultSensor(task_id="answer", handle=ask.output)
        LangGraphCancelOperator(task_id="stop", handle=ask.output)
        LangGraphResumeOperator(task_id="reply", question="{{ 1 }}", answer="yes")
        LangGraphTriggerOperator.partial(task_id="each").expand(input=[1, 2])
        LangGraphResultSensor.partial(task_id="each_answer").expand(handle=[{}])

        @task.langgraph(graph="count")
        def made(number):
            return {"number": number}

        made(1)
        made.override(task_id="mapped").expand(number=[1, 2])
    return json.loads(json.dumps(DagSerialization.to_dict(dag)))


@pytest.mark.usefixtures("configured")
def test_every_task_has_the_configured_links():
    stored = serialised()
    named = {task["__var"]["task_id"]: task["__var"].get("_operator_extra_links") for task in stored["dag"]["tasks"]}
    assert set(named) == {"ask", "agent", "answer", "stop", "reply", "each", "each_answer", "made", "mapped"}
    assert all(links == LINKS for links in named.values())

    for read in DagSerialization.from_dict(stored).tasks:
        assert sorted(read.extra_links) == sorted(LINKS)
        assert {type(link).__module__.split(".")[0] for link in read.operator_extra_links} == {"airflow"}


def test_without_configuration_a_task_has_no_links():
    tasks = serialised()["dag"]["tasks"]
    assert not any(task["__var"].get("_operator_extra_links") for task in tasks)


def test_a_link_that_is_configured_alone_is_alone(monkeypatch):
    monkeypatch.setenv("AIRFLOW__LANGGRAPH__THREAD_URL", "https://runs.example.com/{thread_id}")
    links = LangGraphTriggerOperator(task_id="ask").operator_extra_links
    assert [link.name for link in links] == ["Agent thread"]


def test_airflow_lists_every_link():
    named = {name.rpartition(".")[2] for name in get_provider_info()["extra-links"]}
    assert named == set(langgraph.__all__)
    assert all(issubclass(getattr(langgraph, name), BaseOperatorLink) for name in named)


@pytest.mark.usefixtures("configured")
def test_a_task_that_has_not_asked_has_no_url():
    task = LangGraphTriggerOperator(task_id="ask")
    assert [link.get_link(task, ti_key=None) for link in task.operator_extra_links] == ["", "", ""]


@task.langgraph(graph="count")
def made(number):
    return {"number": number}


@pytest.mark.parametrize("links", [0, 3])
@pytest.mark.parametrize(
    "mapped",
    [
        lambda **given: LangGraphTriggerOperator.partial(budget={"token": 1}, **given).expand(input=[1]),
        lambda **given: MultiAgentOperator.partial(budget={"token": 1}, **given).expand(agents=[[{"type": "count"}]]),
        lambda **given: LangGraphResultSensor.partial(on_interrupt="x", **given).expand(handle=[{}]),
        lambda **given: made.override(**given).partial().expand(number=[1]).operator,
    ],
)
def test_a_mapped_task_that_is_refused_calls_its_callbacks(mapped, links, monkeypatch, request):
    """It ends before Airflow has made a task of it, as the mapped task of the DAG file."""
    if links:
        request.getfixturevalue("configured")
    kept, called = {}, []
    monkeypatch.setattr(task_runner, "_xcom_push_to_db", lambda ti, key, value: kept.update({key: value}))
    with DAG("links", schedule=None):
        one = mapped(task_id="each", on_failure_callback=[called.append])
    context = {"exception": SettingsError("budget: unknown key 'token'")}
    ended = SimpleNamespace(task=one, start_date=None, end_date=None)
    task_runner.finalize(ended, TaskInstanceState.FAILED, context, structlog.get_logger(), context["exception"])
    assert called == [context]
    has_links = one.operator_class is not MultiAgentOperator
    assert kept == (dict.fromkeys(LINKS.values(), "") if links and has_links else {})
