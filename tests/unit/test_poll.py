"""When a listener gives up, and what it then says."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError

from airflow_provider_langgraph.exceptions import WaitError
from airflow_provider_langgraph.triggers import poll
from airflow_provider_langgraph.triggers.poll import HOPELESS_SECONDS, SOON_SECONDS, PollThread, _RightToRead

FORBIDDEN = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)


def outcome_of(settings) -> WaitError:
    """What a listener with these settings, of no broker, ends with."""
    outcomes = []
    PollThread(settings, "results", outcomes.append, lambda topic, query: None).run()
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
def desk(monkeypatch):
    """A reader that has just begun, and a clock."""
    desk = SimpleNamespace(now=1000.0, next={0: 5, 1: 0}, refusals={})
    monkeypatch.setattr(poll.time, "monotonic", lambda: desk.now)
    desk.right = _RightToRead(desk)
    return desk


def look(desk, seconds: float, *, refused: bool = True) -> list[bool]:
    """Look ten times in so many seconds, as the listener's thread does; the desk has it tried again now and then."""
    seen = []
    for step in range(10):
        desk.now += seconds / 10
        desk.refusals = {0: FORBIDDEN, 1: FORBIDDEN} if refused and step % 3 else {}
        seen.append(desk.right.is_missing())
    return seen


def test_a_right_that_was_never_granted(desk):
    assert not any(look(desk, HOPELESS_SECONDS))
    assert any(look(desk, HOPELESS_SECONDS))


def test_one_that_is_taken_away_later_ends_no_wait(desk):
    assert not any(look(desk, SOON_SECONDS * 2, refused=False))
    assert not any(look(desk, 40 * HOPELESS_SECONDS))


def test_who_has_read_once_is_not_given_up(desk):
    look(desk, 1.0)
    desk.next[1] = 1
    assert not any(look(desk, 40 * HOPELESS_SECONDS))


def test_two_refusals_of_a_moment_are_not_one_long_one(desk):
    look(desk, 1.0)
    look(desk, 3600.0, refused=False)
    assert not any(look(desk, 1.0))


def test_other_errors_pass(desk):
    desk.refusals = {0: KafkaError(KafkaError.NOT_LEADER_FOR_PARTITION)}
    assert not desk.right.is_missing()
    desk.now += 10 * HOPELESS_SECONDS
    assert not desk.right.is_missing()
