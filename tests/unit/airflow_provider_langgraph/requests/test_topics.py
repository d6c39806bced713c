"""Which topics a fleet argument and Airflow's configuration stand for, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from uuid import uuid4

import pytest
from airflow.sdk import DAG

from airflow_provider_langgraph.exceptions import SettingsError
from airflow_provider_langgraph.operators.langgraph import LangGraphTriggerOperator
from airflow_provider_langgraph.requests.handle import RequestHandle
from airflow_provider_langgraph.requests.topics import KEYS, check_fleet, topics_of, with_configured_topics
from workflow_events import Fleet

ALL_KEYS = "name, events, results, control, progress, graphs"


@pytest.fixture
def configure(monkeypatch):
    """Sets options of ``[langgraph]``."""

    def configure(**options):
        for name, value in options.items():
            monkeypatch.setenv(f"AIRFLOW__LANGGRAPH__{name.upper()}", value)

    return configure


class TestResolution:
    def test_without_any_name_it_is_the_fleet_that_has_none(self):
        assert topics_of(None) == Fleet()

    def test_a_name_stands_for_all_topics(self):
        assert topics_of("risk") == Fleet.named("risk")
        assert topics_of("risk").control == "risk.workflow-control"

    def test_a_mapping_may_name_a_fleet_too(self):
        assert topics_of({"name": "risk"}) == Fleet.named("risk")

    def test_a_single_topic_counts_more_than_the_operators_fleet(self):
        fleet = {"name": "risk", "results": "shared-results"}
        assert topics_of(fleet) == replace(Fleet.named("risk"), results="shared-results")

    @pytest.mark.parametrize("purpose", [key for key in KEYS if key != "name"])
    def test_each_topic_can_be_named(self, purpose):
        assert topics_of({purpose: "mine"}) == replace(Fleet(), **{purpose: "mine"})

    @pytest.mark.parametrize("purpose", ["events", "results", "control", "progress"])
    def test_a_configured_topic_counts_more_than_the_configured_fleet(self, configure, purpose):
        configure(**{"fleet": "risk", f"{purpose}_topic": "single"})
        assert topics_of(None) == replace(Fleet.named("risk"), **{purpose: "single"})

    def test_the_configured_fleet_counts_more_than_the_default(self, configure):
        configure(fleet="risk")
        assert topics_of(None) == Fleet.named("risk")

    def test_an_operator_that_names_a_fleet_is_not_mixed_with_the_configuration(self, configure):
        configure(fleet="risk", events_topic="single", control_topic="steer")
        assert topics_of("credit") == Fleet.named("credit")
        mixed = topics_of({"name": "credit", "results": "shared"})
        assert mixed == replace(Fleet.named("credit"), results="shared")

    def test_an_operator_that_names_single_topics_alone_is(self, configure):
        configure(fleet="risk", events_topic="single")
        expected = replace(Fleet.named("risk"), events="single", results="shared")
        assert topics_of({"results": "shared"}) == expected

    def test_the_operators_topic_counts_more_than_the_configured_one(self, configure):
        configure(events_topic="single")
        assert topics_of({"events": "mine"}).events == "mine"

    @pytest.mark.parametrize(
        "fleet", ["", {}, {"name": ""}, {"name": None}, {"name": "", "events": "", "results": None}]
    )
    def test_what_is_empty_is_not_given(self, configure, fleet):
        configure(fleet="risk", events_topic="single", results_topic="")
        assert topics_of(fleet) == replace(Fleet.named("risk"), events="single")


class TestRefused:
    """The same at the DAG file's parsing as after rendering."""

    @pytest.fixture(params=[check_fleet, topics_of])
    def refused(self, request):
        def refused(fleet, says):
            with pytest.raises(SettingsError, match=says):
                request.param(fleet)

        return refused

    def test_an_unknown_key_is_named_with_those_that_are_allowed_and_a_remedy(self, refused):
        refused({"topic": "x"}, f"^fleet: unknown key 'topic', allowed are {ALL_KEYS}. Give the name of a fleet")

    @pytest.mark.parametrize("fleet", [7, ["risk"], True])
    def test_a_wrong_type(self, refused, fleet):
        kind = type(fleet).__name__
        refused(fleet, f"^fleet must be a string or a mapping, not {kind}. .* with the keys {ALL_KEYS}")

    @pytest.mark.parametrize(("key", "value", "kind"), [("events", 7, "int"), ("name", ["risk"], "list")])
    def test_a_wrong_type_of_one_name(self, refused, key, value, kind):
        refused({key: value}, f"^fleet: '{key}' must be a string, not {kind}. Give the name of a fleet")

    @pytest.mark.parametrize("fleet", ["ris k", {"name": "ris k"}, {"name": "ris k", "events": "e"}])
    def test_a_name_that_no_topic_can_have(self, refused, fleet):
        refused(fleet, "^fleet: 'ris k' is no name for a fleet: use letters")

    def test_one_topic_for_two_purposes(self, refused):
        refused({"name": "risk", "events": "one", "results": "one"}, "^fleet: one topic cannot serve two purposes: one")


