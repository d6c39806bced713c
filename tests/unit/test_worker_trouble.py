from __future__ import annotations

import logging

import pytest
from confluent_kafka import KafkaError

from langgraph_worker.kafka.trouble import TroubleLog, explain


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


def test_a_kind_of_error_is_not_repeated_at_once(caplog):
    log = TroubleLog("consumer", "broker:9092")
    for code in (KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN):
        log(KafkaError(code))
    assert [record.levelno for record in caplog.records] == [logging.ERROR, logging.WARNING]
    assert caplog.messages[0].startswith("consumer: no broker answers at broker:9092")
