from __future__ import annotations

import pytest

from workflow_events.topics import Fleet, TopicSpec, consumer_group_of


def test_a_named_fleet_has_topics_and_a_group_of_its_own():
    assert Fleet.named("risk") == Fleet(
        events="risk.workflow-events",
        results="risk.workflow-results",
        progress="risk.workflow-progress",
        control="risk.workflow-control",
        dead_letters="risk.workflow-events-dlq",
        graphs="risk.workflow-graphs",
    )
    assert consumer_group_of("risk") == "risk.langgraph-consumer-group"


def test_without_a_name_they_are_the_defaults():
    assert Fleet.named("") == Fleet()
    assert consumer_group_of("") == "langgraph-consumer-group"


@pytest.mark.parametrize("name", ["risk desk", "ri/sk", ".risk", "risk.", "a..b", "x" * 201, "risk\n", "ü"])
def test_a_name_that_no_topic_can_have_is_refused(name: str):
    with pytest.raises(ValueError, match="is no name for a fleet"):
        Fleet.named(name)


@pytest.mark.parametrize("spec", Fleet().specs(), ids=lambda spec: spec.name)
def test_each_topic_is_created_without_compression(spec: TopicSpec):
    assert spec.config["compression.type"] == "uncompressed"
