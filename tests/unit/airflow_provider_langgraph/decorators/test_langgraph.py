"""``@task.langgraph``: the function's return value is the input, and everything else is as with the operator."""

from __future__ import annotations

import functools
from datetime import date
from types import SimpleNamespace

import pytest
from airflow.sdk import DAG, TaskGroup, XComArg, task
from airflow.sdk.exceptions import AirflowSkipException, TaskDeferred
from airflow.serialization.serialized_objects import DagSerialization

from airflow_provider_langgraph.decorators.langgraph import langgraph_task
from airflow_provider_langgraph.exceptions import RunFailed, SettingsError
from tests.support.asking_task import Hook, context, fired
from tests.support.ti_ids import new_ti_id


@pytest.fixture
def hook(monkeypatch):
    hook = Hook()
    monkeypatch.setenv("AIRFLOW__LANGGRAPH__DEPLOYMENT", "test-airflow")
    monkeypatch.setattr("airflow_provider_langgraph.hooks.kafka.KafkaHook", hook.make)
    return hook


def made(function, *values, call=True, **arguments):
    """The operator of a decorated function, which no DAG has."""
    decorated = langgraph_task(**{"wait_for_completion": False, **arguments})(function)
    return decorated(*values).operator if call else decorated


def rendered(operator, **values):
    operator.render_template_fields({"params": values})
    return operator


def ask(subject: str = "rain") -> dict:
    """Asks about something."""
    return {"about": subject}


class TestInput:
    def test_it_is_what_the_function_returns(self, hook):
        handle = made(ask, "snow", graph="writer", timeout=60).execute(context())
        [event] = hook.events
        assert (event.graph, event.payload.data) == ("writer", {"about": "snow"})
        assert handle["correlation_id"] == str(event.event_id)

    def test_jinja_in_it_stays_text_while_arguments_are_templated(self, hook):
        def quote(text):
            return {"text": text, "jinja": "{{ params.secret }}"}

        with DAG("d"):
            operator = made(
                quote, "{{ params.text }}", thread_id="{{ params.text }}", context={"a": "{{ params.text }}"}
            )
        rendered(operator, text="{{ params.secret }}", secret="s").execute(context())
        [event] = hook.events
        assert event.payload.data == {"text": "{{ params.secret }}", "jinja": "{{ params.secret }}"}
        assert (event.thread_id, event.context) == ("{{ params.secret }}", {"a": "{{ params.secret }}"})

    def test_the_function_gets_airflows_context_by_name(self, hook):
        def who(ti, **kwargs):
            return {"task": ti.task_id, "start": kwargs["dag_run"] is not None}

        made(who).execute(context())
        assert hook.events[0].payload.data == {"task": "agent", "start": True}

    def test_an_argument_with_a_name_of_airflows_own_changes_no_request(self, hook):
        def who(ti=None):
            return {"ti": ti}

        seen = context()
        langgraph_task(wait_for_completion=False)(who)(ti="mine").operator.execute(seen)
        assert hook.events[0].payload.data == {"ti": "mine"}
        assert hook.events[0].workflow_id == seen["ti"].dag_id

    def test_a_retry_calls_the_function_again(self, hook):
        calls = iter(("first", "second"))
        operator = made(lambda: {"call": next(calls)}, task_id="ask")
        for number in (1, 2):
            operator.prepare_for_execution().execute(context(id=new_ti_id(), try_number=number))
        assert [event.payload.data for event in hook.events] == [{"call": "first"}, {"call": "second"}]

    def test_a_resumed_task_does_not_call_it(self, hook):
        calls = []

        def once():
            calls.append(1)
            return {}

        operator = made(once, wait_for_completion=True, defer_after=0)
        with pytest.raises(TaskDeferred) as deferred:
            operator.prepare_for_execution().execute(context())
        resumed = operator.prepare_for_execution()
        event = {"event": fired("success")}
        assert resumed.resume_execution(deferred.value.method_name, event, context()) == {"answer": 42}
        assert calls == [1]

    def test_a_failed_agent_is_the_operators_error(self, hook):
        with pytest.raises(RunFailed, match="boom"):
            made(ask).resume_execution("execute_complete", {"event": fired("failure", error="boom")}, context())

    def test_a_function_that_skips_its_task_asks_nobody(self, hook):
        def skip():
            raise AirflowSkipException

        with pytest.raises(AirflowSkipException):
            made(skip).execute(context())
        assert hook.events == []

    @pytest.mark.parametrize(("value", "sent"), [([], []), ({}, {}), ("text", "text"), ({"d": date(2026, 1, 2)}, None)])
    def test_it_may_be_whatever_the_operators_input_may_be(self, hook, value, sent):
        made(lambda: value, task_id="ask").execute(context())
        assert hook.events[0].payload.data == ({"d": "2026-01-02"} if sent is None else sent)

    @pytest.mark.parametrize(
        ("value", "says"),
        [
            (None, r"^nothing\(\) returned None. Return the graph's input; for an empty input return {}$"),
            ({"a": [object()]}, r"^input \(from nothing\(\)\)\.a\.0: an object has no JSON form\. Convert it"),
            ({"a": float("nan")}, r"^input \(from nothing\(\)\)\.a: .*no NaN"),
            ((part for part in "ab"), r"^nothing\(\) is a generator"),
        ],
    )
    def test_what_is_none_is_an_error_that_names_the_function(self, hook, value, says):
        def nothing():
            return value

        with pytest.raises(SettingsError, match=says):
            made(nothing).execute(context())
        assert hook.events == []


