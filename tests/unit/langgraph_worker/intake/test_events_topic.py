"""Records without an id get the id of their topic, and only where it is certain."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from uuid import uuid4

import pytest

from langgraph_worker.errors import BrokerError
from langgraph_worker.intake import events_topic
from langgraph_worker.intake.events_topic import EventsTopic
from workflow_events.codec import Record


def answers(*ids: str) -> Callable[[], Awaitable[str]]:
    left = list(ids)

    async def read() -> str:
        return left.pop(0)

    return read


def record(offset: int, *, named: bool = False) -> Record:
    headers = [("correlation-id", str(uuid4()).encode())] if named else None
    return Record("events", 0, offset, b"{}", headers, cluster="c")


async def test_the_first_topic_is_not_shown_in_ids() -> None:
    [found] = await EventsTopic("events", answers("one"), "one", "one").named([record(1)])
    assert found.topic_id == ""


async def test_a_later_topic_is() -> None:
    found = await EventsTopic("events", answers("two"), "two", "one").named([record(1), record(2, named=True)])
    assert [one.topic_id for one in found] == ["two", "two"]


async def test_records_that_name_their_ids_must_be_of_the_same_topic_too() -> None:
    """The client reads on behind the old offsets: what lies before them in the new topic would be lost."""
    topic = EventsTopic("events", answers("one", "two"), "one", "one")
    await topic.named([record(1, named=True)])
    with pytest.raises(BrokerError, match="created anew"):
        await topic.named([record(2, named=True)])


async def test_a_broker_without_ids_of_topics_changes_nothing() -> None:
    [found] = await EventsTopic("events", answers(), "", "").named([record(1)])
    assert found.topic_id == ""


async def test_a_broker_that_has_no_id_just_now_says_nothing_of_another_topic() -> None:
    [found] = await EventsTopic("events", answers(""), "two", "one").named([record(1)])
    assert found.topic_id == "two"


async def test_a_broker_that_is_away_is_asked_again_and_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_topic, "_FIRST_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(events_topic, "_LONGEST_PAUSE_SECONDS", 0.0)
    troubles = [BrokerError("no broker answers")] * 3

    async def read() -> str:
        if troubles:
            raise troubles.pop()
        return "two"

    [found] = await EventsTopic("events", read, "two", "one").named([record(1)])
    assert (found.topic_id, troubles) == ("two", [])


async def test_a_topic_that_is_created_anew_under_a_worker_ends_it() -> None:
    topic = EventsTopic("events", answers("one", "two"), "one", "one")
    await topic.named([record(1)])
    with pytest.raises(BrokerError, match=r"topic events was deleted and created anew.*Start the worker again"):
        await topic.named([record(0)])
