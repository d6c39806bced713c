from __future__ import annotations

import pytest

from langgraph_worker.errors import SettingsError
from langgraph_worker.settings import documentation, env_name, flag_name, load_settings, misspelt_variables
from workflow_events import Fleet


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch):
    for setting in documentation():
        monkeypatch.delenv(setting.env, raising=False)


def test_the_defaults_are_the_documented_ones():
    settings = load_settings({})
    assert settings.kafka_bootstrap_servers == "localhost:9092"
    assert settings.kafka_consumer_group_id == "langgraph-consumer-group"
    assert settings.store_url == "sqlite:///langgraph-worker.db"
    assert settings.concurrency == 32
    assert settings.fleet == Fleet()
    assert settings.reply_topics == {"workflow-results"}


def test_names_of_variables_and_flags():
    assert env_name("kafka_bootstrap_servers") == "KAFKA_BOOTSTRAP_SERVERS"
    assert flag_name("kafka_bootstrap_servers") == "--kafka-bootstrap-servers"
    assert env_name("store_url") == "LANGGRAPH_WORKER_STORE_URL"
    assert flag_name("store_url") == "--store-url"


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
        ("partitioner", "murmur2_random", True),
        ("enable.idempotence", False, False),
        ("acks", 1, False),
        ("acks", "all", True),
        ("acks", -1, True),
        ("bootstrap.servers", "x", False),
        ("message.max.bytes", 5, False),
        ("error_cb", "x", False),
        ("linger.ms", 50, True),
        ("sasl.mechanism", "PLAIN", True),
    ],
)
def test_librdkafka_settings_that_break_the_protocol_are_refused_by_name(name, value, allowed):
    import json

    flags = {"kafka_config": json.dumps({name: value})}
    if allowed:
        load_settings(flags)
    else:
        with pytest.raises(SettingsError, match=f"--kafka-config .*{name}: "):
            load_settings(flags)


def test_two_purposes_need_two_topics():
    with pytest.raises(SettingsError, match="one topic cannot serve two purposes: workflow-results"):
        load_settings({"kafka_workflow_events_topic": "workflow-results"})


def test_a_misspelt_variable_is_noticed_but_not_those_of_kubernetes(monkeypatch):
    monkeypatch.setenv("LANGGRAPH_WORKER_CONCURENCY", "3")
    monkeypatch.setenv("LANGGRAPH_WORKER_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("LANGGRAPH_WORKER_PORT_80_TCP", "tcp://10.0.0.1:80")
    assert misspelt_variables() == ["LANGGRAPH_WORKER_CONCURENCY"]
