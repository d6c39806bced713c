from __future__ import annotations

import pytest

from airflow_provider_langgraph.exceptions import KafkaSettingsError
from airflow_provider_langgraph.kafka.client_settings import checked, listener_settings, producer_settings
from workflow_events.kafka_rules import PARTITIONER

SERVERS = {"bootstrap.servers": "b:9092"}


def test_a_listener_reads_little_at_once_unless_the_connection_says_otherwise():
    assert listener_settings(SERVERS)["max.partition.fetch.bytes"] == 65_536
    assert listener_settings(SERVERS)["queued.max.messages.kbytes"] == 16_384
    assert listener_settings(SERVERS | {"max.partition.fetch.bytes": 5})["max.partition.fetch.bytes"] == 5


def test_few_records_wait_in_the_client_of_a_listener_as_it_does_not_count_headers():
    assert listener_settings(SERVERS)["queued.min.messages"] == 100
    assert listener_settings(SERVERS | {"queued.min.messages": 7})["queued.min.messages"] == 7


@pytest.mark.parametrize("extra", [{}, {"bootstrap.servers": ""}])
def test_servers_must_be_named(extra):
    with pytest.raises(KafkaSettingsError, match=r"'kafka_x'.*bootstrap\.servers"):
        checked(extra, "kafka_x")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("enable.auto.commit", True),
        ("enable.auto.commit", "true"),
        ("enable.auto.offset.store", "true"),
        ("partitioner", "random"),
        ("acks", 1),
        ("acks", "0"),
        ("request.required.acks", "1"),
        ("enable.idempotence", False),
    ],
)
def test_what_would_break_the_protocol_is_refused_by_name(name, value):
    with pytest.raises(KafkaSettingsError, match=f"{name} = .*cannot be used: .*Remove it, or set it to"):
        checked(SERVERS | {name: value}, "kafka_default")


@pytest.mark.parametrize(("name", "value"), [("transactional.id", "t"), ("default.topic.config", {"acks": "all"})])
def test_what_must_not_be_set_at_all_is_refused_by_name(name, value):
    with pytest.raises(KafkaSettingsError, match=f"{name} = .*cannot be used: .*Remove it$"):
        checked(SERVERS | {name: value}, "kafka_default")


@pytest.mark.parametrize(
    ("name", "value"),
    [("enable.auto.commit", False), ("partitioner", PARTITIONER), ("acks", "all"), ("acks", -1)],
)
def test_what_says_the_same_as_the_protocol_is_fine(name, value):
    assert name not in checked(SERVERS | {name: value}, "kafka_default")


def test_credentials_pass_and_consumer_group_settings_do_not():
    extra = SERVERS | {"sasl.mechanism": "PLAIN", "sasl.password": "p", "group.id": "g", "auto.offset.reset": "latest"}
    kept = checked(extra, "kafka_default")

    assert kept["sasl.password"] == "p"
    assert "group.id" not in kept
    assert listener_settings(kept)["auto.offset.reset"] == "error"
    assert producer_settings(kept)["acks"] == "all"
