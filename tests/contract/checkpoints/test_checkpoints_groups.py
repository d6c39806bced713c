"""What many runs write at the same moment is one transaction, and none of them suffers for another."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Sequence
from typing import Any
from uuid import UUID

import psycopg
import pytest
from langgraph.types import Command, interrupt

from langgraph_worker.domain.models import Claim
from langgraph_worker.errors import LeaseLostError, StoreError
from langgraph_worker.store.engines.database import Statement
from langgraph_worker.store.migrations.schema import interrupts
from langgraph_worker.store.sql.run_writes import PutCheckpoint
from tests.support.checkpoints import Commits, Shelf, latest, put, put_config
from tests.support.run_store import answer, attempt, claim_one, request
from tests.support.run_store import interrupt as ask
from tests.support.runs import Failing, chain

BROKEN = Statement("INSERT INTO nowhere (x) VALUES (1)", [()], many=False)


async def at_once(commits: Commits, works: Sequence[Awaitable[Any]]) -> list[asyncio.Future[Any]]:
    """Start them in order: all of them wait while the transaction of the first is held back."""
    async with commits.held():
        first = asyncio.ensure_future(works[0])
        await commits.waiting()
        others = [asyncio.ensure_future(work) for work in works[1:]]
        await asyncio.sleep(0)  # each of them begins
    return [first, *others]


async def test_what_waits_is_written_in_one_transaction(fenced, monkeypatch):
    claims = await fenced.claims(50)
    savers = [fenced.saver(claim) for claim in claims]
    commits = Commits(fenced.store, monkeypatch)
    works = [put(saver, claim, 1, x=number) for number, (saver, claim) in enumerate(zip(savers, claims, strict=True))]
    await asyncio.gather(*await at_once(commits, works))
    assert commits.count == 2
    for number, (saver, claim) in enumerate(zip(savers, claims, strict=True)):
        assert await latest(saver, claim) == {"x": number}


async def test_whole_runs_share_transactions(fenced, monkeypatch):
    graph = chain(**{name: (lambda state, name=name: {"log": [name]}) for name in "abc"})
    threads = [fenced.on(claim, graph) for claim in await fenced.claims(50)]
    commits = Commits(fenced.store, monkeypatch)
    states = await asyncio.gather(*(on.run({"value": number}) for number, on in enumerate(threads)))
    assert states == [{"value": number, "log": ["a", "b", "c"]} for number in range(50)]
    alone = 50 * (5 + 4)  # each run's checkpoints, and its nodes' writes
    assert commits.count < alone / 5
    assert [await on.values() for on in threads] == states


@pytest.mark.parametrize("place", [0, 1, 4, 9])
async def test_a_write_that_cannot_be_written_fails_alone(fenced, monkeypatch, place):
    claims = await fenced.claims(10)
    savers = [fenced.saver(claim) for claim in claims]
    for saver, claim in zip(savers, claims, strict=True):
        await put(saver, claim, 1, x="before")
    commits = Commits(fenced.store, monkeypatch)
    works = [put(saver, claim, 2, x="after") for saver, claim in zip(savers, claims, strict=True)]
    works[place].close()
    works[place] = fenced.store.put_checkpoint(PutCheckpoint(claims[place], [BROKEN]))
    written = await asyncio.gather(*await at_once(commits, works), return_exceptions=True)
    errors = [error for error in written if error is not None]
    assert [type(error) for error in errors] == [StoreError]
    assert (written.index(errors[0]), errors[0].retriable) == (place, False)
    for number, (saver, claim) in enumerate(zip(savers, claims, strict=True)):
        assert await latest(saver, claim) == {"x": "before" if number == place else "after"}
        await put(saver, claim, 3, x="later")


async def test_of_a_write_that_cannot_be_written_nothing_is_kept(fenced):
    claim = await fenced.claim()
    saver = fenced.saver(claim)
    _, statements = fenced.savers.dialect.record(
        lambda recorder: recorder.put_writes(put_config(claim, str(UUID(int=1))), [("x", "written")], "task")
    )
    with pytest.raises(StoreError):
        await fenced.store.put_checkpoint(PutCheckpoint(claim, [*statements, BROKEN], answers=["i1"]))
    await put(saver, claim, 1)
    assert (await saver.aget_tuple(put_config(claim))).pending_writes == []


async def test_a_writer_that_gives_up_harms_nobody(fenced, monkeypatch):
    claims = await fenced.claims(12)
    savers = [fenced.saver(claim) for claim in claims]
    commits = Commits(fenced.store, monkeypatch)
    gone = {0, 3, 11}  # the first is being written
    async with commits.held():
        first = asyncio.ensure_future(put(savers[0], claims[0], 1, x=1))
        await commits.waiting()
        others = [put(saver, claim, 1, x=1) for saver, claim in zip(savers[1:], claims[1:], strict=True)]
        tasks = [first, *map(asyncio.ensure_future, others)]
        await asyncio.sleep(0)
        for number in gone:
            tasks[number].cancel()
    written = await asyncio.gather(*tasks, return_exceptions=True)
    assert {number for number, error in enumerate(written) if isinstance(error, asyncio.CancelledError)} == gone
    found = [await latest(saver, claim) for saver, claim in zip(savers, claims, strict=True)]
    assert all(found[number] == {"x": 1} for number in range(12) if number not in gone)
    assert found[0] == {"x": 1}  # its transaction went on
    for saver, claim in zip(savers, claims, strict=True):
        await put(saver, claim, 2, x=2)
        assert await latest(saver, claim) == {"x": 2}


async def test_a_runs_writes_keep_their_order(fenced, monkeypatch):
    claims = await fenced.claims(8)
    savers = [fenced.saver(claim) for claim in claims]
    commits = Commits(fenced.store, monkeypatch)
    works = [put(saver, claim, 1, x=turn) for turn in range(6) for saver, claim in zip(savers, claims, strict=True)]
    await asyncio.gather(*await at_once(commits, works))
    assert commits.count == 2
    assert [await latest(saver, claim) for saver, claim in zip(savers, claims, strict=True)] == [{"x": 5}] * 8


async def test_a_put_before_the_end_of_its_run_is_written_and_one_behind_it_is_not(fenced, monkeypatch):
    """In one transaction: the order in which they came counts."""
    first, claim = await fenced.claims(2)
    saver = fenced.saver(claim)
    await put(saver, claim, 1, x=1)
    commits = Commits(fenced.store, monkeypatch)
    works = [
        put(fenced.saver(first), first, 1),
        put(saver, claim, 2, x=2),
        fenced.store.release(claim),
        put(saver, claim, 3, x=3),
    ]
    written = await asyncio.gather(*await at_once(commits, works), return_exceptions=True)
    assert commits.count == 2
    assert written[:3] == [None, None, True]  # the run was still its owner's
    assert isinstance(written[3], LeaseLostError)
    assert await latest(saver, claim) == {"x": 2}


async def test_a_put_is_durable_when_it_returns(fenced):
    claim = await fenced.claim()
    saver = fenced.saver(claim)
    for number in range(1, 20):
        await put(saver, claim, number)
        assert await asyncio.to_thread(checkpoints_seen, fenced, claim) == number
        await saver.aput_writes(put_config(claim, str(UUID(int=number))), [("x", 1)], "task")
        assert await asyncio.to_thread(checkpoints_seen, fenced, claim, "writes") == number


def checkpoints_seen(shelf: Shelf, claim: Claim, table: str = "checkpoints") -> int:
    """What a connection of its own sees of the thread."""
    connect: Any = psycopg.connect
    url, place = shelf.backend.url, "%s"
    if url.startswith("sqlite"):
        connect, url, place = sqlite3.connect, url.removeprefix("sqlite:///"), "?"
    elif table == "writes":
        table = "checkpoint_writes"
    other = connect(url)
    try:
        sql = f"SELECT count(*) FROM {table} WHERE thread_id = {place}"
        return other.execute(sql, (claim.thread_id,)).fetchone()[0]
    finally:
        other.close()


# ---- trouble ----


async def test_a_put_waits_for_a_database_that_is_away(fenced, monkeypatch, caplog):
    claim = await fenced.claim()
    saver = fenced.saver(claim)
    failing = Failing(2, StoreError("away"))
    original = fenced.store.put_checkpoint

    async def away(write: PutCheckpoint) -> bool:
        failing({})
        return await original(write)

    monkeypatch.setattr(fenced.store, "put_checkpoint", away)
    await put(saver, claim, 1, x=1)
    assert await latest(saver, claim) == {"x": 1}
    assert caplog.text.count("cannot write a checkpoint, trying again: away") == 1  # once a minute


async def test_a_lease_that_is_lost_meanwhile_ends_the_waiting(fenced, monkeypatch):
    claim = await fenced.claim()
    saver = fenced.saver(claim)
    original = fenced.store.put_checkpoint

    async def away(write: PutCheckpoint) -> bool:
        monkeypatch.setattr(fenced.store, "put_checkpoint", original)
        await fenced.take_over()
        raise StoreError("away")

    monkeypatch.setattr(fenced.store, "put_checkpoint", away)
    with pytest.raises(LeaseLostError):
        await put(saver, claim, 1, x=1)


async def test_an_answer_is_noted_with_whatever_of_the_run_is_written_first(fenced, monkeypatch):
    """LangGraph does not wait for a node's writes before it puts the next checkpoint, which may overtake them."""
    graph = chain(ask=lambda state: {"log": [interrupt("buy?")]}, b=lambda state: {"log": ["b"]})
    await fenced.store.accept([request(attempt(1))])
    claim = await claim_one(fenced.store)
    on = fenced.on(claim, graph)
    await on.run({})
    [asked] = (await on.state()).interrupts
    await ask(fenced.store, claim, asked.id)
    await fenced.store.accept([request(answer(attempt(1), {asked.id: "yes"}))])
    claim = await claim_one(fenced.store)
    writes: list[tuple[bool, set[str]]] = []
    original = fenced.store.put_checkpoint

    async def away_once(write: PutCheckpoint) -> bool:
        good = bool(writes)
        writes.append((good, set(write.answers)))
        if not good:
            raise StoreError("away")
        return await original(write)

    on = fenced.on(claim, graph)
    monkeypatch.setattr(fenced.store, "put_checkpoint", away_once)
    assert await on.run(Command(resume=dict(claim.answers))) == {"log": ["yes", "b"]}
    assert writes[:2] == [(False, {asked.id}), (True, {asked.id})]
    [row] = fenced.backend.rows(interrupts)
    assert row["answer_id"] == claim.correlation_id
