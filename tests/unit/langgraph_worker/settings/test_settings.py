from __future__ import annotations

from dataclasses import replace

import pytest

from langgraph_worker.errors import SettingsError
from langgraph_worker.settings.explain import documentation
from langgraph_worker.settings.load import load_settings, misspelt_variables
from langgraph_worker.settings.model import env_name, flag_name
from workflow_events import Fleet
from workflow_events.kafka_rules import PARTITIONER


def test_the_defaults_are_the_documented_ones():
    settings = load_settings({})
    assert settings.kafka_bootstrap_servers == "localhost:9092"
    assert settings.kafka_consumer_group_id == "langgraph-consumer-group"
    assert settings.store_url == "sqlite:///langgraph-worker.db"
    assert settings.concurrency == 32
    assert settings.topics == Fleet()
    assert settings.reply_topics == {"workflow-results"}


def test_names_of_variables_and_flags():
    assert env_name("kafka_bootstrap_servers") == "KAFKA_BOOTSTRAP_SERVERS"
    assert flag_name("kafka_bootstrap_servers") == "--kafka-bootstrap-servers"
    assert env_name("store_url") == "LANGGRAPH_WORKER_STORE_URL"
    assert flag_name("store_url_file") == "--store-url-file"


def test_every_setting_says_what_it_is():
    assert all(setting.description for setting in documentation())


def test_a_flag_wins_over_the_environment(monkeypatch):
    monkeypatch.setenv("LANGGRAPH_WORKER_CONCURRENCY", "4")
    assert load_settings({}).concurrency == 4
    assert load_settings({"concurrency": "5"}).concurrency == 5


def test_an_empty_variable_counts_as_unset(monkeypatch):
    monkeypatch.setenv("LANGGRAPH_WORKER_CONCURRENCY", "")
    assert load_settings({}).concurrency == 32


def test_lists_and_json_are_written_as_people_write_them(monkeypatch):
    monkeypatch.setenv("LANGGRAPH_WORKER_ALLOWED_MODELS", "llama3, qwen3 ,")
    monkeypatch.setenv("KAFKA_CONFIG", '{"security.protocol": "SASL_SSL", "enable.ssl.certificate.verification": true}')
    settings = load_settings({})
    assert settings.allowed_models == ("llama3", "qwen3")
    assert settings.kafka_config["security.protocol"] == "SASL_SSL"


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("LANGGRAPH_WORKER_CONCURRENCY", "many", "valid integer"),
        ("LANGGRAPH_WORKER_CONCURRENCY", "0", "greater than or equal to 1"),
        ("LANGGRAPH_WORKER_DRAIN_SECONDS", "nan", "finite"),
        ("LANGGRAPH_WORKER_RENEW_SECONDS", "20", "at most half of LANGGRAPH_WORKER_LEASE_SECONDS"),
        ("LANGGRAPH_WORKER_STORE_URL", "mysql://me:geheim@host/db", "'mysql' is not supported"),
        ("LANGGRAPH_WORKER_LOG_LEVEL", "loud", "'DEBUG'"),
        ("KAFKA_WORKFLOW_EVENTS_TOPIC", "two words", "pattern"),
        ("KAFKA_ENABLE_AUTO_COMMIT", "true", "when the run store holds the request"),
        ("KAFKA_CONFIG", "not json", "is not JSON"),
        ("KAFKA_CONFIG", "[1]", "must be a JSON object"),
        ("KAFKA_CONFIG", '{"group.id": "x"}', "set KAFKA_CONSUMER_GROUP_ID"),
    ],
)
def test_a_wrong_value_is_refused_with_name_place_and_reason(monkeypatch, name, value, reason):
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings({})
    text = str(caught.value)
    assert text.startswith(name)
    assert "(environment variable)" in text
    assert reason in text
    assert "geheim" not in text


def test_a_wrong_flag_is_called_a_flag():
    with pytest.raises(SettingsError, match=r"^--concurrency='x' \(flag; the environment variable would be LANGGRAPH_"):
        load_settings({"concurrency": "x"})


def test_every_wrong_setting_is_named_at_once(monkeypatch):
    monkeypatch.setenv("LANGGRAPH_WORKER_CONCURRENCY", "x")
    monkeypatch.setenv("LANGGRAPH_WORKER_NODE_THREADS", "y")
    with pytest.raises(SettingsError) as caught:
        load_settings({})
    assert len(str(caught.value).splitlines()) == 2


