from __future__ import annotations

from dataclasses import dataclass

import pytest
from airflow.sdk import DAG

from airflow_provider_langgraph.decorators.langgraph import langgraph_task
from airflow_provider_langgraph.exceptions import RunError, SettingsError
from airflow_provider_langgraph.operators.agent import LangGraphOperator
from airflow_provider_langgraph.operators.langgraph import LangGraphTriggerOperator
from airflow_provider_langgraph.requests.arguments import in_author_words
from tests.support.asking_task import context, fired


@pytest.fixture(autouse=True)
def named_deployment(monkeypatch):
    monkeypatch.setenv("AIRFLOW__LANGGRAPH__DEPLOYMENT", "test-airflow")


AGENT = {"input": "input_data", "config": "agent_config"}


@pytest.mark.parametrize(
    ("text", "names", "shown"),
    [
        ("field 'payload.data': the graph rejects it", {}, "input: the graph rejects it"),
        ("field 'payload.data': the graph rejects it", AGENT, "input_data: the graph rejects it"),
        ("field 'payload.data.a.b': no", AGENT, "input_data.a.b: no"),
        ("asks[3]@17: field 'config.model': 'x' is not allowed", {}, "config.model: 'x' is not allowed"),
        ("asks[3]@17: field 'config.model': no", AGENT, "agent_config.model: no"),
        ("field 'config.configurable.api_key': no", AGENT, "agent_config.configurable.api_key: no"),
        ("field 'context.user': no", {"context": "agent_config.context"}, "agent_config.context.user: no"),
        ("field 'graph': must name one", {}, "graph: must name one"),
        ("asks-7.a_b[3]@17: must be Unicode", {}, "must be Unicode"),
        ("asks[3]@17: field 'round': no", {}, "field 'round': no"),
        ("a list[3]@17: of the graph", {}, "a list[3]@17: of the graph"),
        # Fields that no argument of an operator stands for, and texts of others.
        ("field 'payload.command': no", AGENT, "field 'payload.command': no"),
        ("field 'payload.database': no", AGENT, "field 'payload.database': no"),
        ("field 'configurable': no", AGENT, "field 'configurable': no"),
        ("the graph says: field 'payload.data': no", AGENT, "the graph says: field 'payload.data': no"),
        ("field 'payload.data': it says field 'config.a': no", AGENT, "input_data: it says field 'config.a': no"),
        ("", AGENT, ""),
    ],
)
def test_only_the_field_that_a_worker_names_first_is_renamed(text, names, shown):
    assert in_author_words(text, names) == shown


def decorated():
    with DAG("d"):

        @langgraph_task
        def made():
            return {}

        return made().operator


@pytest.mark.parametrize(
    ("make", "shown"),
    [
        (lambda: LangGraphTriggerOperator(task_id="t"), "input: no"),
        (lambda: LangGraphOperator(task_id="t"), "input_data: no"),
        (decorated, "input (from made()): no"),
    ],
)
def test_a_task_names_its_own_argument(make, shown):
    with pytest.raises(RunError) as refused:
        make().execute_complete(context(), fired("error", error="field 'payload.data': no"))
    assert str(refused.value).startswith(f"{shown} (status error; ")
    assert refused.value.result.error == "field 'payload.data': no"


def test_an_agents_own_text_is_left_alone():
    with pytest.raises(RunError, match=r"^field 'payload\.data': the agent's own words \(status failure"):
        LangGraphTriggerOperator(task_id="t").execute_complete(
            context(), fired("failure", error="field 'payload.data': the agent's own words")
        )


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"config": {"recursion_limit": "many"}}, "config.recursion_limit: Input should be a valid integer"),
        ({"config": {"recursion_limt": 3}}, "config: unknown key 'recursion_limt'. Did you mean 'recursion_limit'?"),
        ({"config": ["x"]}, "config must be a mapping, such as {'tags': ['nightly']}, not ['x']"),
        ({"config": {"configurable": {"model": "m"}}}, "config.configurable: model: set config.model instead"),
        ({"config": {"configurable": {"a": "x" * 70_000}}}, "large values belong to input"),
    ],
)
def test_a_config_that_can_never_be_right_is_refused_when_the_dag_is_read(given, says):
    with pytest.raises(SettingsError) as refused:
        LangGraphTriggerOperator(task_id="t", **given)
    assert str(refused.value).startswith(says) or str(refused.value).endswith(says)


