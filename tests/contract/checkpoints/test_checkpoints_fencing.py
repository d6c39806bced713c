"""Checkpoints of a thread are its owner's alone, whatever an earlier owner still does."""

from __future__ import annotations

import asyncio
import itertools
from uuid import UUID

import pytest

from langgraph_worker.domain.models import Claim
from langgraph_worker.errors import LeaseLostError
from tests.support.checkpoints import Shelf, latest, put, put_config
from tests.support.run_store import LEASE, attempt, claim_one, event, request, result
from tests.support.runs import chain


async def lose(shelf: Shelf, claim: Claim, how: str) -> Claim | None:
    """Let a run lose its thread, and return the claim that has it then."""
    store = shelf.store
    match how:
        case "taken over":
            return await shelf.take_over()
        case "superseded":
            await store.accept([request(attempt(2))])
            return None  # the thread is free when its owner lets go, or the lease ends
        case "superseded and taken":
            await store.accept([request(attempt(2))])
            return await shelf.take_over()
        case "finished":
            assert await store.finish(claim, result(claim))
            return None
        case "released":
            await store.release(claim)
            return None
        case "released and taken":
            await store.release(claim)
            return await claim_one(store, "w2")
        case _:
            await store.accept([request(event(thread_id="talk"))])
            assert await store.finish(claim, result(claim))
            return await claim_one(store, "w2")


HOW = pytest.mark.parametrize(
    "how",
    [
        "taken over",
        "superseded",
        "superseded and taken",
        "finished",
        "released",
        "released and taken",
        "next in a talk",
    ],
)


@HOW
async def test_who_has_lost_a_thread_changes_nothing_of_it(fenced, how):
    asked = event(thread_id="talk") if how == "next in a talk" else event(attempt(1))
    await fenced.store.accept([request(asked)])
    claim = await claim_one(fenced.store)
    stale = fenced.saver(claim)
    await put(stale, claim, 1, x="old")
    new = await lose(fenced, claim, how)
    if new is not None:
        assert new.thread_id == claim.thread_id
        await put(fenced.saver(new), new, 2, x="new")
    for attack in (
        put(stale, claim, 9, x="stale"),
        put(stale, claim, 1, x="stale"),
        stale.aput_writes(put_config(claim, str(UUID(int=1))), [("x", "stale")], "task"),
        stale.adelete_thread(claim.thread_id),
    ):
        with pytest.raises(LeaseLostError, match=str(claim.correlation_id)):
            await attack
    ids = [found.config["configurable"]["checkpoint_id"] async for found in stale.alist(put_config(claim))]
    assert ids == [str(UUID(int=number)) for number in ((2, 1) if new else (1,))]
    found = await stale.aget_tuple(put_config(claim, str(UUID(int=1))))
    assert (found.checkpoint["channel_values"], found.pending_writes) == ({"x": "old"}, [])
    assert await latest(stale, claim) == {"x": "new" if new else "old"}


async def test_a_lease_that_ran_out_and_that_nobody_took_still_writes(fenced):
    claim = await fenced.claim()
    saver = fenced.saver(claim)
    fenced.clock.advance(10 * LEASE)
    await put(saver, claim, 1, x="late")
    assert await latest(saver, claim) == {"x": "late"}
    taken = await claim_one(fenced.store, "w2")
    assert taken.thread_id == claim.thread_id
    with pytest.raises(LeaseLostError):
        await put(saver, claim, 2, x="stale")
    assert await latest(fenced.saver(taken), taken) == {"x": "late"}


async def test_a_graph_whose_thread_is_taken_stops_and_the_new_owners_goes_on(fenced):
    ran: list[str] = []

    async def takes(state):
        ran.append("b")
        if ran.count("b") == 1:
            claims.append(await fenced.take_over())
        return {"log": ["b"]}

    graph = chain(a=lambda state: {"log": ["a"]}, b=takes, c=lambda state: ran.append("c") or {"log": ["c"]})
    claims = [await fenced.claim()]
    with pytest.raises(LeaseLostError):
        await fenced.on(claims[0], graph).run({"value": 1})
    assert ran == ["b"]
    new = fenced.on(claims[1], graph)
    assert (await new.state()).next == ("b",)
    assert await new.run(None) == {"value": 1, "log": ["a", "b", "c"]}
    assert ran == ["b", "b", "c"]


async def test_stale_and_fresh_writes_of_one_transaction_are_told_apart(fenced):
    old = await fenced.claim()
    stale = fenced.saver(old)
    await put(stale, old, 1, x="old")
    new = await fenced.take_over()
    fresh = fenced.saver(new)
    written = await asyncio.gather(
        *(put(stale if number % 2 else fresh, old if number % 2 else new, number, x=number) for number in range(2, 12)),
        return_exceptions=True,
    )
    assert [isinstance(error, LeaseLostError) for error in written] == [False, True] * 5
    numbers = [found.metadata["step"] async for found in fresh.alist(put_config(new))]
    assert numbers == [10, 8, 6, 4, 2, 1]


async def _write_on(shelf: Shelf, claim: Claim, ids: itertools.count) -> None:
    """Put as fast as it goes, until the lease is lost. As newer checkpoints than any other's, were they written."""
    saver = shelf.saver(claim)

    async def one() -> None:
        while True:
            await put(saver, claim, next(ids), x="stale")

    writers = [asyncio.ensure_future(one()) for _ in range(3)]
    errors = await asyncio.gather(*writers, return_exceptions=True)
    assert all(isinstance(error, LeaseLostError) for error in errors), errors


async def test_nothing_of_a_stale_owner_becomes_visible_once_the_thread_is_taken(fenced):
    """Where several processes may have the database, the new owner is another one's."""
    other = await fenced.backend.open() if fenced.backend.shared else fenced.store
    theirs = fenced.beside(other)
    owner, ids = await fenced.claim(), itertools.count(1_000)
    for turn in range(25):
        racing = asyncio.create_task(_write_on(fenced, owner, ids))
        while await latest(theirs.saver(owner), owner) != {"x": "stale"}:
            pass
        fenced.clock.advance(LEASE)
        while not (claims := await other.claim(f"w{turn}", 1, ["graph"])):
            pass  # a thread that is just being written to is left for the next look
        [new] = claims
        fresh = theirs.saver(new)
        seen = [found.metadata["step"] async for found in fresh.alist(put_config(new))]
        for number in range(3):
            await put(fresh, new, 500 + number, x="fresh")
        await racing
        assert [found.metadata["step"] async for found in fresh.alist(put_config(new))] == [*seen, 502, 501, 500]
        await fresh.adelete_thread(new.thread_id)
        await other.release(new)
        owner = await claim_one(fenced.store)
