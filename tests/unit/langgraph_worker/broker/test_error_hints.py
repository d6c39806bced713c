from __future__ import annotations

import logging

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

from langgraph_worker.broker.kafka.error_hints import TroubleLog, explain, refused_settings


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (KafkaError._AUTHENTICATION, "sasl.password in KAFKA_CONFIG"),
        (KafkaError._SSL, "ssl.ca.location"),
        (KafkaError._RESOLVE, "Check KAFKA_BOOTSTRAP_SERVERS"),
        (KafkaError._ALL_BROKERS_DOWN, "security.protocol"),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, "--create-topics"),
        (KafkaError.GROUP_AUTHORIZATION_FAILED, "KAFKA_CONSUMER_GROUP_ID"),
        (KafkaError.MSG_SIZE_TOO_LARGE, "LANGGRAPH_WORKER_MAX_MESSAGE_BYTES"),
        (KafkaError.REBALANCE_IN_PROGRESS, "REBALANCE_IN_PROGRESS"),
    ],
)
def test_each_error_has_its_remedy(code, remedy):
    assert remedy in explain(KafkaError(code), "broker:9092")


def test_settings_that_the_client_does_not_take_are_a_wrong_setting():
    refused = refused_settings(KafkaException(KafkaError(KafkaError._INVALID_ARG, "No such property: x")))
    assert str(refused).startswith("KAFKA_CONFIG: No such property: x. Correct or remove the setting that it names")


def test_a_kind_of_error_is_not_repeated_at_once(caplog):
    now = 100.0
    log = TroubleLog("consumer", "broker:9092", clock=lambda: now)
    for code in (KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN):
        log(KafkaError(code))
    assert [record.levelno for record in caplog.records] == [logging.ERROR, logging.WARNING]
    assert caplog.messages[0].startswith("consumer: no broker answers at broker:9092")
    now += 29.0
    log(KafkaError(KafkaError._ALL_BROKERS_DOWN))
    assert len(caplog.records) == 2
    now += 1.0
    log(KafkaError(KafkaError._ALL_BROKERS_DOWN))
    assert len(caplog.records) == 3


_OAUTH = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "OAUTHBEARER", "bootstrap.servers": "localhost:1"}


@pytest.mark.parametrize(
    "config", ["principal=x geheim=y", 'principal=x scope=geheim"', "principal=x lifeSeconds=geheim"]
)
def test_what_librdkafka_repeats_of_a_secret_is_not_logged(caplog, config):
    errors = []
    producer = Producer(
        {
            **_OAUTH,
            "sasl.oauthbearer.config": config,
            "enable.sasl.oauthbearer.unsecure.jwt": True,
            "error_cb": lambda error: errors.append(error),
            "logger": logging.getLogger("librdkafka-test"),
        }
    )
    while not errors:
        producer.poll(1.0)
    assert any("geheim" in error.str() for error in errors)
    log = TroubleLog("producer", "localhost:1")
    for error in errors:
        log(error)
    texts = [record.getMessage() for record in caplog.records if record.name != "librdkafka-test"]
    assert texts
    assert not any("geheim" in text for text in [*texts, *(explain(error, "localhost:1") for error in errors)])
