"""Which release of the project runs a request, and which one began its logical run."""

from __future__ import annotations

import pytest

from langgraph_worker.domain.models import Claim, Decision, Request
from langgraph_worker.store.migrations.schema import workflow_runs
from tests.support.run_store import (
    LEASE,
    Backend,
    Store,
    answer,
    ask,
    attempt,
    claim_one,
    event,
    interrupt,
    request,
    result,
)
from workflow_events.results import ResultStatus

FIRST = attempt(1)


async def test_a_claim_names_the_worker_s_release_and_the_one_that_began(backend: Backend) -> None:
    old = await backend.open(release="old")
    await old.accept([request(attempt(1))])
    first = await claim_one(old)
    assert (first.release, first.begun_by) == ("old", None)
    await old.remember_nodes(first, ["a"])
    await old.release(first)
    await old.close()
    new = await backend.open(release="new")
    taken = await claim_one(new)
    assert (taken.release, taken.begun_by) == ("new", "old")
    await new.remember_nodes(taken, ["a", "b"])
    await new.finish(taken, result(taken, ResultStatus.FAILURE))
    await new.accept([request(attempt(2))])
    retry = await claim_one(new)
    assert retry.begun_by == "old"
    await interrupt(new, retry, "i1")
    await new.accept([request(answer(None, {"i1": 1}))])
    assert (await claim_one(new)).begun_by == "old"


async def test_a_fresh_start_begins_with_its_own_release(backend: Backend) -> None:
    old = await backend.open(release="old")
    await old.accept([request(attempt(1))])
    first = await claim_one(old)
    await old.remember_nodes(first, ["a"])
    await old.finish(first, result(first, ResultStatus.FAILURE))
    await old.close()
    new = await backend.open(release="new")
    await new.accept([request(attempt(2, on_retry="restart"))])
    fresh = await claim_one(new)
    assert (fresh.begun_by, fresh.release) == (None, "new")


async def test_a_release_that_is_not_known_is_none(store: Store) -> None:
    claim = await ask(store, request(attempt(1)), "i1")
    assert (claim.release, claim.begun_by) == (None, None)


@pytest.mark.parametrize("backend", ["sqlite", "postgres"], indirect=True)
async def test_the_row_of_a_run_has_the_release_that_ran_it_last(backend: Backend) -> None:
    for name in ("old", "new"):
        store = await backend.open(release=name)
        await store.accept([request(FIRST)])
        await store.release(await claim_one(store))
        await store.close()
    [row] = backend.rows(workflow_runs)
    assert row["release"] == "new"


async def begun(backend: Backend, item: Request) -> tuple[Store, Claim]:
    """A run that release ``old`` began and gave back, claimed by release ``new``."""
    old = await backend.open(release="old")
    await old.accept([item])
    first = await claim_one(old)
    await old.remember_nodes(first, ["a"])
    await old.release(first)
    await old.close()
    new = await backend.open(release="new")
    return new, await claim_one(new)


@pytest.mark.parametrize("item", [request(attempt(1)), request()], ids=["a task's", "plain"])
async def test_a_run_that_starts_over_is_another_logical_run_on_another_thread(backend: Backend, item: Request) -> None:
    store, left = await begun(backend, item)
    await store.start_over(left)
    afresh = await claim_one(store)
    assert afresh.correlation_id == left.correlation_id
    assert afresh.generation == left.generation + 1
    assert afresh.logical_run != left.logical_run
    assert afresh.thread_id != left.thread_id
    assert (afresh.nodes, afresh.begun_by, afresh.release) == (None, None, "new")
    assert afresh.attempts == left.attempts + 1
    await store.remember_nodes(afresh, ["b"])
    await store.release(afresh)
    again = await claim_one(store)
    assert (again.nodes, again.begun_by, again.logical_run) == ({"b"}, "new", afresh.logical_run)


