"""Which release of the project runs a request, and which one began its logical run."""

from __future__ import annotations

import pytest

from langgraph_worker.store.migrations.schema import workflow_runs
from tests.support.run_store import (
    Backend,
    Store,
    answer,
    ask,
    attempt,
    claim_one,
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
