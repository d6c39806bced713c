"""A topic that was created anew is told from the one before; the ids of events that came before an upgrade stay."""

from __future__ import annotations

from typing import Any

from langgraph_worker.domain.models import Decision, Request
from tests.support.run_store import Backend, Store, claim_one, event, request, result
from workflow_events.codec import Record, decode_event
from workflow_events.identity import record_id

PLACE = ("c", "events", 0, 7)


def plain(topic_id: str = "") -> Request:
    """The event at one place, which names no id, as a worker reads it."""
    body = event(attempt=None).model_dump_json(exclude={"event_id", "timestamp"}).encode()
    return request(decode_event(Record("events", 0, 7, body, cluster="c", topic_id=topic_id)))


async def shown_id(store: Store, topic_id: str) -> str:
    """What a worker puts into the ids of this topic's events."""
    return "" if await store.first_topic_id("c", "events", topic_id) == topic_id else topic_id


async def test_the_first_topic_of_a_name_stays_the_first(store: Store) -> None:
    assert await store.first_topic_id("c", "events", "one") == "one"
    assert await store.first_topic_id("c", "events", "two") == "one"
    assert await store.first_topic_id("c", "events", "one") == "one"
    assert await store.first_topic_id("c", "others", "two") == "two"
    assert await store.first_topic_id("d", "events", "two") == "two"


async def test_it_is_remembered_when_the_store_is_opened_again(backend: Backend, store: Store) -> None:
    await store.first_topic_id("c", "events", "one")
    await store.close()
    again: Any = await backend.open()
    assert await again.first_topic_id("c", "events", "two") == "one"


async def test_an_event_that_was_accepted_before_an_upgrade_is_the_same_event_after_it(store: Store) -> None:
    before = plain()  # as the version before read it, which knew no ids of topics
    assert before.event.event_id == record_id(*PLACE)
    await store.accept([before])
    claim = await claim_one(store)
    await store.finish(claim, result(claim))
    [again] = await store.accept([plain(await shown_id(store, "one"))])
    assert (again.correlation_id, again.decision) == (before.event.event_id, Decision.DUPLICATE)


async def test_an_event_of_a_topic_that_was_created_anew_is_another_event(store: Store) -> None:
    [first] = await store.accept([plain(await shown_id(store, "one"))])
    [second] = await store.accept([plain(await shown_id(store, "two"))])
    assert (first.decision, second.decision) == (Decision.FRESH, Decision.FRESH)
    [again] = await store.accept([plain(await shown_id(store, "two"))])
    assert (again.correlation_id, again.decision) == (second.correlation_id, Decision.DUPLICATE)
