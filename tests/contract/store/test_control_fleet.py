"""Newer attempts that are still to come, and questions for stored results."""

from __future__ import annotations

from uuid import uuid4

from langgraph_worker.domain.models import Decision
from langgraph_worker.store.migrations.schema import tasks, threads, workflow_runs
from tests.support.run_store import (
    WEEK,
    Backend,
    Clock,
    Store,
    answer,
    ask,
    attempt,
    claim_one,
    decision,
    event,
    holds,
    prune,
    publish,
    ran,
    replies,
    request,
    result,
)
from tests.support.steering import OTHER, is_superseded, take
from tests.support.ti_ids import ti_id
from workflow_events.results import ResultStatus


async def test_nothing_is_superseded_by_nothing(store: Store) -> None:
    assert await store.supersede([]) == 0


async def test_older_runs_end_and_their_owners_learn_of_it(store: Store) -> None:
    agents = [event(attempt(1, agent=name)) for name in ("a", "b")]
    other = event(OTHER)
    await take(store, *agents, other)
    claim = (await store.claim("w1", 1, ["graph"]))[0]
    assert await store.supersede([attempt(2)]) == 2
    for one in agents:
        await is_superseded(store, one.event_id)
    assert not await holds(store, claim.lease)
    assert not await store.finish(claim, result(claim))
    assert (await claim_one(store)).correlation_id == other.event_id


async def test_a_superseded_thread_is_free_when_its_owner_lets_go(store: Store) -> None:
    await take(store, event(attempt(1), thread_id="talk"), event(OTHER, thread_id="talk"))
    claim = await claim_one(store)
    await store.supersede([attempt(2)])
    assert await store.claim("w2", 10, ["graph"]) == []
    await store.release(claim)
    assert (await claim_one(store, "w2")).event.attempt == OTHER


async def test_an_older_attempt_that_comes_later_is_late(store: Store) -> None:
    assert await store.supersede([attempt(2)]) == 0
    first = event(attempt(1))
    assert await take(store, first) == [Decision.LATE]
    await is_superseded(store, first.event_id)
    assert "try 2" in ((await replies(store))[first.event_id].error or "")
    assert await store.claim("w1", 10, ["graph"]) == []


async def test_what_was_announced_is_accepted_as_ever(store: Store) -> None:
    old = await ran(store, request(attempt(1, agent="a")), ResultStatus.FAILURE)
    await store.supersede([attempt(2)])
    second = [event(attempt(2, agent=name)) for name in ("a", "b")]
    assert await take(store, *second) == [Decision.RESUMED, Decision.FRESH]
    claims = await store.claim("w1", 10, ["graph"])
    assert [claim.correlation_id for claim in claims] == [one.event_id for one in second]
    assert claims[0].logical_run == old.logical_run
    assert [await holds(store, claim.lease) for claim in claims] == [True, True]


async def test_a_clear_that_was_announced_starts_afresh(store: Store) -> None:
    asked = await ask(store, request(attempt(1)), "i1")
    cleared = attempt(2, max_tries=4)
    await store.supersede([cleared])
    assert await take(store, cleared) == [Decision.FRESH]
    assert (await claim_one(store)).generation == asked.generation + 1
    assert await take(store, answer(None, {"i1": 1})) == [Decision.REFUSED]


async def test_a_retry_that_was_announced_is_answered_from_the_store(store: Store) -> None:
    await ran(store, request(attempt(1)))
    await store.supersede([attempt(2)])
    assert await take(store, attempt(2)) == [Decision.ANSWERED]


async def test_repeats_and_older_announcements_change_nothing(backend: Backend, store: Store, clock: Clock) -> None:
    await take(store, attempt(2))
    claim = await claim_one(store)
    before = backend.rows(tasks)
    clock.advance(5)
    for announced in (attempt(2), attempt(1), attempt(2, agent="b")):
        assert await store.supersede([announced]) == 0
    assert backend.rows(tasks) == before
    assert await holds(store, claim.lease)


async def test_of_several_announcements_the_newest_counts(store: Store) -> None:
    await take(store, attempt(1))
    assert await store.supersede([attempt(3), attempt(2), attempt(1)]) == 1
    assert await store.supersede([attempt(3)]) == 0
    assert await take(store, attempt(2), attempt(3)) == [Decision.LATE, Decision.RESUMED]


async def test_an_unknown_task_is_remembered(backend: Backend, store: Store) -> None:
    known, unknown = attempt(2), attempt(3, task="o" * 64, at=9)
    await take(store, attempt(1))
    assert await store.supersede([unknown, known]) == 1
    assert {row["task"]: row["attempt_id"] for row in backend.rows(tasks)} == {
        known.task: known.id,
        unknown.task: unknown.id,
    }