async def later():
    return {}


async def stream():
    yield {}


def parts():
    yield {}


class Sends:
    """Airflow takes a callable object if it has a name."""

    __name__ = "sends"

    async def __call__(self):
        return {}


class TestFunction:
    @pytest.mark.parametrize(
        ("function", "says"),
        [
            (later, r"^later\(\) is async, .* Write def later"),
            (stream, r"^stream\(\) is async, .* Write def stream"),
            (parts, r"^parts\(\) is a generator, .*Return it whole"),
        ],
    )
    @pytest.mark.parametrize("decorate", [langgraph_task, langgraph_task(graph="writer")])
    def test_one_that_cannot_make_an_input_is_refused_when_the_dag_is_read(self, decorate, function, says):
        with pytest.raises(SettingsError, match=says):
            decorate(function)

    def test_one_that_turns_out_to_be_async_is_refused_when_it_is_called(self, hook):
        with pytest.raises(SettingsError, match=r"^sends\(\) is async"):
            made(Sends()).execute(context())

    def test_a_plain_one_around_an_async_one_is_taken(self, hook):
        @functools.wraps(later)
        def run_later():
            return {"ran": True}

        made(run_later).execute(context())
        assert hook.events[0].payload.data == {"ran": True}


class TestArguments:
    def test_input_is_refused_wherever_it_stands(self):
        says = r"^@task.langgraph takes no argument input: .* Remove input"
        with pytest.raises(SettingsError, match=says):
            langgraph_task(input={})
        with pytest.raises(SettingsError, match=says):
            langgraph_task(ask).override(input={})()

    def test_a_misspelt_argument_is_named_where_the_function_is_decorated(self):
        with pytest.raises(SettingsError, match=r"^@task.langgraph takes no argument 'grph'. Did you mean 'graph'\?$"):
            task.langgraph(grph="writer")

    def test_a_graph_without_its_name_is_refused(self):
        with pytest.raises(SettingsError, match=r"named arguments only, not 'writer'. .*graph='...'"):
            langgraph_task("writer")

    def test_the_operators_own_are_checked_too(self):
        with pytest.raises(SettingsError, match="timeout must be above zero"):
            made(ask, timeout=0)

    def test_default_args_of_a_dag_count(self):
        with DAG("d", default_args={"graph": "writer", "fleet": "risk", "retries": 3}):
            operator = made(ask)
        assert (operator.graph, operator.fleet, operator.retries) == ("writer", "risk", 3)

    @pytest.mark.parametrize(("given", "set_"), [({}, False), ({"multiple_outputs": None}, False)])
    def test_several_outputs_are_not_derived_from_the_annotation_of_the_input(self, given, set_):
        assert made(ask, **given).multiple_outputs is set_
        assert langgraph_task(ask)().operator.multiple_outputs is set_

    def test_several_outputs_are_there_for_an_author_who_wants_them(self):
        assert made(ask, multiple_outputs=True).multiple_outputs is True

    def test_a_text_is_no_truth_value(self):
        with pytest.raises(SettingsError, match=r"^multiple_outputs must be True or False, not 'no'$"):
            made(ask, multiple_outputs="no")


