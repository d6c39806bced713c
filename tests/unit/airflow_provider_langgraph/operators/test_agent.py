"""``LangGraphOperator``: one mapping and an input, which become the arguments of the operator below it."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest
from airflow.sdk import DAG, task
from airflow.sdk.definitions._internal.mixins import ResolveMixin
from airflow.sdk.exceptions import TaskDeferred
from airflow.serialization.serialized_objects import DagSerialization

from airflow_provider_langgraph.exceptions import SettingsError
from airflow_provider_langgraph.operators.langgraph import LangGraphOperator, LangGraphTriggerOperator
from tests.support.asking_task import Hook, context, fired

PARAMS = {"order": "12_34", "graph": "writer", "depth": 7}


@pytest.fixture
def hook(monkeypatch):
    hook = Hook()
    monkeypatch.setenv("AIRFLOW__LANGGRAPH__DEPLOYMENT", "test-airflow")
    monkeypatch.setattr("airflow_provider_langgraph.hooks.kafka.KafkaHook", hook.make)
    return hook


class Returned(ResolveMixin):
    """Stands for another task's output."""

    def __init__(self, value):
        self.value = value

    def iter_references(self):
        return ()

    def resolve(self, context):
        return self.value


def operator(agent_config=None, native=False, **fields):
    with DAG("d", render_template_as_native_obj=native):
        return LangGraphOperator(task_id="agent", agent_config=agent_config, **{"wait_for_completion": False, **fields})


def sent(hook, one, **seen):
    one.render_template_fields({"params": PARAMS})
    one.execute(context(**seen))
    return hook.events[-1]