@pytest.mark.parametrize(
    ("operator", "given", "says"),
    [
        (LangGraphTriggerOperator, {"context": "x"}, "context: it must be a mapping, such as {'user': 'ann'}, not 'x'"),
        (LangGraphTriggerOperator, {"context": [1]}, "context: it must be a mapping"),
        (LangGraphTriggerOperator, {"graph": ""}, "graph: a name is a text that is not empty, not ''. Write the name"),
        (LangGraphTriggerOperator, {"graph": ["a"]}, "graph: a name is a text"),
        (LangGraphTriggerOperator, {"graph": 10**5000}, "graph: a name is a text that is not empty, not an int"),
        (
            LangGraphTriggerOperator,
            {"context": 10**5000},
            "context: it must be a mapping, such as {'user': 'ann'}, not an",
        ),
        (LangGraphTriggerOperator, {"assistant": " "}, "assistant: a name is a text"),
        (
            LangGraphTriggerOperator,
            {"thread_id": ["a"]},
            "thread_id must be a text, not ['a']. Write a name",
        ),
        (LangGraphOperator, {"agent_config": {"context": [1]}}, "agent_config.context: it must be a mapping"),
        (LangGraphOperator, {"agent_config": {"type": ""}}, "agent_config.type: a name is a text"),
        (LangGraphOperator, {"model": ""}, "model: a name is a text"),
    ],
)
def test_a_value_that_can_never_be_right_is_refused_when_the_dag_is_read(operator, given, says):
    with pytest.raises(SettingsError) as refused:
        operator(task_id="t", **given)
    assert str(refused.value).startswith(says)


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize(
    ("operator", "given", "place"),
    [
        (LangGraphTriggerOperator, {"graph": "{{ params.g }}-x"}, "graph"),
        (LangGraphTriggerOperator, {"assistant": "a{{ params.g }}"}, "assistant"),
        (LangGraphTriggerOperator, {"fleet": "risk-{{ params.g }}"}, "fleet"),
        (LangGraphTriggerOperator, {"fleet": {"events": "e-{{ params.g }}"}}, "fleet.events"),
        (LangGraphOperator, {"agent_config": {"type": "a{{ params.g }}"}}, "agent_config.type"),
        (LangGraphOperator, {"model": "gpt-{{ params.g }}"}, "model"),
    ],
)
def test_a_name_in_which_a_value_is_none_is_refused_when_it_is_asked(operator, given, place, native):
    with DAG("d", render_template_as_native_obj=native):
        one = operator(task_id="t", **given)
    one.render_template_fields({"params": {"g": None}})
    with pytest.raises(SettingsError, match=rf"^{place}: a value in its template is None, and would stand in"):
        one.execute(context())


def test_a_name_that_is_none_in_a_native_dag_is_not_given():
    with DAG("d", render_template_as_native_obj=True):
        one = LangGraphTriggerOperator(task_id="t", assistant="{{ params.g }}")
    one.render_template_fields({"params": {"g": None}})
    assert one._event(context()).assistant is None
    assert one._lacking == ()


def test_what_is_known_later_or_has_the_form_of_a_mapping_is_right():
    @dataclass
    class User:
        name: str

    given = {"graph": 7, "assistant": "{{ params.a }}", "context": User("ann")}
    assert LangGraphTriggerOperator(task_id="t", **given).graph == 7
    LangGraphTriggerOperator(task_id="u", context="{{ params.context }}", thread_id="{{ params.t }}")


def test_a_rule_about_two_arguments_names_both():
    one = LangGraphTriggerOperator(task_id="t", config={"configurable": {"user": "a"}}, context={"user": "b"})
    with pytest.raises(
        SettingsError, match=r"^context: config\.configurable sets user as well; set it in one of them$"
    ):
        one._event(context())
    agent = LangGraphOperator(task_id="t", agent_config={"configurable": {"user": "a"}, "context": {"user": "b"}})
    with pytest.raises(SettingsError, match=r"^agent_config\.context: agent_config\.configurable sets user as well"):
        agent.execute(context())