class TestAsAnAirflowTask:
    @pytest.fixture
    def dag(self):
        with DAG("d", schedule=None, params={"who": "ann"}) as dag:

            @task
            def subjects():
                return ["rain", "snow"]

            @task.langgraph(graph="writer", retries=2, trigger_rule="all_done", on_failure_callback=print)
            def write(subject: str, tone: str = "dry") -> dict:
                """Writes."""
                return {"about": subject, "tone": tone}

            write("sun")
            write("sun")
            write.override(task_id="other", graph="poet")(subjects())
            with TaskGroup("group"):
                write.partial(tone="{{ params.who }}").expand(subject=subjects())
        return dag

    def test_ids_groups_and_edges_are_as_with_any_decorated_task(self, dag):
        assert {one.task_id: sorted(one.upstream_task_ids) for one in dag.tasks} == {
            "subjects": [],
            "write": [],
            "write__1": [],
            "other": ["subjects"],
            "group.subjects": [],
            "group.write": ["group.subjects"],
        }
        write = dag.get_task("write")
        assert (write.graph, write.retries, write.trigger_rule, write.doc_md) == ("writer", 2, "all_done", "Writes.")
        assert write.on_failure_callback == [print]
        assert dag.get_task("other").graph == "poet"
        assert write.custom_operator_name == "@task.langgraph"

    def test_it_survives_serialization(self, dag):
        kept = DagSerialization.from_dict(DagSerialization.to_dict(dag))
        write, mapped = kept.get_task("write"), kept.get_task("group.write")
        assert write.operator_name == mapped.operator_name == "@task.langgraph"
        assert write.graph == "writer"
        assert list(write.op_args) == ["sun"]
        assert set(write.template_fields) == {
            *("op_args", "op_kwargs"),
            *("graph", "context", "assistant", "config", "budget", "thread_id", "workflow_id", "fleet", "defer_after"),
            "subject",
        }
        assert write.template_fields_renderers == {
            "op_args": "py",
            "op_kwargs": "py",
            "context": "json",
            "config": "json",
            "budget": "json",
        }
        assert mapped.is_mapped
        assert mapped.upstream_task_ids == {"group.subjects"}

    def test_each_instance_of_a_mapped_task_has_an_input_of_its_own(self, hook):
        with DAG("d", params={"who": "ann"}) as dag:
            decorated = made(lambda subject, tone: {"about": subject, "tone": tone}, call=False, task_id="write")
            mapped = decorated.partial(tone="{{ params.who }}").expand(subject=["{{ params.who }}", "snow"]).operator
        for number in (0, 1):
            seen = context(map_index=number)
            fields = {"dag": dag, "params": {"who": "ann"}, "expanded_ti_count": 2}
            seen |= fields | {"dag_run": SimpleNamespace(conf={}, start_date=None)}
            mapped.render_template_fields(seen)
            seen["task"].execute(seen)
        assert [event.payload.data for event in hook.events] == [
            {"about": "ann", "tone": "ann"},
            {"about": "snow", "tone": "ann"},
        ]

    def test_its_output_is_an_xcom(self):
        with DAG("d"):
            assert isinstance(langgraph_task(ask)(), XComArg)