class TestRequest:
    def test_it_is_the_documents_own_example(self, hook):
        event = sent(
            hook,
            operator({"type": "vision"}, input_data={"image_url": "{{ params.order }}"}, model="gpt-4-vision-preview"),
        )
        assert event.graph == "vision"
        assert event.payload.data == {"image_url": "12_34"}
        assert event.config.model == "gpt-4-vision-preview"

    def test_every_key_has_its_place(self, hook):
        config = {
            "name": "writer",
            "assistant": "night",
            "context": {"user": "ann"},
            "model": "small",
            "tags": ["a"],
            "recursion_limit": 9,
            "max_concurrency": 2,
            "interrupt_before": ["plan"],
            "interrupt_after": "*",
            "keep_checkpoints": 3,
            "configurable": {"depth": 2},
        }
        event = sent(hook, operator(config, input_data=["text"], thread_id="t", fleet="risk"))
        assert (event.graph, event.assistant, event.context) == ("writer", "night", {"user": "ann"})
        chosen = event.config.model_dump(exclude_none=True)
        assert chosen == {key: config[key] for key in config.keys() - {"name", "assistant", "context"}}
        assert (event.payload.data, event.thread_id) == (["text"], "t")
        assert hook.made[0]["fleet"] == "risk"

    @pytest.mark.parametrize("key", ["graph", "type", "name"])
    def test_the_graph_is_named_by_any_of_three_keys(self, hook, key):
        assert sent(hook, operator({key: "writer", "type": "writer"})).graph == "writer"

    @pytest.mark.parametrize("agent_config", [None, {}, {"type": None}])
    def test_without_a_graph_it_is_the_fleets_default(self, hook, agent_config):
        event = sent(hook, operator(agent_config))
        assert (event.graph, event.payload.data) == (None, {})

    @pytest.mark.parametrize("native", [False, True])
    def test_templates_are_rendered_and_names_stay_text(self, hook, native):
        config = {"type": "{{ params.order }}", "assistant": "{{ params.depth }}", "tags": ["{{ params.graph }}"]}
        event = sent(hook, operator(config, native, model="{{ params.order }}"))
        assert (event.graph, event.assistant) == ("12_34", "7")
        assert event.config.tags == ["writer"]
        assert event.config.model == "12_34"

    def test_a_number_is_a_number_where_airflow_renders_native_objects(self, hook):
        event = sent(hook, operator({"type": "w", "recursion_limit": "{{ params.depth }}"}, native=True))
        assert event.config.recursion_limit == 7

    def test_each_instance_of_a_mapped_task_has_an_input_of_its_own(self, hook):
        with DAG("d", params=PARAMS) as dag:
            mapped = LangGraphOperator.partial(
                task_id="agent", wait_for_completion=False, agent_config={"type": "{{ params.graph }}"}
            ).expand(input_data=[{"text": "{{ params.order }}"}, {"text": "plain"}])
        for number in (0, 1):
            seen = context(map_index=number)
            seen |= {"dag": dag, "expanded_ti_count": 2, "dag_run": SimpleNamespace(conf={}, start_date=None)}
            mapped.render_template_fields(seen)
            seen["task"].execute(seen)
        assert [event.graph for event in hook.events] == ["writer", "writer"]
        assert [event.payload.data for event in hook.events] == [{"text": "12_34"}, {"text": "plain"}]

    @pytest.mark.parametrize("native", [False, True])
    def test_what_another_task_returned_is_not_rendered(self, hook, native):
        config = Returned({"type": "{{ params.graph }}", "tags": ["{{ params.order }}"]})
        event = sent(hook, operator(config, native, input_data=Returned({"a": "{{ params.depth }}"})))
        assert (event.graph, event.config.tags) == ("{{ params.graph }}", ["{{ params.order }}"])
        assert event.payload.data == {"a": "{{ params.depth }}"}

    def test_what_another_task_returned_is_checked_too(self, hook):
        with pytest.raises(SettingsError, match="unknown key 'typ'"):
            sent(hook, operator(Returned({"typ": "writer"})))

    def test_it_defers_and_resumes_as_the_operator_does(self, hook):
        one = operator({"type": "writer"}, wait_for_completion=True, defer_after=0)
        with pytest.raises(TaskDeferred) as deferred:
            one.prepare_for_execution().execute(context())
        resumed = one.prepare_for_execution()
        event = {"event": fired("success")}
        assert resumed.resume_execution(deferred.value.method_name, event, context()) == {"answer": 42}

    @pytest.mark.parametrize(
        ("agent_config", "fields", "says"),
        [
            ({"type": "w", "recursion_limit": 0}, {}, r"^agent_config\.recursion_limit: "),
            ({"type": "w", "configurable": {"model": "m"}}, {}, r"^agent_config\.configurable: .*model"),
            ({"type": ""}, {}, r"^agent_config\.type: "),
            ({"name": "x" * 1000}, {}, r"^agent_config\.name: "),
            ({"type": "w", "context": {"a": object()}}, {}, r"^agent_config\.context\.a: an object has no JSON"),
            ({"type": "w"}, {"input_data": {"a": {object()}}}, r"^input_data\.a\.\(a set\): an object has no JSON"),
            ({"type": "w"}, {"input_data": {"a": float("inf")}}, r"^input_data\.a: .*no NaN"),
            ("{{ params.graph }}", {}, r"^agent_config must be a mapping, .* not 'writer'. A template renders to text"),
            ({"type": "{{ params.graph }}", "name": "reader"}, {}, "'type' is 'writer' and 'name' is 'reader'"),
        ],
    )
    def test_what_cannot_be_sent_is_named_in_the_authors_words(self, hook, agent_config, fields, says):
        with pytest.raises(SettingsError, match=says):
            sent(hook, operator(agent_config, **fields))
        assert hook.events == []


