"""When a shared consumer gives up, and what it then reports."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError

from airflow_provider_langgraph.exceptions import WaitError
from airflow_provider_langgraph.waiting.consumer_thread import (
    HOPELESS_SECONDS,
    SOON_SECONDS,
    ConsumerThread,
    _RightToRead,
)

FORBIDDEN = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)


def outcome_of(settings) -> WaitError:
    """What a consumer with these settings, of no broker, ends with."""
    outcomes = []
    ConsumerThread(settings, "results", outcomes.append, lambda topic, query: None).run()
    [outcome] = outcomes
    return outcome.fatal


def test_settings_that_no_client_takes_are_final_and_named():
    error = outcome_of(
        {"bootstrap.servers": "broker:9092", "security.protocol": "ssl", "ssl.ca.location": "/no/ca.pem"}
    )
    assert type(error) is WaitError
    assert "ssl.ca.location" in str(error)
    assert "on each host" in str(error)


@pytest.fixture
def reader():
    """A reader that has just begun, with a clock and what judges its right to read."""
    reader = SimpleNamespace(now=1000.0, next={0: 5, 1: 0}, refusals={})
    reader.right = _RightToRead(reader, lambda: reader.now)
    return reader


def look(reader, seconds: float, *, refused: bool = True) -> list[bool]:
    """Look ten times in so many seconds, as the consumer's thread does; reading is tried again now and then."""
    seen = []
    for step in range(10):
        reader.now += seconds / 10
        reader.refusals = {0: FORBIDDEN, 1: FORBIDDEN} if refused and step % 3 else {}
        seen.append(reader.right.is_missing())
    return seen


def test_a_right_that_was_never_granted(reader):
    assert not any(look(reader, HOPELESS_SECONDS))
    assert any(look(reader, HOPELESS_SECONDS))


def test_one_that_is_taken_away_later_ends_no_wait(reader):
    assert not any(look(reader, SOON_SECONDS * 2, refused=False))
    assert not any(look(reader, 40 * HOPELESS_SECONDS))


def test_who_has_read_once_is_not_given_up(reader):
    look(reader, 1.0)
    reader.next[1] = 1
    assert not any(look(reader, 40 * HOPELESS_SECONDS))


def test_two_refusals_of_a_moment_are_not_one_long_one(reader):
    look(reader, 1.0)
    look(reader, 3600.0, refused=False)
    assert not any(look(reader, 1.0))


def test_other_errors_pass(reader):
    reader.refusals = {0: KafkaError(KafkaError.NOT_LEADER_FOR_PARTITION)}
    assert not reader.right.is_missing()
    reader.now += 10 * HOPELESS_SECONDS
    assert not reader.right.is_missing()