def test_a_wrong_configuration_is_named(configure):
    configure(fleet="ris k")
    with pytest.raises(SettingsError, match=r"^\[langgraph\] fleet of Airflow's configuration: 'ris k' is no name"):
        topics_of(None)
    assert topics_of("risk") == Fleet.named("risk")  # which does not ask for it


def test_configured_topics_that_are_the_same_are_named(configure):
    configure(events_topic="one", results_topic="one")
    with pytest.raises(SettingsError, match=r"^\[langgraph\] of Airflow's configuration: one topic cannot serve two"):
        topics_of(None)


class TestTemplates:
    @pytest.mark.parametrize(
        "fleet",
        [
            "{{ params.fleet }}",
            "{% if true %}risk{% endif %}",
            {"name": "{{ params.fleet }}"},
            {"name": "{{ params.fleet }}", "results": "shared"},
            SimpleNamespace(resolve=None),
            {"events": SimpleNamespace(resolve=None)},
        ],
    )
    def test_what_is_still_to_be_rendered_is_not_judged(self, fleet):
        check_fleet(fleet)

    def test_another_tasks_output_may_name_it(self):
        with DAG("report"):
            first = LangGraphTriggerOperator(task_id="first")
            second = LangGraphTriggerOperator(task_id="second", fleet={"name": first.output})
            third = LangGraphTriggerOperator.partial(task_id="third").expand(fleet=["risk", "credit"])
        assert second.upstream_task_ids == {"first"}
        assert third.task_id == "third"

    def test_keys_are_judged_all_the_same(self):
        with pytest.raises(SettingsError, match="unknown key 'topic'"):
            check_fleet({"name": "{{ params.fleet }}", "topic": "x"})

    @pytest.mark.parametrize(
        ("fleet", "rendered"),
        [
            ("{{ params.fleet }}", "risk"),
            (
                {"name": "{{ params.fleet }}", "events": "{{ params.fleet }}-events"},
                {"name": "risk", "events": "risk-events"},
            ),
        ],
    )
    def test_the_operator_renders_it(self, fleet, rendered):
        operator = LangGraphTriggerOperator(task_id="agent", fleet=fleet)
        operator.render_template_fields({"params": {"fleet": "risk"}})
        assert operator.fleet == rendered
        assert topics_of(operator.fleet).results == "risk.workflow-results"

    def test_what_it_renders_to_is_judged(self):
        operator = LangGraphTriggerOperator(task_id="agent", fleet="{{ params.fleet }}")
        operator.render_template_fields({"params": {"fleet": "ris k"}})
        with pytest.raises(SettingsError, match="'ris k' is no name for a fleet"):
            topics_of(operator.fleet)


class TestHandles:
    HANDLE = RequestHandle(uuid4(), "d", "r", "kafka_default", "e", "r2", "c", {0: 1}, datetime.now(UTC))

    def test_topics_that_an_older_version_did_not_name_are_the_configured_ones(self, configure):
        configure(fleet="risk", control_topic="steer")
        completed = with_configured_topics(self.HANDLE)
        assert (completed.control_topic, completed.progress_topic) == ("steer", "risk.workflow-progress")
        assert (completed.events_topic, completed.results_topic) == ("e", "r2")

    def test_a_complete_one_does_not_ask_the_configuration(self, configure):
        configure(fleet="ris k")
        handle = replace(self.HANDLE, control_topic="steer", progress_topic="report")
        assert with_configured_topics(handle) is handle