class TestWhenTheDagIsRead:
    @pytest.mark.parametrize(
        ("agent_config", "fields", "says"),
        [
            ("vision", {}, r"^agent_config must be a mapping, such as {'type': 'vision'}, not 'vision'"),
            (
                {"typ": "w"},
                {},
                r"^agent_config: unknown key 'typ'. Did you mean 'type'\? Allowed are graph, type, name",
            ),
            ({"Recursion-Limit": 3}, {}, "Did you mean 'recursion_limit'"),
            (
                {"temperature": 0},
                {},
                r"unknown key 'temperature'. Allowed are .* belongs into agent_config\['context'\]",
            ),
            ({"timeout": 3}, {}, r"an argument of the operator: write LangGraphOperator\(..., timeout=...\)"),
            ({"retries": 3}, {}, r"an argument of the operator: write LangGraphOperator\(..., retries=...\)"),
            ({"input_data": {}}, {}, r"an argument of the operator: write LangGraphOperator\(..., input_data=...\)"),
            ({"time_out": 3}, {}, "Did you mean the operator's argument 'timeout'"),
            ({"input": {}}, {}, "unknown key 'input': write input_data=..."),
            ({"config": {}}, {}, "unknown key 'config': write its keys into agent_config itself"),
            ({3: 4}, {}, "unknown key 3"),
            ({"graph": "w", "type": "v"}, {}, "'graph' is 'w' and 'type' is 'v', but each of them names the graph"),
            (
                {"model": "m"},
                {"model": "m"},
                r"^model is given twice: .* argument model and by agent_config\['model'\]",
            ),
            ({"context": {"model": "m"}}, {"model": "m"}, r"and by agent_config\['context'\]\['model'\]. Keep one"),
            (
                {"model": "m", "configurable": {"model": "m"}},
                {},
                r"agent_config\['configurable'\]\['model'\]. Keep one",
            ),
            (None, {"graph": "w"}, r"^LangGraphOperator takes no argument graph: write agent_config={'type': ...}"),
            (None, {"input": {}}, r"^LangGraphOperator takes no argument input: write input_data="),
            (None, {"config": {}}, r"^LangGraphOperator takes no argument config: write its keys into agent_config"),
            ({"type": "w"}, {"timeout": 0}, "timeout must be above zero"),
            ({"recursion_limit": "many"}, {}, r"^agent_config\.recursion_limit: .*a valid integer"),
            ({"recursion_limit": 0}, {}, r"^agent_config\.recursion_limit: .*greater than or equal to 1"),
            ({"tags": "x"}, {}, r"^agent_config\.tags: .*a valid list"),
            ({"tags": ["ok", "seq:step:1"]}, {}, r"^agent_config\.tags: seq:step:1: LangGraph obeys this tag"),
            ({"interrupt_before": "a"}, {}, r"^agent_config\.interrupt_before: must be a list of up to 1,024 nodes"),
            ({"model": ["m"]}, {}, r"^agent_config\.model: .*a valid string"),
            ({"configurable": 7}, {}, r"^agent_config\.configurable: .*a valid dictionary"),
            ({"configurable": {"a": object()}}, {}, r"^agent_config\.configurable\.a: an object has no JSON form"),
            (
                {"configurable": {"thread_id": "t"}},
                {},
                r"^agent_config\.configurable: thread_id: .* For a conversation, use thread_id; for everything else",
            ),
            (
                {"configurable": {"a": "x" * 70_000}},
                {},
                r"over the limit of 65,536; large values belong to input_data$",
            ),
        ],
    )
    def test_what_is_unknown_or_contradicts_itself_is_refused(self, agent_config, fields, says):
        with pytest.raises(SettingsError, match=says):
            operator(agent_config, **fields)

    @pytest.mark.parametrize(
        "agent_config",
        [
            {"recursion_limit": "{{ params.depth }}"},
            {"tags": "{{ params.tags }}"},
            {"tags": ["nightly", "{{ params.tag }}"]},
            {"tags": ("nightly", Returned("x"))},
            {"configurable": {"a": {"b": [Returned(object())]}}},
            {"recursion_limit": 7, "tags": {"a", "b"}, "max_concurrency": None},
        ],
    )
    def test_what_may_still_be_right_is_taken(self, agent_config):
        assert operator(agent_config).agent_config == agent_config

    def test_what_is_rendered_later_is_not_compared_yet(self):
        with DAG("d"):
            config = task(lambda: {"type": "w"}, task_id="config")()  # type: ignore[call-overload]
            whole = LangGraphOperator(task_id="whole", agent_config=config)
            part = LangGraphOperator(task_id="part", agent_config={"type": config["a"], "name": "w"}, input_data=config)
        assert whole.upstream_task_ids == part.upstream_task_ids == {"config"}