async def test_an_announcement_whose_request_never_comes_is_forgotten(
    backend: Backend, store: Store, clock: Clock
) -> None:
    used, unused, young = attempt(2), attempt(2, task="o" * 64, at=9), attempt(2, task="y" * 64, at=9)
    await store.supersede([used, unused])
    await take(store, used)
    clock.advance(WEEK.total_seconds())
    await store.supersede([young])
    await store.prune(WEEK, WEEK, 100)
    assert len(backend.rows(tasks)) == 3
    clock.advance(1)
    await store.prune(WEEK, WEEK, 100)
    assert {row["task"] for row in backend.rows(tasks)} == {used.task, young.task}
    assert await take(store, attempt(1)) == [Decision.LATE]


async def test_what_an_announcement_ended_goes_with_its_task(backend: Backend, store: Store, clock: Clock) -> None:
    await take(store, attempt(1))
    await store.supersede([attempt(2)])
    await publish(store)
    assert (await prune(store, clock)).runs == 1
    assert [backend.rows(table) for table in (workflow_runs, threads, tasks)] == [[], [], []]


async def test_a_query_publishes_the_same_bytes_once(store: Store) -> None:
    asked, query = request(), uuid4()
    await store.accept([asked])
    claim = await claim_one(store)
    await store.finish(claim, result(claim))
    [first] = await store.unpublished(10)
    await publish(store)
    assert await store.publish_again(query, [asked.event.event_id] * 2) == 1
    assert await store.unpublished(10) == [first]
    assert await store.publish_again(query, [asked.event.event_id]) == 0
    await publish(store)
    assert await store.publish_again(query, [asked.event.event_id]) == 0
    assert await store.unpublished(10) == []
    assert await store.publish_again(uuid4(), [asked.event.event_id]) == 1
    assert await store.unpublished(10) == [first]


async def test_an_acknowledgement_of_before_a_query_does_not_count(store: Store) -> None:
    asked = request()
    await store.accept([asked])
    claim = await claim_one(store)
    await store.finish(claim, result(claim))
    sent = await store.unpublished(10)
    await store.publish_again(uuid4(), [asked.event.event_id])
    await store.published([one.correlation_id for one in sent])
    assert await store.unpublished(10) == sent


async def test_what_was_never_published_goes_before_what_is_published_again(store: Store, clock: Clock) -> None:
    """The repeats have their pace. A reader of them all would find the first publication behind them."""
    repeated, fresh = [request() for _ in range(3)], request()
    for one in repeated:
        clock.advance(1)
        await ran(store, one)
    ids = [one.event.event_id for one in repeated]
    assert await store.publish_again(uuid4(), ids) == 3
    clock.advance(1)
    await store.accept([fresh])
    claim = await claim_one(store)
    await store.finish(claim, result(claim))
    assert [out.correlation_id for out in await store.unpublished(1)] == [claim.correlation_id]
    assert [out.correlation_id for out in await store.unpublished(3)] == [claim.correlation_id, *ids[:2]]
    assert [out.correlation_id for out in await store.unpublished(10, {claim.correlation_id})] == ids
    assert [out.is_repeat for out in await store.unpublished(10)] == [False, True, True, True]


async def test_a_query_for_nothing_that_has_ended_does_nothing(store: Store, clock: Clock) -> None:
    gone, waits, runs = request(), request(), request()
    await ran(store, gone)
    assert (await prune(store, clock)).runs == 1
    await store.accept([waits, runs])
    await store.claim("w1", 1, ["graph"])
    ids = [one.event.event_id for one in (gone, waits, runs)]
    assert await store.publish_again(uuid4(), [*ids, uuid4()]) == 0
    assert await store.publish_again(uuid4(), []) == 0
    assert await store.unpublished(10) == []


async def test_what_ends_later_is_published_for_its_end(store: Store) -> None:
    query = uuid4()
    await store.accept([request()])
    claim = await claim_one(store)
    assert await store.publish_again(query, [claim.correlation_id]) == 0
    await store.finish(claim, result(claim))
    await publish(store)
    assert await store.publish_again(query, [claim.correlation_id]) == 1


async def test_whoever_was_asked_publishes(backend: Backend, store: Store, clock: Clock) -> None:
    asked = request()
    await ran(store, asked)
    if not backend.shared:
        await store.close()
    other = await backend.open()
    assert await other.publish_again(uuid4(), [asked.event.event_id]) == 1
    if backend.shared:
        assert await store.unpublished(10) == []
    await publish(other)
    clock.advance(60)
    assert await other.unpublished(10) == []


async def test_one_query_may_name_ten_thousand(store: Store) -> None:
    asked = [request(), request()]
    for one in asked:
        await ran(store, one)
    ids = [ti_id(1, salt) for salt in range(9_998)] + [one.event.event_id for one in asked]
    assert await store.publish_again(uuid4(), ids) == 2
    assert await decision(store, asked[0]) is Decision.DUPLICATE
    assert len(await store.unpublished(10)) == 2
