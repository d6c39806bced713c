from __future__ import annotations

import pytest

from workflow_events.kafka_rules import CLIENT_RULES, GROUP_RULES, PARTITIONER, violations


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("enable.auto.commit", False),
        ("enable.auto.commit", "False"),
        ("partitioner", PARTITIONER),
        ("acks", "all"),
        ("acks", -1),
        ("enable.idempotence", True),
        ("sasl.mechanism", "PLAIN"),
    ],
)
def test_what_keeps_the_protocol_is_allowed(name, value):
    assert not list(violations({name: value}, CLIENT_RULES))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("enable.auto.commit", True),
        ("enable.auto.offset.store", "true"),
        ("partitioner", "consistent_random"),
        ("acks", 1),
        ("request.required.acks", "0"),
        ("enable.idempotence", False),
        ("default.topic.config", {"acks": "all"}),
        ("transactional.id", "mine"),
    ],
)
def test_what_breaks_the_protocol_is_found_with_its_rule(name, value):
    assert list(violations({"sasl.mechanism": "PLAIN", name: value}, CLIENT_RULES)) == [(name, CLIENT_RULES[name])]


@pytest.mark.parametrize(
    ("name", "value"), [("auto.offset.reset", "latest"), ("partition.assignment.strategy", "range")]
)
def test_members_of_a_group_have_more_rules(name, value):
    assert not list(violations({name: value}, CLIENT_RULES))
    assert [found for found, _ in violations({name: value}, GROUP_RULES)] == [name]


def test_keys_go_where_the_java_clients_put_them():
    assert PARTITIONER == "murmur2_random"
