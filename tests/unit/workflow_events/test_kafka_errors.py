from __future__ import annotations

import pytest
from confluent_kafka import KafkaError

from airflow_provider_langgraph.kafka import error_hints as airflow_side
from langgraph_worker.broker.kafka import error_hints as worker_side
from workflow_events import kafka_errors
from workflow_events.kafka_errors import HOPELESS, MOST_TELLING, Words, hint, without_secrets

NAMES = sorted(kafka_errors._HINTS)
SIDES = {"airflow": airflow_side.WORDS, "worker": worker_side.WORDS}


@pytest.mark.parametrize("name", sorted({*NAMES, *HOPELESS, *MOST_TELLING}))
def test_each_name_is_one_of_librdkafka(name: str):
    assert KafkaError(getattr(KafkaError, name)).name() == name


@pytest.mark.parametrize("words", SIDES.values(), ids=SIDES)
@pytest.mark.parametrize("name", NAMES)
def test_each_hint_is_whole_in_the_words_of_each_side(name: str, words: Words):
    found = hint(name, words, "broker:9092")
    assert found is not None
    assert "{" not in found.problem + found.remedy
    assert not found.remedy.endswith(".")


def test_the_place_is_left_out_where_it_is_not_known():
    known, unknown = hint("_TRANSPORT", worker_side.WORDS, "b:9092"), hint("_TRANSPORT", airflow_side.WORDS)
    assert known is not None
    assert unknown is not None
    assert (known.problem, unknown.problem) == ("no broker answers at b:9092", "no broker answers")


def test_an_error_that_explains_itself_has_none():
    assert hint("REBALANCE_IN_PROGRESS", worker_side.WORDS) is None


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('Invalid value "sasl" for configuration property "security.protocol"', None),
        (
            'Invalid value "geheim" for configuration property "ssl.engine.id"',
            'Invalid value for "ssl.engine.id"',
        ),
        (
            'Invalid value "a" for configuration property "b" geheim" for configuration property "ssl.engine.id"',
            'Invalid value for "ssl.engine.id"',
        ),
        (
            "Failed to acquire SASL OAUTHBEARER token: Unrecognized sasl.oauthbearer.config beginning at: geheim=y",
            "Failed to acquire SASL OAUTHBEARER token: Unrecognized sasl.oauthbearer.config is wrong",
        ),
        (
            "Invalid sasl.oauthbearer.config: non-integral 'lifeSeconds=': ge\nheim",
            "Invalid sasl.oauthbearer.config is wrong",
        ),
        (
            'Failed to retrieve OIDC token from "https://me:geheim@host:1/x?client_secret=geheim": timed out',
            'Failed to retrieve OIDC token from "https://***@host:1/x?***": timed out',
        ),
        ("sasl_ssl://broker:9093/bootstrap: Connect to ipv4#127.0.0.1:9093 failed: Connection refused", None),
        ('No such configuration property: "sasl.pasword"', None),
        ("ssl.key.pem failed: not in PEM format?: error:1E08010C:DECODER routines::unsupported", None),
    ],
)
def test_no_value_that_may_be_a_secret_is_repeated(text, shown):
    assert without_secrets(text) == (shown or text)


def test_the_first_remedy_for_a_topic_that_does_not_exist_is_its_fleets_name():
    found = hint("UNKNOWN_TOPIC_OR_PART", airflow_side.WORDS)
    assert found is not None
    assert found.remedy.startswith(
        "correct the operator's fleet or [langgraph] of Airflow's configuration, or create it"
    )
