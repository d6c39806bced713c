"""Owners that vanish, and runs that are given back: what is tried again, and what is given up."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from langgraph_worker.domain.models import Cancel, Claim, Decision, Failure, Outbound, RunStatus
from langgraph_worker.domain.retry_policy import BackOff, ErrorClass, Retried
from langgraph_worker.store.migrations.schema import workflow_runs
from langgraph_worker.store.sql.run_writes import PutCheckpoint
from tests.support.run_store import (
    LEASE,
    Backend,
    Clock,
    Store,
    attempt,
    claim_one,
    event,
    refusal,
    replies,
    request,
    result,
)
from tests.support.ti_ids import ti_id
from workflow_events.results import ResultStatus


async def vanish(store: Store, clock: Clock, times: int, *, progress: bool = False) -> list[Claim]:
    """So many owners in a row take the only run, and are not heard of again."""
    claims = []
    for number in range(times):
        claim = await claim_one(store, f"w{number}")
        assert await store.put_checkpoint(PutCheckpoint(claim, [], progress=progress))
        clock.advance(LEASE)
        claims.append(claim)
    return claims


async def is_given_up(store: Store) -> bool:
    """Whether the run that is taken next is ended instead."""
    assert await store.claim("w9", 10, ["graph"]) == []
    errors = [one.error_type for one in (await replies(store)).values()]
    return errors == ["worker_lost"]


async def test_takeovers_are_counted(store: Store, clock: Clock) -> None:
    await store.accept([request()])
    claims = await vanish(store, clock, 4)
    assert [claim.takeovers for claim in claims] == [0, 1, 2, 3]
    assert await is_given_up(store)


async def test_a_run_that_comes_further_each_time_is_never_given_up(store: Store, clock: Clock) -> None:
    await store.accept([request()])
    claims = await vanish(store, clock, 8, progress=True)
    assert [claim.takeovers for claim in claims] == [0] + [1] * 7
    claim = await claim_one(store)
    assert (claim.attempts, claim.takeovers) == (9, 1)
    assert await store.finish(claim, result(claim))


async def test_progress_begins_a_new_count(store: Store, clock: Clock) -> None:
    await store.accept([request()])
    await vanish(store, clock, 3)
    await vanish(store, clock, 1, progress=True)
    claims = await vanish(store, clock, 3)
    assert [claim.takeovers for claim in claims] == [1, 2, 3]
    assert await is_given_up(store)


async def test_the_progress_of_a_stale_owner_does_not_count(store: Store, clock: Clock) -> None:
    await store.accept([request()])
    [first, *_] = await vanish(store, clock, 3)
    claim = await claim_one(store)
    assert not await store.put_checkpoint(PutCheckpoint(first, [], progress=True))
    await store.release(claim)
    assert (await claim_one(store)).takeovers == 3


async def test_a_release_between_takeovers_neither_counts_nor_begins_anew(store: Store, clock: Clock) -> None:
    await store.accept([request()])
    await vanish(store, clock, 2)
    for _ in range(3):
        claim = await claim_one(store)
        assert claim.takeovers == 2
        await store.release(claim)
    claims = await vanish(store, clock, 2)
    assert [claim.takeovers for claim in claims] == [2, 3]
    assert await is_given_up(store)


async def hang(store: Store, clock: Clock, guilty: UUID) -> list[Claim]:
    """A worker takes all runs; the node of one hangs, and ends the worker."""
    claims = await store.claim("w1", 10, ["graph"])
    store.spare("w1", [claim.lease for claim in claims if claim.correlation_id != guilty])
    assert await store.claim("w2", 10, ["graph"]) == []  # its nodes may be at work until it is gone
    clock.advance(LEASE)
    return claims


async def test_a_node_that_hangs_condemns_no_other_run(store: Store, clock: Clock) -> None:
    guilty, innocent = request(), request(event(thread_id="talk"))
    await store.accept([guilty, innocent])
    for number in range(4):
        claims = {claim.correlation_id: claim for claim in await hang(store, clock, guilty.event.event_id)}
        assert claims[guilty.event.event_id].takeovers == number
        assert claims[innocent.event.event_id].takeovers == 0
    claim = await claim_one(store)  # the other one is ended instead
    assert (claim.correlation_id, claim.attempts) == (innocent.event.event_id, 5)
    assert [one.error_type for one in (await replies(store)).values()] == ["worker_lost"]
    assert await store.finish(claim, result(claim))


async def test_to_be_spared_forgives_nothing(store: Store, clock: Clock) -> None:
    other = request()
    await store.accept([request(), other])
    await store.claim("w1", 10, ["graph"])
    clock.advance(LEASE)
    assert [claim.takeovers for claim in await hang(store, clock, other.event.event_id)] == [1, 1]
    assert [claim.takeovers for claim in await store.claim("w2", 10, ["graph"])] == [1, 2]


async def test_who_was_spared_writes_nothing_more(store: Store, clock: Clock) -> None:
    await store.accept([request()])
    claim = await claim_one(store)
    store.spare("w1", [claim.lease])
    store.spare("w1", [claim.lease])
    assert store.renew("w1", [claim.lease]) == {claim.lease}
    assert not await store.put_checkpoint(PutCheckpoint(claim, [], progress=True))
    assert not await store.finish(claim, result(claim))
    assert (await claim_one(store, "w2")).takeovers == 0  # the owner has let the thread go


@pytest.mark.parametrize("how", ["of another worker", "taken over", "finished"])
async def test_nothing_is_spared_that_a_worker_does_not_own(store: Store, clock: Clock, how: str) -> None:
    await store.accept([request()])
    claim = await claim_one(store)
    match how:
        case "taken over":
            clock.advance(LEASE)
            new = await claim_one(store, "w2")
            store.spare("w1", [claim.lease])
            assert store.renew("w2", [new.lease]) == set()
        case "of another worker":
            store.spare("w2", [claim.lease])
            assert store.renew("w1", [claim.lease]) == set()
        case "finished":
            await store.finish(claim, result(claim))
            store.spare("w1", [claim.lease])
            assert (await store.counts())[RunStatus.COMPLETED] == 1


async def test_a_run_that_was_given_up_can_be_retried(store: Store, clock: Clock) -> None:
    await store.accept([request(attempt(1))])
    [first, *_] = await vanish(store, clock, 4)
    assert await is_given_up(store)
    [accepted] = await store.accept([request(attempt(2))])
    assert accepted.decision is Decision.RESUMED
    claim = await claim_one(store)
    assert (claim.takeovers, claim.attempts, claim.logical_run) == (0, 1, first.logical_run)


async def given_up(store: Store, clock: Clock) -> Outbound:
    """A run that was given up, on its way out."""
    await vanish(store, clock, 4)
    assert await is_given_up(store)
    [out] = await store.unpublished(10)
    return out


async def test_a_run_that_was_given_up_is_kept_for_a_person(store: Store, clock: Clock) -> None:
    asked = request(event(data={"text": "é\x00"}))
    await store.accept([asked])
    out = await given_up(store, clock)
    assert out.dead_letter is not None
    assert (out.dead_letter.event, out.dead_letter.origin) == (asked.event, asked.origin)
    assert out.dead_letter.error_type == "worker_lost"
    assert "'w3'" in out.dead_letter.reason
    assert await store.unpublished(10) == [out]  # until it is acknowledged


async def test_a_dead_letter_is_written_once(store: Store, clock: Clock) -> None:
    asked = request()
    await store.accept([asked])
    out = await given_up(store, clock)
    await store.published([out.correlation_id])
    for _ in range(2):
        await store.accept([asked])
        [again] = await store.unpublished(10)
        assert (again.value, again.dead_letter) == (out.value, None)
        await store.published([out.correlation_id])


async def test_a_dead_letter_is_not_lost_to_who_asks_before_it_is_written(
    backend: Backend, store: Store, clock: Clock
) -> None:
    asked = request()
    await store.accept([asked])
    out = await given_up(store, clock)
    await store.accept([asked])
    await store.close()  # before anything was published
    again = await backend.open()
    clock.advance(10)
    assert await again.unpublished(10) == [out]


async def test_other_ends_have_no_dead_letter(store: Store, clock: Clock) -> None:
    late = request(event(deadline=clock.now + timedelta(seconds=1)))
    await store.accept([refusal(ti_id(1)), late, request(), request()])
    clock.advance(1)
    assert await store.expire(["graph"], 60) == 1
    for claim, status in zip(
        await store.claim("w1", 2, ["graph"]), (ResultStatus.SUCCESS, ResultStatus.FAILURE), strict=True
    ):
        await store.finish(claim, result(claim, status))
    assert [out.dead_letter for out in await store.unpublished(10)] == [None] * 4


async def test_a_run_that_is_given_back_for_later_backs_off(backend: Backend, store: Store, clock: Clock) -> None:
    await store.accept([request()])
    claim = await claim_one(store)
    await store.release(claim, 5.0)
    [row] = backend.rows(workflow_runs)
    assert (row["status"], row["not_before"]) == ("PENDING", clock.now + timedelta(seconds=5))
    clock.advance(4.999)
    assert await store.claim("w2", 10, ["graph"]) == []
    clock.advance(0.001)
    again = await claim_one(store, "w2")
    assert (again.correlation_id, again.attempts, again.takeovers) == (claim.correlation_id, 2, 0)
    await store.release(again)
    assert (await claim_one(store)).attempts == 3


async def test_who_backs_off_keeps_its_place_and_holds_no_other_thread_up(store: Store, clock: Clock) -> None:
    first, second, elsewhere = request(event(thread_id="talk")), request(event(thread_id="talk")), request()
    await store.accept([first, second])
    await store.release(await claim_one(store), 5.0)
    await store.accept([elsewhere])
    assert (await claim_one(store)).correlation_id == elsewhere.event.event_id
    clock.advance(5)
    assert (await claim_one(store)).correlation_id == first.event.event_id


async def test_who_backs_off_still_has_a_deadline_and_gives_way_to_a_newer_attempt(store: Store, clock: Clock) -> None:
    soon = request(event(deadline=clock.now + timedelta(seconds=3)))
    await store.accept([soon, request(attempt(1))])
    for claim in await store.claim("w1", 2, ["graph"]):
        await store.release(claim, 60.0)
    clock.advance(3)
    assert await store.expire(["graph"], 60) == 1
    await store.accept([request(attempt(2))])
    assert (await claim_one(store)).event.attempt == attempt(2)
    assert (await store.counts())[RunStatus.CANCELLED] == 1


@pytest.mark.parametrize("how", ["taken over", "finished"])
async def test_a_void_lease_backs_nothing_off(store: Store, clock: Clock, how: str) -> None:
    await store.accept([request()])
    claim = await claim_one(store)
    if how == "taken over":
        clock.advance(LEASE)
        new = await claim_one(store, "w2")
        await store.release(claim, 60.0)
        await store.release(new)
        assert (await claim_one(store)).attempts == 3
    else:
        await store.finish(claim, result(claim))
        await store.release(claim, 60.0)
        assert (await store.counts())[RunStatus.COMPLETED] == 1


@pytest.mark.parametrize("how", ["release", "back_off", "start_over"])
async def test_an_owner_hears_why_its_lease_is_void(store: Store, clock: Clock, how: str) -> None:
    """Whichever way it gives its run back: another worker has it, or it was ended from outside."""

    async def give_back(claim: Claim) -> bool:
        match how:
            case "release":
                return await store.release(claim)
            case "back_off":
                wait = BackOff(ErrorClass.TIMEOUT, 1.0, Retried({ErrorClass.TIMEOUT: 1}))
                return await store.back_off(claim, wait, Failure("ReadTimeout", "slow", "", "ask"))
        return await store.start_over(claim)

    await store.accept([request()])
    [gone] = await vanish(store, clock, 1)
    taken = await claim_one(store, "w2")
    assert not await give_back(gone)
    assert await store.is_taken_over(gone)
    assert not await store.is_taken_over(taken)
    await store.cancel([Cancel(taken.correlation_id)], timedelta(days=7))
    assert not await give_back(taken)
    assert not await store.is_taken_over(taken)
    await store.accept([request()])
    assert await give_back(await claim_one(store))
