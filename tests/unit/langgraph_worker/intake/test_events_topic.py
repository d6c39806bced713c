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


async def test_no_id_is_asked_for_where_each_record_names_its_own() -> None:
    records = [record(1, named=True)]
    assert await EventsTopic("events", answers(), "two", "one").named(records) == records


async def test_what_another_topic_may_have_passed_is_not_committed() -> None:
    topic = EventsTopic("events", answers("one", "", "two"), "one", "one")
    await topic.require_same()
    await topic.require_same()
    with pytest.raises(BrokerError, match="created anew"):
        await topic.require_same()


async def test_a_broker_without_ids_of_topics_is_not_asked_before_a_commit() -> None:
    await EventsTopic("events", answers(), "", "").require_same()


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
