"""The name of a conversation: what lacks one shares none."""

from __future__ import annotations

import pytest
from airflow.sdk import DAG

from airflow_provider_langgraph.exceptions import SettingsError
from airflow_provider_langgraph.operators.agent import LangGraphOperator
from airflow_provider_langgraph.operators.langgraph import LangGraphTriggerOperator
from airflow_provider_langgraph.requests.thread_name import check_thread_name, thread_name
from tests.support.asking_task import context


@pytest.fixture(autouse=True)
def named_deployment(monkeypatch):
    monkeypatch.setenv("AIRFLOW__LANGGRAPH__DEPLOYMENT", "test-airflow")


REFUSED = [
    ("", r"^thread_id: it is empty\. Give the conversation a name, or leave thread_id out for a thread of the requ"),
    (" \n", r"^thread_id: it is empty\."),
    ("None", r"^thread_id: a value in it is None, so that it is 'None', and all requests without that value would sh"),
    (float("nan"), r"^thread_id: a value in it is nan, so that it is 'nan', and all requests without that value"),
    ("NaT", r"^thread_id: a value in it is NaT"),
    pytest.param(
        10**5000, r"^thread_id must be a text, not an int\. Write a name, or leave thread_id out", id="digits"
    ),
    (["a"], r"^thread_id must be a text, not \['a'\]\."),
    ("ann ", r"^thread_id: 'ann ' begins or ends with a space, and would be another conversation than 'ann'\. Remove"),
    ("\nann", r"^thread_id: .* begins or ends with a space"),
    ("x" * 513, r"^thread_id: it has 513 characters, and 512 are the most\. Shorten it$"),
]


@pytest.mark.parametrize(("value", "says"), REFUSED)
def test_what_is_no_name_is_refused_when_the_dag_is_parsed_and_when_the_task_asks(value, says):
    for refuse in (check_thread_name, thread_name):
        with pytest.raises(SettingsError, match=says):
            refuse(value)
    with DAG("d"), pytest.raises(SettingsError, match=says):
        LangGraphTriggerOperator(task_id="agent", thread_id=value)


@pytest.mark.parametrize("value", ["a", "customer 42", "x" * 512, "none", "None-a", "äöü", "12_34"])
def test_other_text_is_a_name(value):
    check_thread_name(value)
    assert thread_name(value) == value


def test_a_number_is_its_text_and_none_is_a_thread_of_ones_own():
    assert (thread_name(42), thread_name(None)) == ("42", None)
    check_thread_name(None)
    check_thread_name("{{ params.empty }}")  # known later


def rendered(thread_id, *, native=False, form=LangGraphTriggerOperator, **params):
    with DAG("d", render_template_as_native_obj=native):
        operator = form(task_id="agent", thread_id=thread_id)
    operator.render_template_fields({"params": params})
    return operator


@pytest.mark.parametrize("form", [LangGraphTriggerOperator, LangGraphOperator])
@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("template", ["customer-{{ params.who }}", "{{ params.region }}-{{ params.who }}-x"])
def test_customers_without_a_name_do_not_share_a_conversation(template, native, form):
    operator = rendered(template, native=native, form=form, who=None, region="eu")
    with pytest.raises(
        SettingsError, match=r"^thread_id: a value in it is None, so that it is '\w+-None.* Give the va"
    ):
        operator._event(context())


@pytest.mark.parametrize("native", [False, True])
def test_a_whole_template_that_is_none_is_refused_where_it_renders_to_a_word(native):
    operator = rendered("{{ params.who }}", native=native, who=None)
    if native:
        assert operator.thread_id is None  # a thread of the request's own
    else:
        with pytest.raises(SettingsError, match=r"^thread_id: a value in it is None, so that it is 'None'"):
            operator._event(context())


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("customer-{{ params.who }}", "customer-None"),  # the text, which the author has given
        ("customer-{{ params.region or 'eu' }}", "customer-eu"),
        ("{% if params.region %}{{ params.region }}-{% endif %}a", "a"),
    ],
)
def test_a_template_may_look_at_what_is_none(template, name, native):
    operator = rendered(template, native=native, who="None", region=None)
    assert (operator.thread_id, operator._thread_id_lacks_a_value) == (name, False)


def test_rendering_alone_refuses_nothing():
    """A task that resumes is rendered again. What its agent was paid for is not lost then."""
    assert rendered("customer-{{ params.who }}", who=None).thread_id == "customer-None"