def test_secrets_are_never_printed(monkeypatch):
    monkeypatch.setenv("KAFKA_CONFIG", '{"sasl.password": "geheim", "acks": "1"}')
    with pytest.raises(SettingsError) as caught:
        load_settings({})
    assert "acks: must be" in str(caught.value)
    assert "geheim" not in str(caught.value)
    monkeypatch.setenv("KAFKA_CONFIG", '{"sasl.password": "geheim"}')
    assert "geheim" not in repr(load_settings({}))


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("enable.auto.commit", True, False),
        ("enable.auto.commit", "false", True),
        ("enable.auto.offset.store", "true", False),
        ("auto.offset.reset", "latest", False),
        ("auto.offset.reset", "earliest", True),
        ("partitioner", "consistent_random", False),
        ("partitioner", PARTITIONER, True),
        ("enable.idempotence", False, False),
        ("acks", 1, False),
        ("acks", "all", True),
        ("acks", -1, True),
        ("bootstrap.servers", "x", False),
        ("message.max.bytes", 5, False),
        ("error_cb", "x", False),
        ("transactional.id", "x", False),
        ("default.topic.config", "x", False),
        ("enable.partition.eof", "true", False),
        ("linger.ms", 50, True),
        ("sasl.mechanism", "PLAIN", True),
    ],
)
def test_librdkafka_settings_that_break_the_protocol_are_refused_by_name(monkeypatch, name, value, allowed):
    import json

    monkeypatch.setenv("KAFKA_CONFIG", json.dumps({name: value}))
    if allowed:
        load_settings({})
    else:
        with pytest.raises(SettingsError, match=f"^KAFKA_CONFIG .*{name}: "):
            load_settings({})


def test_two_purposes_need_two_topics():
    with pytest.raises(SettingsError, match="one topic cannot serve two purposes: workflow-results"):
        load_settings({"kafka_workflow_events_topic": "workflow-results"})


def test_topics_and_group_follow_from_the_fleet(monkeypatch):
    monkeypatch.setenv("LANGGRAPH_WORKER_FLEET", "risk")
    settings = load_settings({})
    assert settings.topics == Fleet.named("risk")
    assert settings.kafka_consumer_group_id == "risk.langgraph-consumer-group"
    assert settings.reply_topics == {"risk.workflow-results"}
    assert load_settings({"fleet": "desk"}).topics == Fleet.named("desk")


def test_a_topic_or_group_that_is_set_by_itself_keeps_its_name(monkeypatch):
    monkeypatch.setenv("KAFKA_WORKFLOW_RESULTS_TOPIC", "answers")
    monkeypatch.setenv("KAFKA_WORKFLOW_CONTROL_TOPIC", "workflow-control")  # which is what it would be without a fleet
    monkeypatch.setenv("KAFKA_CONSUMER_GROUP_ID", "langgraph-consumer-group")
    settings = load_settings({"fleet": "risk"})
    assert settings.topics == replace(Fleet.named("risk"), results="answers", control="workflow-control")
    assert settings.kafka_consumer_group_id == "langgraph-consumer-group"


def test_the_fleet_that_is_unset_has_no_name(monkeypatch):
    monkeypatch.setenv("LANGGRAPH_WORKER_FLEET", "")
    settings = load_settings({})
    assert (settings.topics, settings.fleet_in_words) == (Fleet(), "the fleet without a name")
    assert load_settings({"fleet": "risk"}).fleet_in_words == "fleet risk"


def test_a_wrong_fleet_is_one_fault_though_much_follows_from_it(monkeypatch):
    monkeypatch.setenv("LANGGRAPH_WORKER_FLEET", "risk desk")
    with pytest.raises(SettingsError, match=r"^LANGGRAPH_WORKER_FLEET='risk desk' \(environment variable\): .*letters"):
        load_settings({})
    with pytest.raises(SettingsError) as caught:
        load_settings({"kafka_enable_auto_commit": "true"})
    assert len(str(caught.value).splitlines()) == 2


def test_the_documentation_says_what_follows_from_the_fleet():
    defaults = {setting.field: setting.default for setting in documentation()}
    assert defaults["kafka_workflow_events_topic"] == "workflow-events, behind the fleet's name"
    assert defaults["kafka_consumer_group_id"] == "langgraph-consumer-group, behind the fleet's name"


def test_a_misspelt_variable_is_noticed_but_not_those_of_kubernetes(monkeypatch):
    monkeypatch.setenv("LANGGRAPH_WORKER_CONCURENCY", "3")
    monkeypatch.setenv("LANGGRAPH_WORKER_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("LANGGRAPH_WORKER_PORT_80_TCP", "tcp://10.0.0.1:80")
    assert misspelt_variables() == ["LANGGRAPH_WORKER_CONCURENCY"]
