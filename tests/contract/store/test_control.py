"""Cancels: whatever a request is doing, and whenever its cancel comes."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from langgraph_worker.domain import models
from langgraph_worker.domain.models import Cancel, Cancelled, Decision, RunStatus
from langgraph_worker.store.migrations.schema import cancellations
from langgraph_worker.store.sql.run_writes import PutCheckpoint
from tests.support.run_store import (
    LEASE,
    WEEK,
    Backend,
    Clock,
    Store,
    attempt,
    claim_one,
    event,
    holds,
    prune,
    publish,
    ran,
    refusal,
    replies,
    request,
    result,
)
from tests.support.steering import DAY, cancel, is_cancelled, is_superseded, take
from tests.support.ti_ids import ti_id
from workflow_events.results import ResultStatus


async def test_nothing_is_cancelled_by_nothing(store: Store) -> None:
    assert await store.cancel([], DAY) == {}


async def test_what_waits_ends_and_never_starts(store: Store) -> None:
    waits, other = request(), request()
    await store.accept([waits, other])
    assert await cancel(store, waits.event.event_id) == [Cancelled.ENDED]
    await is_cancelled(store, waits.event.event_id)
    assert (await claim_one(store)).correlation_id == other.event.event_id
    assert (await store.counts())[RunStatus.CANCELLED] == 1


@pytest.mark.parametrize(
    ("reason", "by", "error"),
    [("", None, "cancelled"), ("late", None, "cancelled: late"), ("", "ann", "cancelled by ann")],
)
async def test_the_answer_tells_who_and_why(store: Store, reason: str, by: str | None, error: str) -> None:
    here, to_come = event(), event()
    await take(store, here)
    await cancel(store, here.event_id, to_come.event_id, reason=reason, by=by)
    await take(store, to_come)
    for one in (here, to_come):
        await is_cancelled(store, one.event_id, error)


async def test_what_no_database_keeps_in_a_text_is_marked(backend: Backend, store: Store) -> None:
    to_come = event()
    assert await cancel(store, to_come.event_id, reason="a\0b", by="\ud800") == [Cancelled.NOTED]
    [row] = backend.rows(cancellations)
    assert (row["reason"], row["requested_by"]) == ("a\ufffdb", "?")
    await take(store, to_come)
    await is_cancelled(store, to_come.event_id, "cancelled by ?: a\ufffdb")


async def test_an_owner_learns_at_its_next_renewal_and_writes_nothing_more(store: Store) -> None:
    await store.accept([request()])
    claim = await claim_one(store)
    assert await cancel(store, claim.correlation_id) == [Cancelled.ENDED]
    assert store.renew("w1", [claim.lease]) == {claim.lease}
    assert not await store.put_checkpoint(PutCheckpoint(claim, []))
    assert not await store.finish(claim, result(claim))
    await is_cancelled(store, claim.correlation_id)


async def test_a_thread_is_free_when_its_owner_lets_go(store: Store) -> None:
    await store.accept([request(event(thread_id="talk")), request(event(thread_id="talk"))])
    claim = await claim_one(store)
    await cancel(store, claim.correlation_id)
    assert await store.claim("w2", 10, ["graph"]) == []
    await store.release(claim)
    assert (await claim_one(store, "w2")).thread_id == claim.thread_id


async def test_a_thread_is_free_when_the_lease_of_an_owner_that_vanished_ends(store: Store, clock: Clock) -> None:
    await store.accept([request(event(thread_id="talk")), request(event(thread_id="talk"))])
    old = await claim_one(store)
    await cancel(store, old.correlation_id)
    clock.advance(LEASE - 1)
    assert await store.claim("w2", 10, ["graph"]) == []
    clock.advance(1)
    claim = await claim_one(store, "w2")
    await store.release(old)
    assert await holds(store, claim.lease, "w2")


async def test_a_run_that_nobody_owns_any_more_ends_too(store: Store, clock: Clock) -> None:
    await store.accept([request(), request()])
    vanished, given_back = await store.claim("w1", 2, ["graph"])
    await store.release(given_back, 60)
    clock.advance(LEASE)
    ids = [vanished.correlation_id, given_back.correlation_id]
    assert await cancel(store, *ids) == [Cancelled.ENDED] * 2
    clock.advance(60)
    assert await store.claim("w2", 10, ["graph"]) == []


async def test_other_runs_are_left_alone(store: Store) -> None:
    await store.accept([request(), request()])
    one, other = await store.claim("w1", 2, ["graph"])
    await cancel(store, one.correlation_id)
    assert await holds(store, other.lease)
    assert await store.finish(other, result(other))


async def test_a_cancel_that_comes_first_waits_for_its_request(store: Store) -> None:
    late, other = event(), event()
    assert await cancel(store, late.event_id) == [Cancelled.NOTED]
    assert await take(store, other, late) == [Decision.FRESH, Decision.CANCELLED]
    await is_cancelled(store, late.event_id)
    assert (await claim_one(store)).correlation_id == other.event_id
    assert await take(store, late) == [Decision.DUPLICATE]


async def test_a_cancel_of_what_has_ended_changes_nothing(store: Store) -> None:
    done, failed, refused = request(), request(), refusal(ti_id(1))
    await ran(store, done)
    await ran(store, failed, ResultStatus.FAILURE)
    await store.accept([refused])
    await publish(store)
    ids = [done.event.event_id, failed.event.event_id, ti_id(1)]
    assert await cancel(store, *ids) == [Cancelled.TOO_LATE] * 3
    assert await replies(store) == {}


async def test_repeats_change_nothing(backend: Backend, store: Store, clock: Clock) -> None:
    here, to_come = event(), event()
    await take(store, here)
    ids = [here.event_id, to_come.event_id]
    assert await cancel(store, *ids) == [Cancelled.ENDED, Cancelled.NOTED]
    [noted] = backend.rows(cancellations)
    clock.advance(5)
    assert await cancel(store, *ids, reason="again", by="bob") == [Cancelled.TOO_LATE, Cancelled.NOTED]
    assert backend.rows(cancellations) == [noted]
    await take(store, to_come)
    for of in ids:
        await is_cancelled(store, of)
    assert await cancel(store, *ids) == [Cancelled.TOO_LATE] * 2


async def test_of_two_in_one_batch_the_first_counts(store: Store) -> None:
    here, to_come = event(), event()
    await take(store, here)
    batch = [Cancel(of, reason, None) for reason in ("first", "second") for of in (here.event_id, to_come.event_id)]
    became = await store.cancel(batch, DAY)
    assert became == {here.event_id: Cancelled.ENDED, to_come.event_id: Cancelled.NOTED}
    await take(store, to_come)
    for of in became:
        await is_cancelled(store, of, "cancelled: first")


async def test_what_was_pruned_is_not_cancelled_and_its_cancel_not_kept(
    backend: Backend, store: Store, clock: Clock
) -> None:
    gone = request()
    await ran(store, gone)
    assert (await prune(store, clock)).runs == 1
    assert await cancel(store, gone.event.event_id) == [Cancelled.TOO_LATE]
    assert backend.rows(cancellations) == []


async def test_an_expired_cancel_is_forgotten_by_prune_and_not_before(
    backend: Backend, store: Store, clock: Clock
) -> None:
    first, second = event(), event()
    await cancel(store, first.event_id, second.event_id)
    clock.advance(DAY.total_seconds() - 1)
    await store.prune(WEEK, WEEK, 100)
    assert await take(store, first) == [Decision.CANCELLED]
    clock.advance(1)
    await store.prune(WEEK, WEEK, 100)
    assert backend.rows(cancellations) == []
    assert await take(store, second) == [Decision.FRESH]


async def test_a_cancel_that_is_read_again_lasts_as_long_as_events_do_now(store: Store, clock: Clock) -> None:
    for_ever, first, second = timedelta(days=36_500), event(), event()
    for keep in (DAY, for_ever, DAY):
        await store.cancel([Cancel(first.event_id), Cancel(second.event_id)], keep)
    clock.advance(DAY.total_seconds() * 3_650)
    await store.prune(WEEK, WEEK, 100)
    assert await take(store, first) == [Decision.CANCELLED]
    clock.advance(DAY.total_seconds() * 36_500)
    await store.prune(WEEK, WEEK, 100)
    assert await take(store, second) == [Decision.FRESH]


async def test_a_cancel_outlives_the_process_that_noted_it(backend: Backend, store: Store) -> None:
    to_come = event()
    await cancel(store, to_come.event_id)
    await store.close()
    assert await take(await backend.open(), to_come) == [Decision.CANCELLED]


async def test_a_cancelled_attempt_still_supersedes_and_takes_its_place(store: Store) -> None:
    await take(store, attempt(1))
    old = await claim_one(store)
    second = event(attempt(2))
    await cancel(store, second.event_id)
    assert await take(store, second) == [Decision.CANCELLED]
    await is_superseded(store, old.correlation_id)
    assert not await holds(store, old.lease)
    await is_cancelled(store, second.event_id)
    await store.release(old)
    assert await take(store, attempt(1, agent="other"), attempt(3)) == [Decision.LATE, Decision.RESUMED]
    claim = await claim_one(store)
    assert (claim.logical_run, claim.resumes) == (old.logical_run, True)


async def test_a_cancelled_clear_leaves_what_was_before(store: Store) -> None:
    old = await ran(store, request(attempt(1)), ResultStatus.FAILURE)
    cleared = event(attempt(2, max_tries=4))
    await cancel(store, cleared.event_id)
    await take(store, cleared)
    assert await take(store, attempt(3, max_tries=4)) == [Decision.RESUMED]
    assert (await claim_one(store)).generation == old.generation + 1


async def test_a_retry_that_would_be_answered_is_cancelled_all_the_same(store: Store) -> None:
    await ran(store, request(attempt(1)))
    second = event(attempt(2))
    await cancel(store, second.event_id)
    assert await take(store, second) == [Decision.CANCELLED]
    await is_cancelled(store, second.event_id)
    assert await store.claim("w1", 10, ["graph"]) == []


async def test_a_late_attempt_stays_late(store: Store) -> None:
    first = event(attempt(1))
    await cancel(store, first.event_id)
    assert await take(store, attempt(2), first) == [Decision.FRESH, Decision.LATE]
    await is_superseded(store, first.event_id)


async def test_a_superseded_run_cannot_be_cancelled_nor_a_cancelled_one_superseded(store: Store) -> None:
    first, second = event(attempt(1)), event(attempt(2))
    await take(store, first, second)
    assert await cancel(store, first.event_id, second.event_id) == [Cancelled.TOO_LATE, Cancelled.ENDED]
    await take(store, attempt(3))
    await is_superseded(store, first.event_id)
    await is_cancelled(store, second.event_id)


async def test_of_too_many_early_cancels_the_first_go_and_are_named(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "MOST_EARLY_CANCELS", 3)
    asked = [request() for _ in range(5)]
    outcomes: dict[UUID, Cancelled] = {}
    for one in asked:
        clock.advance(1)
        outcomes |= await store.cancel([Cancel(one.event.event_id)], WEEK)
    forgotten = Cancelled.FORGOTTEN
    assert [outcomes[one.event.event_id] for one in asked] == [forgotten, forgotten, *[Cancelled.NOTED] * 3]
    accepted = await store.accept(asked)
    assert [one.decision for one in accepted] == [*[Decision.FRESH] * 2, *[Decision.CANCELLED] * 3]