async def test_each_start_over_has_a_name_of_its_own(backend: Backend) -> None:
    store, claim = await begun(backend, request(attempt(1)))
    names = {claim.logical_run}
    for _ in range(3):
        await store.start_over(claim)
        claim = await claim_one(store)
        names.add(claim.logical_run)
    assert len(names) == 4


async def test_a_retry_goes_on_with_the_run_that_started_over(backend: Backend) -> None:
    store, left = await begun(backend, request(attempt(1)))
    await store.start_over(left)
    afresh = await claim_one(store)
    await store.remember_nodes(afresh, ["b"])
    await store.finish(afresh, result(afresh, ResultStatus.FAILURE))
    await store.accept([request(attempt(2))])
    retry = await claim_one(store)
    assert (retry.logical_run, retry.thread_id) == (afresh.logical_run, afresh.thread_id)
    assert (retry.generation, retry.begun_by) == (afresh.generation, "new")


async def test_a_retry_that_starts_over_leaves_the_failed_run_s_thread(backend: Backend) -> None:
    store, first = await begun(backend, request(attempt(1)))
    await store.finish(first, result(first, ResultStatus.FAILURE))
    await store.accept([request(attempt(2))])
    retry = await claim_one(store)
    assert retry.thread_id == first.thread_id
    await store.start_over(retry)
    afresh = await claim_one(store)
    assert afresh.thread_id != first.thread_id
    assert await store.finish(afresh, result(afresh))


async def test_what_the_left_generation_asked_is_asked_no_more(backend: Backend) -> None:
    store, first = await begun(backend, request(attempt(1)))
    await interrupt(store, first, "i1")
    await store.accept([request(answer(attempt(1), {"i1": 1}))])
    answered = await claim_one(store)
    await store.finish(answered, result(answered, ResultStatus.FAILURE))
    await store.accept([request(attempt(2))])
    retry = await claim_one(store)
    await store.start_over(retry)
    late = request(answer(None, {"i1": 1}))
    [accepted] = await store.accept([late])
    assert accepted.decision is Decision.REFUSED
    assert "is not asked any more" in accepted.detail


async def test_a_conversation_keeps_its_thread(backend: Backend) -> None:
    store, left = await begun(backend, request(event(attempt(1), thread_id="talk")))
    await store.accept([request(event(attempt(1, task="other", at=5), thread_id="talk"))])
    await store.start_over(left)
    afresh = await claim_one(store)
    assert (afresh.correlation_id, afresh.thread_id) == (left.correlation_id, left.thread_id)
    assert afresh.logical_run != left.logical_run
    await store.finish(afresh, result(afresh))
    other = await claim_one(store)
    assert other.thread_id == left.thread_id


async def test_a_lost_run_starts_nothing_over(backend: Backend) -> None:
    store, left = await begun(backend, request(attempt(1)))
    await store.accept([request(attempt(2))])  # ends it
    await store.start_over(left)
    retry = await claim_one(store)
    assert (retry.logical_run, retry.generation, retry.begun_by) == (left.logical_run, left.generation, "old")


async def test_takeovers_count_on(backend: Backend) -> None:
    store, left = await begun(backend, request(attempt(1)))
    for takeovers in (1, 2, 3):
        backend.clock.advance(LEASE)
        claim = await claim_one(store)
        assert claim.takeovers == takeovers
        await store.start_over(claim)
        claim = await claim_one(store)
        assert claim.takeovers == takeovers
    backend.clock.advance(LEASE)
    assert await store.claim("w1", 1, ["graph"]) == []  # given up: worker_lost
    assert left.takeovers == 0


async def test_a_late_write_of_the_left_run_is_refused(backend: Backend) -> None:
    store, left = await begun(backend, request(attempt(1)))
    await store.start_over(left)
    afresh = await claim_one(store)
    assert not await store.finish(left, result(left))
    await store.release(left)
    assert await store.finish(afresh, result(afresh))