class TestDefaultArguments:
    """Those of a DAG, which several operators share: LangGraphTriggerOperator has them as arguments."""

    def asked(self, hook, defaults, **fields):
        with DAG("d", default_args={**defaults, "retries": 3}):
            one = LangGraphOperator(task_id="agent", wait_for_completion=False, **fields)
        assert one.retries == 3
        return sent(hook, one)

    def test_they_count_where_the_mapping_says_nothing(self, hook):
        defaults = {
            "graph": "writer",
            "assistant": "{{ params.order }}",
            "context": {"user": "ann"},
            "config": {"tags": ["{{ params.graph }}"], "recursion_limit": 9, "model": "small"},
            "input": {"a": 1},
        }
        event = self.asked(hook, defaults, agent_config={"recursion_limit": 5, "tags": None})
        assert (event.graph, event.assistant, event.context) == ("writer", "12_34", {"user": "ann"})
        assert (event.config.tags, event.config.recursion_limit, event.config.model) == (["writer"], 5, "small")
        assert event.payload.data == {"a": 1}

    @pytest.mark.parametrize("key", ["type", "graph", "name"])
    def test_the_mappings_own_graph_wins(self, hook, key):
        assert self.asked(hook, {"graph": "writer"}, agent_config={key: "reader"}).graph == "reader"

    def test_the_operators_own_arguments_win(self, hook):
        defaults = {"config": {"model": "small"}, "input": {"a": 1}}
        event = self.asked(hook, defaults, model="large", input_data={"b": 2})
        assert (event.config.model, event.payload.data) == ("large", {"b": 2})

    def test_its_own_names_may_stand_there_too(self, hook):
        event = self.asked(hook, {"agent_config": {"type": "writer"}, "input_data": {"a": 1}, "model": "small"})
        assert (event.graph, event.config.model, event.payload.data) == ("writer", "small", {"a": 1})

    @pytest.mark.parametrize(
        ("defaults", "agent_config", "says"),
        [
            ({"graph": "w"}, "{{ params.config }}", "the default_args have graph, .* but agent_config is no mapping"),
            ({"graph": "w", "config": "{{ 1 }}"}, {}, "have graph and config, .* but that config is no mapping"),
            ({"config": {"tgas": []}}, {}, "unknown key 'tgas'. Did you mean 'tags'"),
        ],
    )
    def test_what_cannot_be_put_together_is_refused(self, hook, defaults, agent_config, says):
        with pytest.raises(SettingsError, match=says):
            self.asked(hook, defaults, agent_config=agent_config)

    def test_each_instance_of_a_mapped_task_has_them(self, hook):
        with DAG("d", default_args={"graph": "writer"}):
            mapped = LangGraphOperator.partial(task_id="agent", wait_for_completion=False).expand(
                agent_config=[{"tags": ["a"]}, {"type": "reader"}]
            )
        both = [mapped.unmap({"agent_config": one}) for one in ({"tags": ["a"]}, {"type": "reader"})]
        assert [sent(hook, one).graph for one in both] == ["writer", "reader"]


def test_it_survives_serialization():
    with DAG("d", schedule=None) as dag:
        operator_ = LangGraphOperator(task_id="agent", agent_config={"type": "{{ params.g }}"}, input_data={"a": 1})
        LangGraphOperator.partial(task_id="mapped", agent_config={"type": "w"}).expand(input_data=[operator_.output])
    kept = DagSerialization.from_dict(DagSerialization.to_dict(dag))
    agent, mapped = kept.get_task("agent"), kept.get_task("mapped")
    assert (agent.task_type, agent.agent_config, agent.input_data) == (
        "LangGraphOperator",
        {"type": "{{ params.g }}"},
        {"a": 1},
    )
    assert mapped.is_mapped
    assert mapped.upstream_task_ids == {"agent"}


def test_what_the_author_may_template_is_what_the_author_writes():
    assert set(LangGraphOperator.template_fields) == {
        *("agent_config", "input_data", "model", "budget", "thread_id", "workflow_id", "fleet", "defer_after"),
        "subject",
    }


@pytest.mark.timeout(120)  # starts processes that import Airflow
@pytest.mark.parametrize("module", ["agent", "langgraph"])
def test_both_paths_lead_to_the_same_class_whichever_is_imported_first(module):
    code = (
        f"from airflow_provider_langgraph.operators.{module} import LangGraphOperator as first\n"
        "from airflow_provider_langgraph.operators.agent import LangGraphOperator as second\n"
        "from airflow_provider_langgraph.operators.langgraph import LangGraphOperator as third\n"
        "import sys; print(first is second is third, 'confluent_kafka' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-2:] == ["True", "False"]


def test_the_module_has_no_other_names():
    from airflow_provider_langgraph.operators import langgraph

    assert langgraph.LangGraphTriggerOperator is LangGraphTriggerOperator
    with pytest.raises(AttributeError, match="has no attribute 'LangGraphAgent'"):
        langgraph.LangGraphAgent  # noqa: B018
