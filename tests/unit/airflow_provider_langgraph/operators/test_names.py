"""Names of graphs, threads and fleets are text in every DAG, also where Airflow renders templates as native objects."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from airflow.sdk import DAG

from airflow_provider_langgraph.exceptions import SettingsError
from airflow_provider_langgraph.operators.langgraph import LangGraphTriggerOperator
from airflow_provider_langgraph.requests.json_input import as_name

PARAMS = {"params": {"number": 42, "order": "12_34", "pair": "1,2", "yes": True, "none": None, "price": "1.10"}}


def rendered(native=True, **fields):
    with DAG("d", render_template_as_native_obj=native):
        operator = LangGraphTriggerOperator(task_id="agent", **fields)
    operator.render_template_fields(PARAMS)
    return operator


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("field", ["graph", "assistant", "thread_id", "workflow_id", "fleet"])
@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("{{ params.number }}", "42"),
        ("{{ params.order }}", "12_34"),
        ("{{ params.pair }}", "1,2"),
        ("{{ params.yes }}", "True"),
        ("{{ params.price }}", "1.10"),
        ("12_34", "12_34"),
        ("{{ params.number }}-a", "42-a"),
    ],
)
def test_a_template_of_a_name_renders_to_its_text(native, field, template, name):
    assert getattr(rendered(native, **{field: template}), field) == name


def test_none_is_still_no_name_in_a_native_dag():
    assert rendered(thread_id="{{ params.none }}").thread_id is None


def test_a_fleet_may_be_a_mapping_or_be_rendered_to_one():
    assert rendered(fleet={"name": "{{ params.number }}"}).fleet == {"name": "42"}
    assert rendered(fleet="{{ {'name': 'risk'} }}").fleet == {"name": "risk"}


def test_a_mapped_task_s_names_are_text_too():
    with DAG("d", params=PARAMS["params"], render_template_as_native_obj=True) as dag:
        mapped = LangGraphTriggerOperator.partial(task_id="agent", thread_id="{{ params.order }}").expand(
            graph=[1, "2_0"]
        )
    names = []
    for number in (0, 1):
        ti, dag_run = SimpleNamespace(map_index=number), SimpleNamespace(conf={})
        context = PARAMS | {"ti": ti, "dag": dag, "dag_run": dag_run, "expanded_ti_count": 2}
        mapped.render_template_fields(context)
        names.append((context["task"].graph, context["task"].thread_id))
    assert names == [(1, "12_34"), ("2_0", "12_34")]


def mapped_context(dag, number, count):
    ti, dag_run = SimpleNamespace(map_index=number), SimpleNamespace(conf={})
    return PARAMS | {"ti": ti, "dag": dag, "dag_run": dag_run, "expanded_ti_count": count}


def test_several_arguments_are_mapped_together():
    each = [
        {"graph": "review", "input": {"order": "{{ params.order }}"}, "thread_id": "{{ params.number }}-a"},
        {"graph": "short_review", "input": {"order": "2"}},
    ]
    with DAG("d", params=PARAMS["params"]) as dag:
        mapped = LangGraphTriggerOperator.partial(task_id="agent", on_retry="restart").expand_kwargs(each)
    asked = []
    for number in (0, 1):
        context = mapped_context(dag, number, 2)
        mapped.render_template_fields(context)
        task = context["task"]
        asked.append((task.graph, task.input, task.thread_id, task.on_retry))
    assert asked == [
        ("review", {"order": "12_34"}, "42-a", "restart"),
        ("short_review", {"order": "2"}, None, "restart"),
    ]


def test_a_mapped_conversation_needs_its_name_too():
    with DAG("d", params=PARAMS["params"]) as dag:
        mapped = LangGraphTriggerOperator.partial(task_id="agent").expand(thread_id=["a", " "])
    mapped.render_template_fields(mapped_context(dag, 0, 2))
    with pytest.raises(SettingsError, match=r"^thread_id: it is empty"):
        mapped.render_template_fields(mapped_context(dag, 1, 2))


def test_an_input_stays_what_it_renders_to():
    assert rendered(input={"n": "{{ params.number }}"}).input == {"n": 42}


@pytest.mark.parametrize(
    ("value", "name"), [(42, "42"), (1.5, "1.5"), ("a", "a"), (None, None), (True, True), ([1], [1])]
)
def test_another_tasks_number_is_a_name(value, name):
    assert as_name(value) == name
    assert type(as_name(value)) is type(name)
